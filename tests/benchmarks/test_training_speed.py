"""What a training's steps cost beside plain nets'."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import training_speed
from benchmarks.training_speed import CASES, Case, Ratio, lines, main, peaks_mib, sandwich_ratio, shares_of, waiting
from edgenas.data import open_source
from edgenas.data.batches import TrainBatches
from edgenas.data.loaders import ImageStore
from edgenas.data.preprocess import Preprocess


def test_a_ratio_is_that_of_the_visits() -> None:
    ratio = Ratio.of([1.0, 4.0, 9.0], [2.0, 2.0, 3.0])
    assert (ratio.value, ratio.low, ratio.high) == (2.0, 1.25, 2.5)  # of 0.5, 2 and 3
    assert (ratio.seconds, ratio.visits) == (4.0, 3)


def test_shares_are_of_all_seconds() -> None:
    log = [{"seconds": 4.0, "elapsed_s": 5.0}, {"seconds": 4.0, "elapsed_s": 10.0}]
    assert shares_of(log, 0.5) == pytest.approx({"seconds": 10.0, "waiting": 0.05, "evaluation": 0.2})


def test_waiting_is_counted_batch_by_batch_and_only_inside() -> None:
    store = ImageStore(open_source("digits"), Preprocess(8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), memory_bytes=1 << 20)
    batches = TrainBatches(store, np.arange(40), 10, workers=0)
    plain = [images_NCHW.clone() for images_NCHW, _ in batches(0)]
    with waiting() as waits:
        timed = [images_NCHW.clone() for images_NCHW, _ in batches(0)]
    assert len(waits) == len(plain) + 1  # the end, too
    assert min(waits) > 0
    assert all(one.equal(other) for one, other in zip(plain, timed, strict=True))
    list(batches(0))
    assert len(waits) == len(plain) + 1


def test_a_step_of_a_supernet_does_the_work_of_its_subnets() -> None:
    ticks = iter(range(100))
    ratio = sandwich_ratio(Case("autoformer-nano", 2), 2, lambda: float(next(ticks)))
    assert ratio.value == pytest.approx(1 / 3)  # one step and three, of a tick each
    assert ratio.visits == 2


def test_rows_of_the_table_say_what_was_measured() -> None:
    measured = {
        "sandwich": {"autoformer-nano": {"value": 0.95, "low": 0.9, "high": 1.0, "seconds": 1.0, "visits": 3}},
        "shares": {"even": {"seconds": 9.0, "waiting": 0.01, "evaluation": 0.04}},
        "peak_mib": {"autoformer-nano": {"plain": 100.0, "sandwich": 150.0}},
    }
    told = "\n".join(lines(measured))
    for part in ("batch 64", "0.95 (0.90 to 1.00)", "| 1.0 % |", "| 4.0 % |", "150 MiB, 100 MiB, 1.50"):
        assert part in told


@pytest.mark.slow
def test_everything_is_measured_on_a_small_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = (Case("autoformer-nano", 8),)
    monkeypatch.setattr(training_speed, "CASES", small)
    arguments = ["--spaces", "autoformer-nano", "--visits", "2", "--memory-steps", "2", "--data", "digits", "--per-class", "40"]
    assert main([*arguments, "--epochs", "1", "--output", str(tmp_path / "speed.json")]) == 0
    measured = json.loads((tmp_path / "speed.json").read_text())
    assert measured["sandwich"]["autoformer-nano"]["visits"] == 2
    for each in measured["shares"].values():
        assert 0 < each["waiting"] < 1
        assert 0 < each["evaluation"] < 1
    peaks = peaks_mib(small[0], 2)
    assert peaks["sandwich"] > peaks["plain"] > 1
    assert CASES[0].space == "pvt-elastic-nano"
