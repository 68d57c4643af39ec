"""What was misspelt is answered with what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from edgenas.cli import COMMANDS
from tests.cli.conftest import Run, as_object


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes of a few images each."""
    for name in ("crack", "plain"):
        (tmp_path / "parts" / name).mkdir(parents=True)
        Image.new("RGB", (16, 16)).save(tmp_path / "parts" / name / "a.png")
    return tmp_path / "parts"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("serach",), 2, "there is no command 'serach'; did you mean 'search'? known are: run, init"),
        (("fly",), 2, "there is no command 'fly'; known are: run, init"),
        (("train", "--epoch", "3"), 2, "--epochs"),
        (("profile", "--device", "cudo"), 2, "cuda"),
        (("spaces", "pvt-nanno"), 2, "did you mean 'pvt-nano'?"),
        (("count", "--space", "pvt-nan", "--arch", "x"), 2, "did you mean 'pvt-nano'?"),
        (("init", "--data", "digits", "--space", "pvt-nanno"), 2, "did you mean 'pvt-nano'?"),
        (("init", "--data", "digits", "--recipe", "covitp"), 2, "did you mean 'covitpp'?"),
        (("recipes", "autoforma"), 2, "did you mean 'autoformer'?"),
        (("init", "--data", "digit"), 1, "did you mean 'digits'?"),
        (("init", "--data", "parts"), 1, "did you mean 'folder:parts'?"),
        (("init", "--data", "./parts"), 1, "did you mean 'folder:./parts'?"),
        (("init", "--data", "../elsewhere"), 1, "did you mean 'folder:../elsewhere'?"),
        (("init", "--data", "foldr:parts"), 1, "did you mean 'folder:parts'?"),
        (("init", "--data", "labels.csv"), 1, "did you mean 'csv:labels.csv'?"),
        (("init", "--data", "folder:prats"), 1, "/parts'?"),
        (("init", "--data", "folder:parts", "--positive", "crak"), 1, "did you mean 'crack'?"),
        (
            ("tables", "show", "amd-epyc_onnxruntime-cpu_fp32_b1_pvt-covid"),
            1,
            "did you mean 'amd-epyc_onnxruntime-cpu_fp32_b1_pvt-covidx'?",
        ),
        (("export", "--format", "onx"), 2, "did you mean 'onnx'?"),
        (("export", "--format", ","), 2, "a name is empty in ','"),
        (("run", "--until", "exprot"), 2, "'exprot' is none of them; did you mean 'export'? known are: init,"),
        (("evaluate", "--split", "tset"), 2, "did you mean 'test'?"),
        (("export", "--precision", "fp61"), 2, "did you mean 'fp16'?"),
    ],
)
@pytest.mark.usefixtures("images")
def test_the_nearest_is_named(edgenas: Run, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    (tmp_path / "labels.csv").write_text("path,label\n", encoding="utf-8")
    ended, _, err = edgenas(*arguments)
    assert ended == code
    assert said in " ".join(err.split())


def test_an_unknown_command_is_one_object_too(edgenas: Run) -> None:
    code, out, _ = edgenas("serach", "--json")
    value = as_object(out)
    assert (code, value["status"]) == (2, "usage")
    assert "did you mean 'search'?" in value["error"]["message"]


def test_help_lists_the_commands_in_the_order_in_which_they_are_used(edgenas: Run) -> None:
    code, out, _ = edgenas("--help")
    listed = [line.split()[0] for line in out.partition("Commands:\n")[2].splitlines() if line.startswith("  ") and line[2] != " "]
    assert code == 0
    assert listed == list(COMMANDS)
    order = ["init", "profile", "plan", "train", "search", "retrain", "evaluate", "export"]
    assert [name for name in listed if name in order] == order
    assert "init, profile, plan, train, search, retrain, evaluate, export, report" in " ".join(out.split())
