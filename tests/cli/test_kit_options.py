"""The README's commands about kits are commands; combinations that cannot be meant are refused."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from edgenas.cli.profile import profile

README = Path(__file__).parents[2] / "README.md"


def readme_commands() -> list[list[str]]:
    section = README.read_text(encoding="utf-8").split("## A device without PyTorch")[1].split("\n## ")[0]
    lines = [line for block in section.split("```bash\n")[1:] for line in block.split("```")[0].splitlines()]
    return [shlex.split(line, comments=True)[2:] for line in lines if line.startswith("edgenas profile")]


def test_the_readme_s_commands_parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results.json").write_text("{}")
    parsed = [profile.make_context("profile", arguments).params for arguments in readme_commands()]
    assert [bool(params["pack"]) for params in parsed] == [True, True, True, False]
    assert parsed[3]["results"] == Path("results.json")
    assert (parsed[1]["threads"], parsed[1]["budget"]) == (2, 20.0)
    assert (parsed[2]["device"], parsed[2]["precision"], parsed[2]["fps"], parsed[2]["soak"]) == ("cuda", "fp16", 30.0, 10.0)
