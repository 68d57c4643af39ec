"""A run folder remembers which of its results a quick run left."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgenas.config import build, merge, parse_overrides
from edgenas.project.settings import ProjectSettings
from edgenas.runs import RunFolder
from edgenas.runs.quick import QUICK, quick_overrides, quick_stages, quick_words, remembering
from edgenas.runs.stages import WEIGHTS


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    folder.config.write_text("", encoding="utf-8")
    return folder


def train(run: RunFolder, weights: str, *, quick: bool, killed: bool = False) -> None:
    with remembering(run, "train", quick=quick):
        run.supernet.mkdir(exist_ok=True)
        (run.supernet / WEIGHTS).write_text(weights, encoding="utf-8")
        if killed:
            raise KeyboardInterrupt


def test_the_quick_settings_are_settings() -> None:
    tables = merge({"data": {"source": "digits"}}, parse_overrides(quick_overrides(True)))
    settings = build(ProjectSettings, tables, source="the quick settings")
    assert {key: getattr(getattr(settings, key.split(".")[0]), key.split(".")[1]) for key in QUICK} == QUICK
    assert quick_overrides(False) == ()


def test_a_quick_result_is_remembered_until_another_stands_in_its_place(run: RunFolder) -> None:
    train(run, "quick weights", quick=True)
    assert quick_stages(run) == ("train",)
    train(run, "quick weights", quick=False)  # which are kept, as they are there
    assert quick_stages(run) == ("train",)
    train(run, "better weights", quick=False)
    assert quick_stages(run) == ()


def test_a_quick_run_that_keeps_what_is_there_does_not_make_it_quick(run: RunFolder) -> None:
    train(run, "weights", quick=False)
    train(run, "weights", quick=True)
    assert quick_stages(run) == ()


def test_a_quick_stage_that_is_killed_marks_only_what_it_has_left(run: RunFolder) -> None:
    train(run, "weights", quick=False)
    with pytest.raises(KeyboardInterrupt), remembering(run, "train", quick=True):
        raise KeyboardInterrupt
    assert quick_stages(run) == ()
    with pytest.raises(KeyboardInterrupt):
        train(run, "quick weights", quick=True, killed=True)
    assert quick_stages(run) == ("train",)
    train(run, "quick weights", quick=False)
    assert quick_stages(run) == ("train",)


def test_results_that_rest_on_a_quick_stage_say_so(run: RunFolder) -> None:
    train(run, "quick weights", quick=True)
    for command in ("train", "search", "retrain", "evaluate", "export", "compare", "info", "run", "demo"):
        words = quick_words(run, command)
        assert words is not None, command
        assert words.startswith("quick: train took a few steps only"), command
        assert words.endswith("not for a decision"), command
    for command in ("init", "profile", "plan", "tables", "settings", "verify"):
        assert quick_words(run, command) is None, command


def test_nothing_is_written_where_nothing_is_quick(run: RunFolder) -> None:
    train(run, "weights", quick=False)
    assert not (run.path / "quick.json").exists()
    assert quick_words(None, "train") is None
