"""The commands of the page about kits are commands; combinations that cannot be meant are refused."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from edgenas.cli.profile import profile

PAGE = Path(__file__).parents[2] / "docs" / "kits.md"


def commands_of_the_page() -> list[list[str]]:
    text = PAGE.read_text(encoding="utf-8")
    lines = [line for block in text.split("```bash\n")[1:] for line in block.split("```")[0].splitlines()]
    return [shlex.split(line, comments=True)[2:] for line in lines if line.startswith("edgenas profile")]


def test_the_commands_of_the_page_parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results.json").write_text("{}")
    parsed = [profile.make_context("profile", arguments).params for arguments in commands_of_the_page()]
    assert [bool(params["pack"]) for params in parsed] == [True, True, True, False]
    assert parsed[3]["results"] == Path("results.json")
    assert (parsed[1]["threads"], parsed[1]["budget"]) == (2, 20.0)
    assert (parsed[2]["device"], parsed[2]["precision"], parsed[2]["fps"], parsed[2]["soak"]) == ("cuda", "fp16", 30.0, 10.0)
