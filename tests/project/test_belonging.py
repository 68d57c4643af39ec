"""What a run folder holds after its settings have come to name another space, side or division of the images."""

from __future__ import annotations

import contextlib
import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgenas.cli import main
from edgenas.data.splits import load_splits
from edgenas.project.belonging import OTHER_IMAGES, tables_of_another, weights_of_another
from edgenas.training.folder import WEIGHTS
from tests.project.test_finals import proven, search_found
from tests.project.test_verdict import NETS, opened
from tests.recipes.budgets import edgenas_in, make_project

OTHER = ("--set", "space.name=pit-nano")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_project(tmp_path_factory.mktemp("belonging"))
    search_found(opened(folder)[0], proven(NETS[0], -0.3))
    return folder


def stages_of(value: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {stage["name"]: (stage["state"], stage["command"]) for stage in value["result"]["stages"]}


def next_said(folder: Path, *arguments: str) -> str:
    """The last line that `info` says on stderr."""
    err = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        with pytest.raises(SystemExit) as ended:
            main(["info", *arguments])
        assert not ended.value.code
    return err.getvalue().splitlines()[-1]


def test_stages_of_another_space_are_outdated_and_the_first_of_them_comes_next(made: Path) -> None:
    code, value, _ = edgenas_in(made, "info", *OTHER)
    assert code == 0
    stages = stages_of(value)
    assert [stages[name] for name in ("latency table", "supernet", "search")] == [
        ("outdated", "edgenas profile"),
        ("outdated", "edgenas train --force"),
        ("outdated", "edgenas search --latency-ms MS"),
    ]
    assert next_said(made, *OTHER) == "next: edgenas profile"
    assert any("space is 'pvt-nano' there, 'pit-nano' here" in text for text in value["warnings"])


def test_stages_of_the_same_space_are_there(made: Path) -> None:
    stages = stages_of(edgenas_in(made, "info")[1])
    assert {stages[name][0] for name in ("latency table", "supernet", "search")} == {"there"}
    assert next_said(made) == "next: edgenas retrain"


def test_a_stage_that_is_missing_goes_before_a_later_one_that_is_outdated(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "work")
    shutil.rmtree(tmp_path / "work" / "edgenas-run" / "latency")
    assert next_said(tmp_path / "work", *OTHER) == "next: edgenas profile"


def test_a_winner_of_another_space_is_refused_with_what_to_do(made: Path) -> None:
    code, value, _ = edgenas_in(made, "retrain", *OTHER, "--set", "retrain.start=scratch", "--set", "retrain.teaching=labels")
    assert code == 1
    assert value["error"]["message"].endswith("is of a search of pvt-nano, and the settings now name pit-nano")
    assert "run `edgenas search` again" in value["error"]["hint"]


def test_another_side_and_another_division_are_told(made: Path) -> None:
    project, _ = opened(made, "data.image_px=48")
    splits = load_splits(project.run.splits)
    path = project.run.supernet / WEIGHTS
    assert "image_px is 32 there, 48 here" in str(weights_of_another(project, splits, path))
    assert "image_px: measured for 32, asked for 48" in str(tables_of_another(project, splits))
    usual = opened(made)[0]
    assert weights_of_another(usual, splits, path) is None  # the images tell the side of this space
    assert OTHER_IMAGES in str(weights_of_another(usual, replace(splits, fingerprint="another"), path))
