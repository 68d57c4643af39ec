"""Every stage is killed at random moments; the same command goes on and ends as if nothing had happened."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.recipes.killing import OWN, RUN, STAGES, Reference, Zygote, assert_equal, hashes, untimed_log

SEED = 20261125


def timings_of(run: Path) -> list[str]:
    """Whole lines of the journals of timings."""
    lines = []
    for name in ("latency/journal.jsonl", "search/journal.jsonl", "retrain/journal.jsonl"):
        path = run / name
        text = path.read_text(errors="replace") if path.exists() else ""
        lines += text[: text.rfind("\n") + 1].splitlines()
    return lines


def survive(zygote_edgenas: Zygote, reference: Reference, stage: str, kills: int, tmp_path: Path) -> tuple[int, int]:
    """Kill a stage so many times; how often it was killed and how often it came to its end in between."""
    rng = np.random.default_rng([SEED, list(STAGES).index(stage)])
    signals = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
    earlier = {name: value for name, value in hashes(reference.before(stage) / RUN).items() if name.split("/")[0] not in OWN[stage]}
    killed = finished = 0
    work = tmp_path / "work"
    while killed < kills or finished == 0:
        if not work.exists():
            shutil.copytree(reference.before(stage), work)
        known = timings_of(work / RUN)
        kill_after_s = float(rng.uniform(0, reference.seconds[stage])) if killed < kills else None
        number = signals[int(rng.integers(len(signals)))]
        ended = zygote_edgenas(work, *STAGES[stage], kill_after_s=kill_after_s, number=number)
        assert "Traceback" not in ended.err, ended.err
        now = hashes(work / RUN)
        assert {name: now.get(name) for name in earlier} == earlier, "a kill lost what an earlier command made"
        if ended.code == 0:
            assert_equal(stage, work / RUN, reference.after(stage) / RUN)
            shutil.rmtree(work)
            finished += 1
            continue
        assert ended.code in (-number, 130), (ended.code, ended.out, ended.err)
        assert timings_of(work / RUN)[: len(known)] == known, "timings that were there are gone"
        killed += 1
    return killed, finished


@pytest.mark.parametrize(("stage", "kills"), [("train", 2), ("retrain", 1)])  # below are twenty of every stage
def test_a_stage_that_is_killed_goes_on_as_if_nothing_had_happened(
    stage: str, kills: int, zygote_edgenas: Zygote, reference: Reference, tmp_path: Path
) -> None:
    killed, finished = survive(zygote_edgenas, reference, stage, kills, tmp_path)
    assert killed == kills
    assert finished >= 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_survives_twenty_kills_at_random_moments(
    stage: str, zygote_edgenas: Zygote, reference: Reference, tmp_path: Path
) -> None:
    killed, finished = survive(zygote_edgenas, reference, stage, 24, tmp_path)
    sys.stdout.write(f"{stage}: {killed} kills, {finished} times to the end, seed {SEED}\n")  # shown by pytest -rP
    assert killed >= 20


@pytest.mark.slow
def test_training_with_loading_processes_survives_kills_and_leaves_none_of_them(
    zygote_edgenas: Zygote, reference: Reference, tmp_path: Path
) -> None:
    settings = ("data.cache_mb=0", "data.workers=2", "train.augmentation=base", "train.epochs=1", "teacher.epochs=1")
    command = ("train", *(part for setting in settings for part in ("--set", setting)))
    for name in ("whole", "cut"):
        shutil.copytree(reference.before("train"), tmp_path / name)
    whole = zygote_edgenas(tmp_path / "whole", *command)
    assert whole.code == 0, whole.out
    rng = np.random.default_rng([SEED, 99])
    killed, ended = 0, None
    while ended is None or ended.code != 0:
        kill_after_s = float(rng.uniform(0, whole.seconds / 2)) if killed < 8 else None
        ended = zygote_edgenas(tmp_path / "cut", *command, kill_after_s=kill_after_s)
        assert ended.code in (0, -signal.SIGKILL), (ended.out, ended.err)
        killed += ended.code != 0
        time.sleep(2.0)  # orphans look for their parent once a second
        assert not children_in(tmp_path / "cut")
    assert killed >= 2  # or it came to its end before
    for net in ("teacher", "supernet"):
        assert untimed_log(tmp_path / "cut" / RUN / net / "log.jsonl") == untimed_log(tmp_path / "whole" / RUN / net / "log.jsonl")
        same = [(tmp_path / name / RUN / net / "weights.safetensors").read_bytes() for name in ("cut", "whole")]
        assert same[0] == same[1]


def children_in(folder: Path) -> list[int]:
    """Processes that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve() == folder.resolve():
                found.append(int(process.name))
        except OSError:
            continue
    return found
