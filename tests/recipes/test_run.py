"""`edgenas run` on real images: what is there is taken over, what cannot be is said before anything is trained."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from edgenas.runs.stages import ORDER
from tests.recipes.killing import RUN, SMALL, Reference, Zygote
from tests.recipes.test_end_to_end import Result, edgenas_in

SETS = tuple(part for setting in SMALL for part in ("--set", setting))
UNTIL = ("--until", "export")


@pytest.fixture
def measured(reference: Reference, tmp_path: Path) -> Path:
    """A project whose nets are trained and whose device is measured, by their own commands."""
    shutil.copytree(reference.before("search") / RUN, tmp_path / RUN)
    return tmp_path


def states(ended: Result) -> dict[str, str]:
    return {stage["name"]: stage["state"] for stage in ended[1]["result"]["stages"]}


@pytest.mark.usefixtures("short_pace")
def test_what_other_commands_have_done_is_taken_over_and_a_limit_that_nothing_meets_ends_it(
    measured: Path, zygote_edgenas: Zygote
) -> None:
    first = edgenas_in(measured, "run", "--latency-ms", "5", "--until", "train")
    code, value, err = first
    assert code == 0, value["error"]
    assert states(first) == {"init": "kept", "profile": "kept", "plan": "done", "train": "done"}
    assert value["result"]["results"]["train"]["supernet"]["select_top1"]
    assert "[2/4] profile: done before, skipped" in err
    assert "[4/4] train: training the teacher, then the supernet" in err
    assert value["outputs"] == {"config": "edgenas.toml"}
    second = edgenas_in(measured, "run", "--latency-ms", "5", "--until", "train")
    assert states(second) == dict.fromkeys(ORDER[:4], "kept")
    assert json.loads((measured / RUN / "run.json").read_text())["stages"]["train"]["is_done"]

    code, value, err = edgenas_in(measured, "run", "--latency-ms", "0.0001", *UNTIL)
    assert (code, value["status"], value["error"]["type"]) == (3, "infeasible", "InfeasibleError")
    stages = {stage["name"]: stage["state"] for stage in value["result"]["stages"]}
    assert [stages[name] for name in ORDER[:5]] == ["kept", "kept", "failed", "not reached", "not reached"]
    assert value["result"]["results"]["plan"]["closest"]


def test_what_cannot_be_meant_is_said_at_once(measured: Path) -> None:
    code, value, _ = edgenas_in(measured, "run", "--data", "folder:parts", "--latency-ms", "5")
    assert (code, value["error"]["message"]) == (1, "edgenas-run holds another project")
    code, value, _ = edgenas_in(measured, "run", "--run", "new", "--latency-ms", "5")
    assert (code, value["status"], value["error"]["hint"]) == (2, "usage", "give --data SOURCE, e.g. --data folder:DIR")
    code, value, _ = edgenas_in(measured, "run", "--run", "new", "--data", "digits", "--min-sensitivity", "8=0.9")
    assert (code, value["error"]["message"]) == (2, "no limit on what a net may cost is set")
    again = ("run", "--latency-ms", "5", "--until", "profile", "--set", "search.seed=1")
    code, value, _ = edgenas_in(measured, *again, "--min-sensitivity", "88=0.9")
    assert (code, value["error"]["message"]) == (1, "a sensitivity is asked for of no class of the data: 88")
    code, value, _ = edgenas_in(
        measured, *again, "--run", "new", "--data", "digits", "--positive", "8", "--min-sensitivity", "88=0.9"
    )
    assert (code, value["error"]["message"]) == (1, "a sensitivity is asked for of no class of the data: 88")
    assert not (measured / "new").exists()


@pytest.mark.slow
def test_a_whole_run_that_is_killed_again_and_again_comes_to_its_end(zygote_edgenas: Zygote, tmp_path: Path) -> None:
    rng = np.random.default_rng(20261129)
    arguments = ("run", "--data", "digits", "--image-px", "16", "--latency-ms", "5", "--baseline", *UNTIL, *SETS)
    kills, ended = 0, zygote_edgenas(tmp_path, *arguments, kill_after_s=8.0)
    while ended.code != 0:
        kills += 1
        assert kills < 40, ended.out
        after_s = float(rng.uniform(5, 20)) if kills < 8 else None
        ended = zygote_edgenas(tmp_path, *arguments, kill_after_s=after_s)
    rows = {stage["name"]: stage for stage in ended.value["result"]["stages"]}
    assert set(rows) == set(ORDER[:-1])
    assert {row["state"] for row in rows.values()} <= {"done", "kept"}
    assert kills >= 3
    again = zygote_edgenas(tmp_path, *arguments)
    assert {stage["state"] for stage in again.value["result"]["stages"]} == {"kept"}
    assert (tmp_path / RUN / "export" / "onnx" / "manifest.json").is_file()


def test_a_quick_run_takes_a_small_space_unless_one_is_named(zygote_edgenas: Zygote, tmp_path: Path) -> None:
    arguments = ("run", "--data", "digits", "--max-params", "3M", "--quick", "--until", "init")
    ended = zygote_edgenas(tmp_path, *arguments)
    assert ended.code == 0, ended.out
    settings = tomllib.loads((tmp_path / RUN / "edgenas.toml").read_text())
    assert (settings["space"]["name"], settings["data"]["image_px"]) == ("pvt-nano", 32)
    again = zygote_edgenas(tmp_path, *arguments)
    assert [stage["state"] for stage in again.value["result"]["stages"]] == ["kept"]
    named = zygote_edgenas(tmp_path, *arguments, "--space", "pvt-elastic-nano", "--run", "other")
    assert named.code == 0, named.out
    assert tomllib.loads((tmp_path / "other" / "edgenas.toml").read_text())["space"]["name"] == "pvt-elastic-nano"


@pytest.mark.slow
def test_a_quick_run_says_that_it_is_not_for_a_decision(zygote_edgenas: Zygote, tmp_path: Path) -> None:
    arguments = ("--data", "digits", "--image-px", "16", "--space", "pvt-nano[depths[2]=1,depths[3]=1,pool_size=2]")
    ended = zygote_edgenas(tmp_path, "run", *arguments, "--max-params", "130k", "--quick", "--until", "export")
    assert ended.code == 0, ended.out
    words = "quick: profile, train, search, retrain took a few steps only: this shows the path, not the quality, "
    words += "and is not for a decision"
    assert words in ended.value["warnings"]
    assert ended.value["result"]["quick"] is True
    for command in (("info",), ("evaluate",), ("export", "--format", "onnx")):
        assert words in zygote_edgenas(tmp_path, *command).value["warnings"], command
    manifest = json.loads((tmp_path / RUN / "export" / "onnx" / "manifest.json").read_text())
    assert manifest["quick"] == ["profile", "train", "search", "retrain"]
