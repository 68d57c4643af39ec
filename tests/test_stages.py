"""Which command comes next, as the run folder says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgenas.runs import RunFolder
from edgenas.runs.stages import ORDER, next_command, product
from edgenas.runs.verified import is_verified, keep_verified

FILES = {
    "init": "data/splits.json",
    "profile": "latency/table.json",
    "train": "supernet/weights.safetensors",
    "search": "search/result.json",
    "retrain": "retrain/result.json",
    "export": "export/onnx/manifest.json",
    "report": "report/index.html",
}


def taken(folder: Path, *stages: str) -> RunFolder:
    """A run folder in which stages were taken, one after the other."""
    for second, stage in enumerate(stages, 1):
        path = folder / FILES[stage]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}", encoding="utf-8")
        os.utime(path, (second, second))
    return RunFolder(folder)


def test_every_stage_that_leaves_something_is_seen(tmp_path: Path) -> None:
    run = taken(tmp_path, *FILES)
    assert {stage for stage in ORDER if product(run, stage) is not None} == set(FILES)
    assert {stage for stage in ORDER if product(RunFolder(tmp_path / "empty"), stage) is not None} == set()


@pytest.mark.parametrize(
    ("there", "after", "command"),
    [
        (("init",), "init", "profile"),
        (("init", "profile"), "profile", "plan --latency-ms MS"),
        (("init", "profile"), "plan", "train"),
        (("init", "profile", "train"), "train", "search --latency-ms MS"),
        (("init", "train"), "train", "profile"),  # which the search rests on
        (("init", "profile"), "train", "train"),  # of which the teacher was made alone
        (("init", "profile", "train", "search"), "search", "retrain"),
        (("init", "profile", "train", "search", "retrain"), "retrain", "evaluate --split test"),
        (("init", "profile", "train", "search", "retrain"), "evaluate", "export --format onnx"),
        (("init", "profile", "train", "search", "export"), "export", "report"),
        (("init", "profile", "train", "search", "retrain", "export", "report", "train"), "train", "search --latency-ms MS"),
        (("init", "profile", "train", "search"), "info", "retrain"),
        ((), "info", "init --data SOURCE"),
    ],
)
def test_the_next_command_is_the_first_that_is_missing_or_outdated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], after: str, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    run = taken(Path("edgenas-run"), *there)
    assert next_command(run, None if after == "info" else after) == f"edgenas {command}"


def test_where_all_is_done_the_artefact_can_be_verified(tmp_path: Path) -> None:
    run = taken(tmp_path, *FILES)
    assert next_command(run, "report") == f"edgenas verify {tmp_path}/export/onnx"
    assert next_command(run) == f"edgenas verify {tmp_path}/export/onnx"


def test_what_has_been_verified_is_not_to_be_verified_again_until_it_is_another(tmp_path: Path) -> None:
    run = taken(tmp_path, *FILES)
    run.config.write_text("", encoding="utf-8")
    artefact = tmp_path / "export" / "onnx"
    keep_verified(RunFolder(tmp_path / "elsewhere"), artefact)  # the command was typed with the usual run folder
    assert is_verified(run, artefact)
    assert next_command(run) is None
    assert next_command(run, "report") is None
    (artefact / "manifest.json").write_text('{"another": 1}', encoding="utf-8")
    assert next_command(run) == f"edgenas verify {artefact}"


def test_an_artefact_written_elsewhere_is_the_one_to_verify(tmp_path: Path) -> None:
    run, elsewhere = taken(tmp_path / "run", "init", "profile", "train", "search", "retrain", "report"), tmp_path / "my device"
    elsewhere.mkdir()
    (elsewhere / "manifest.json").write_text("{}", encoding="utf-8")
    assert next_command(run, "export", elsewhere) == f"edgenas verify '{elsewhere}'"
    run.config.write_text("", encoding="utf-8")
    keep_verified(run, elsewhere)
    assert next_command(run, "export", elsewhere) is None


def test_a_run_folder_that_cannot_be_written_or_read_stops_no_verification(tmp_path: Path) -> None:
    run = taken(tmp_path, *FILES)
    run.config.write_text("", encoding="utf-8")
    (tmp_path / "verified.json").write_text("{", encoding="utf-8")
    assert not is_verified(run, tmp_path / "export" / "onnx")
    keep_verified(run, tmp_path / "export" / "onnx")
    assert is_verified(run, tmp_path / "export" / "onnx")
    keep_verified(RunFolder(tmp_path / "none"), tmp_path / "nothing")


def test_limits_of_the_settings_need_not_be_typed_and_another_run_folder_must_be(tmp_path: Path) -> None:
    run = taken(tmp_path / "my run", "init", "profile")
    assert next_command(run, "profile") == f"edgenas plan --latency-ms MS --run '{tmp_path}/my run'"
    run.config.write_text("[search]\nlatency_ms = 5.0\n", encoding="utf-8")
    assert next_command(run, "profile") == f"edgenas plan --run '{tmp_path}/my run'"
    run.config.write_text("[search\n", encoding="utf-8")
    assert next_command(run, "profile") == f"edgenas plan --latency-ms MS --run '{tmp_path}/my run'"
