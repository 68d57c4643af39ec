"""Every stage is killed at random moments; the same command goes on and ends as if nothing had happened."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.recipes.killing import SMALL, STAGES, Zygote, hashes, untimed_log, zygote

SEED = 20261125
RUN = "edgenas-run"
OWN = {
    "train": ("teacher", "supernet"),
    "profile": ("latency",),
    "search": ("search",),
    "retrain": ("retrain",),
    "export": ("export",),
}


@dataclass(frozen=True)
class Reference:
    """A project that nobody interrupted: the folder as it was before and after every stage, and how long it took."""

    folder: Path
    seconds: dict[str, float]

    def before(self, stage: str) -> Path:
        return self.folder / f"before-{stage}"

    def after(self, stage: str) -> Path:
        return self.folder / f"after-{stage}"


@pytest.fixture(scope="module")
def edgenas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    with zygote(tmp_path_factory.mktemp("zygote")) as server:
        yield server


@pytest.fixture(scope="module")
def reference(edgenas: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("reference")
    work, seconds = folder / "work", {}
    work.mkdir()
    sets = [part for setting in SMALL for part in ("--set", setting)]
    ended = edgenas(work, "init", "--data", "digits", *sets)
    assert ended.code == 0, ended.out
    for stage, arguments in STAGES.items():
        shutil.copytree(work, folder / f"before-{stage}")
        ended = edgenas(work, *arguments)
        assert ended.code == 0, (stage, ended.out, ended.err)
        seconds[stage] = ended.seconds
        shutil.copytree(work, folder / f"after-{stage}")
    return Reference(folder, seconds)


def assert_equal(stage: str, found: Path, expected: Path) -> None:
    """What a stage wrote is what it writes when it is not interrupted, but for what a clock says."""
    if stage == "train":
        for net in ("teacher", "supernet"):
            assert (found / net / "weights.safetensors").read_bytes() == (expected / net / "weights.safetensors").read_bytes()
            assert untimed_log(found / net / "log.jsonl") == untimed_log(expected / net / "log.jsonl")
    elif stage == "profile":
        (table,), (other,) = ([json.loads(p.read_text()) for p in (f / "latency").glob("*.json")] for f in (found, expected))
        assert [row["arch"] for row in table["validation"]["rows"]] == [row["arch"] for row in other["validation"]["rows"]]
        assert len(table["entries"]) == len(other["entries"])
        assert not (found / "latency" / "journal.jsonl").exists()
    elif stage == "search":
        assert (found / "search" / "search.jsonl").read_bytes() == (expected / "search" / "search.jsonl").read_bytes()
        assert not (found / "search" / "journal.jsonl").exists()
    elif stage == "retrain":
        for net in ("retrain", "retrain/baseline"):
            assert (found / net / "weights.safetensors").read_bytes() == (expected / net / "weights.safetensors").read_bytes()
            assert untimed_log(found / net / "log.jsonl") == untimed_log(expected / net / "log.jsonl")
    else:
        new, old = hashes(found / "export"), hashes(expected / "export")
        assert new.keys() == old.keys()
        assert {name: new[name] for name in new if name.endswith(".onnx")} == {
            name: old[name] for name in old if name.endswith(".onnx")
        }
    left = [path.relative_to(found) for path in found.rglob(".*") if path.name != ".lock"]
    assert not left, f"temporary files stay behind: {left}"


def timings_of(run: Path) -> list[str]:
    """Whole lines of the journals of timings."""
    lines = []
    for name in ("latency/journal.jsonl", "search/journal.jsonl", "retrain/journal.jsonl"):
        path = run / name
        text = path.read_text(errors="replace") if path.exists() else ""
        lines += text[: text.rfind("\n") + 1].splitlines()
    return lines


def survive(edgenas: Zygote, reference: Reference, stage: str, kills: int, tmp_path: Path) -> tuple[int, int]:
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
        ended = edgenas(work, *STAGES[stage], kill_after_s=kill_after_s, number=number)
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


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_is_killed_goes_on_as_if_nothing_had_happened(
    stage: str, edgenas: Zygote, reference: Reference, tmp_path: Path
) -> None:
    killed, finished = survive(edgenas, reference, stage, 2, tmp_path)
    assert killed == 2
    assert finished >= 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_survives_twenty_kills_at_random_moments(
    stage: str, edgenas: Zygote, reference: Reference, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    killed, finished = survive(edgenas, reference, stage, 24, tmp_path)
    record_property("kills", f"{stage}: {killed} kills, {finished} times to the end, seed {SEED}")
    assert killed >= 20
