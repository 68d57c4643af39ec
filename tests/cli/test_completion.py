"""What the shell offers when the tab key is pressed, asked for as bash, zsh and fish do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgenas.cli import main
from edgenas.data import SOURCES
from edgenas.offering import SOURCES as OFFERED
from edgenas.project.setting_help import setting_keys

Complete = Callable[[str], list[str]]


@pytest.fixture
def complete(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Complete:
    """What bash is offered for a line that ends where the tab key is pressed."""
    monkeypatch.chdir(tmp_path)

    def offered(line: str) -> list[str]:
        words = line.split(" ")
        for name, value in {"_EDGENAS_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit):
            main([])
        return [text.partition(",")[2] for text in capsys.readouterr().out.splitlines()]

    return offered


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with two classes and a table."""
    folder = tmp_path / "edgenas-run"
    for name in ("data", "latency"):
        (folder / name).mkdir(parents=True)
    (folder / "edgenas.toml").write_text("", encoding="utf-8")
    (folder / "data" / "splits.json").write_text(json.dumps({"class_names": ["crack", "plain"]}), encoding="utf-8")
    (folder / "latency" / "my-board.json").write_text("{}", encoding="utf-8")
    return folder


def test_commands_and_options_are_offered(complete: Complete) -> None:
    assert complete("edgenas se") == ["search", "serve", "settings"]
    assert "--latency-ms" in complete("edgenas search --la")


def test_spaces_recipes_formats_and_runtimes_are_offered(complete: Complete) -> None:
    assert complete("edgenas init --space pvt-n") == ["pvt-nano"]
    assert "autoformer-tiny" in complete("edgenas spaces autoformer-")
    assert complete("edgenas train --recipe covit") == ["covit-teacher", "covitpp"]
    assert complete("edgenas export --format trt") == ["trt", "trt-rtx"]
    assert complete("edgenas export --format onnx,tr") == ["onnx,trt", "onnx,trt-rtx"]
    assert complete("edgenas export --precision fp32,fp") == ["fp32,fp16"]
    assert complete("edgenas profile --runtime onnxruntime-cp") == ["onnxruntime-cpu"]


def test_settings_are_offered_with_an_equals_sign_and_then_their_words(complete: Complete) -> None:
    assert complete("edgenas train --set train.epo") == ["train.epochs="]
    assert complete("edgenas train --set ") == [f"{key}=" for key in setting_keys()]
    assert complete("edgenas train --set train.sampling=sand") == ["train.sampling=sandwich"]
    assert complete("edgenas settings pro") == ["profile", *(key for key in setting_keys("profile"))]
    assert complete("edgenas settings train.epo") == ["train.epochs"]


@pytest.mark.usefixtures("run")
def test_classes_tables_and_run_folders_are_those_that_are_there(complete: Complete, tmp_path: Path) -> None:
    assert complete("edgenas search --min-sensitivity cr") == ["crack="]
    assert complete("edgenas search --table my") == ["my-board"]
    assert complete("edgenas tables show amd-epyc_onnxruntime-cpu_fp32_b1_pvt-c") == ["amd-epyc_onnxruntime-cpu_fp32_b1_pvt-covidx"]
    assert complete("edgenas search --table cpu=my") == ["cpu=my-board"]
    assert complete("edgenas train --run ed") == ["edgenas-run"]
    (tmp_path / "other").mkdir()
    (tmp_path / "edgenas-run").rename(tmp_path / "other" / "run-2")
    assert complete("edgenas train --run other/") == ["other/run-2"]
    assert complete("edgenas search --run other/run-2 --min-sensitivity pl") == ["plain="]


def test_sources_and_the_classes_of_a_folder_are_offered(complete: Complete, tmp_path: Path) -> None:
    for name in ("train/crack", "train/plain", "test/crack"):
        (tmp_path / "parts" / name).mkdir(parents=True)
    assert complete("edgenas init --data f") == ["folder:", "fashion-mnist"]
    assert complete("edgenas run --data folder:pa") == ["folder:parts"]
    assert complete("edgenas run --data folder:parts --positive ") == ["crack", "plain"]
    assert {name.rstrip(":") for name in OFFERED} == set(SOURCES.own)


@pytest.mark.parametrize(
    "line", ["edgenas init --space pvt-n", "edgenas train --set train.epo", "edgenas tables show amd", "edgenas export --format o"]
)
def test_offering_is_light(line: str, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom edgenas.cli import main\n"
        "try: main([])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'timm', 'torchvision', 'onnx', 'matplotlib', 'sklearn', 'scipy.stats'}\n"
        "print(*sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    asked = {"_EDGENAS_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=os.environ | asked, cwd=Path(__file__).parents[2]
    )
    assert ended.stdout, ended.stderr
    assert ended.stderr.strip() == ""


@pytest.mark.parametrize(
    ("shell", "said"), [("bash", "complete -o nosort -F"), ("zsh", "compdef"), ("fish", "complete --no-files")]
)
def test_the_lines_of_the_shells_work(
    shell: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_EDGENAS_COMPLETE", f"{shell}_source")
    with pytest.raises(SystemExit):
        main([])
    assert said in capsys.readouterr().out
