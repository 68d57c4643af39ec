"""Finalists are candidates with more known of them; the candidates stay as they were judged on select."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from edgenas.latency.fit.promise import Bound
from edgenas.latency.measuring import Measured
from edgenas.project.searching.costing import DeviceTable
from edgenas.project.searching.finalists import LESS_ROOM, _Room, timed
from edgenas.records import CandidateRow, Latencies
from edgenas.search import Candidate
from edgenas.search.finalists import Finalist, choose
from edgenas.stats import Proportion

SLOW = Measured(2.0, 2.2, 2.4, 2.8, 1.0)  # p50, p90, p95 and p99 in milliseconds


def device(alias: str, limit_ms: float | None, quantile: str | None = None) -> DeviceTable:
    share = {"value": 1.0, "low": 0.9, "high": 1.0, "n": 20}
    bound = None if quantile is None else Bound(cast(Any, quantile), 0.95, 1.1, 40, 36, share, share)
    return DeviceTable(alias, cast(Any, None), limit_ms, bound)


def finalist(*aliases: str) -> Finalist:
    expected = Latencies(predicted_ms=1.0, upper_ms=1.1, measured_ms=None)
    row = CandidateRow(
        arch={"number": 1},
        params=10,
        macs=100,
        latency_ms_predicted=1.0,
        latencies=dict.fromkeys(aliases, expected) or None,
        top1=0.9,
        sensitivity={},
        generation=0,
        origin="random",
        rejected_by=("sensitivity[ill]",),
        top1_confirm=Proportion(0.9, 0.8, 0.95, 100),
    )
    return Finalist(Candidate((1,), 0, "random", np.zeros((1, 2), dtype=np.float16), 0.9, -0.5, 0.0), row)


def test_a_candidate_is_as_it_was_after_its_finalist_is_rejected() -> None:
    before = finalist()
    row = before.row.as_json()
    judged = timed(before, device("", 1.5), SLOW, is_first=True)
    assert judged.row.rejected_by == ("sensitivity[ill]", "latency_ms")
    assert judged.row.reasons == {"latency_ms": "measured 2 ms (median); asked 1.5"}
    assert judged.measured == {"latency_ms": 2.0}
    assert (judged.row.latency_ms_measured, judged.row.latency_ms_p95) == (2.0, 2.4)
    assert before.row.as_json() == row
    assert before.measured == {}


def test_a_limit_that_is_met_rejects_nothing() -> None:
    judged = timed(finalist(), device("", 2.0), SLOW, is_first=True)
    assert judged.row.rejected_by == ("sensitivity[ill]",)
    assert choose([judged]) is None  # the floor keeps it out


def test_the_promised_quantile_is_judged_and_said() -> None:
    judged = timed(finalist(), device("", 2.1, "p90"), SLOW, is_first=True)
    assert judged.row.rejected_by[-1] == "latency_ms"
    assert judged.row.reasons == {"latency_ms": "measured 2.2 ms (p90); asked 2.1"}
    assert judged.row.as_json()["latency_ms_quantile"] == {"quantile": "p90", "ms": 2.2}


def test_percentiles_carry_the_calls_behind_them() -> None:
    counted = replace(SLOW, calls=320, p90_upper_ms=2.3, p95_upper_ms=2.5)
    row = timed(finalist("cpu"), device("cpu", 3.0), counted, is_first=True).row
    assert row.latency_ms_percentiles is not None
    assert row.latencies is not None
    assert row.latencies["cpu"].percentiles == row.latency_ms_percentiles
    words = [percentile.words(name) for name, percentile in row.latency_ms_percentiles.items()]
    assert words == [
        "p90 2.2 ms of 320 calls (99 % confident: <= 2.3 ms)",
        "p95 2.4 ms of 320 calls (99 % confident: <= 2.5 ms)",
        "p99 2.8 ms of 320 calls (too few calls: 662 tell)",
    ]


@pytest.mark.parametrize("is_first", [False, True])
def test_every_device_is_timed_by_itself(is_first: bool) -> None:
    judged = timed(finalist("jetson", "cpu"), device("cpu", 1.5), SLOW, is_first=is_first)
    latencies = judged.row.as_json()["latencies"]
    assert latencies["jetson"] == {"predicted_ms": 1.0, "upper_ms": 1.1, "measured_ms": None}
    quantiles = {"p50_ms": 2.0, "p90_ms": 2.2, "p95_ms": 2.4, "p99_ms": 2.8}
    assert latencies["cpu"] == {"predicted_ms": 1.0, "upper_ms": 1.1, "measured_ms": 2.0} | quantiles
    assert judged.row.rejected_by[-1] == "latency_ms[cpu]"
    assert (judged.row.latency_ms_measured == 2.0) == is_first


@pytest.mark.parametrize(("least_ms", "rejected"), [(2.0, ()), (2.1, ("latency_ms[cpu]>=",))])
def test_a_net_that_measures_faster_than_its_lower_limit_is_rejected(least_ms: float, rejected: tuple[str, ...]) -> None:
    judged = timed(finalist("cpu"), replace(device("cpu", 3.0, "p90"), least_ms=least_ms), SLOW, is_first=True)
    assert judged.row.rejected_by == ("sensitivity[ill]", *rejected)


def test_only_limits_that_measured_nets_broke_leave_less_room() -> None:
    slow, away = "latency_ms", "latency_ms[away]"
    room = _Room({slow: 1.5, away: 9.0}, {slow: np.array([1.0, 1.2]), away: np.array([8.9, 9.0])}, {slow: 1.0, away: 1.0})
    judged = timed(finalist(), device("", 1.5), SLOW, is_first=True)  # 2 ms
    after = room.after([0], [judged])
    assert after.margin == {slow: 0.5, away: 1.0}
    assert [after.is_within(place) for place in range(2)] == [False, False]
    assert room.after([0], [timed(finalist(), device("", 2.0), SLOW, is_first=True)]).margin == {slow: 1.0, away: 1.0}
    barely = replace(SLOW, latency_ms=1.51)
    assert room.after([1], [timed(finalist(), device("", 1.5), barely, is_first=True)]).margin[slow] == 1.2 / 1.51
    flattered = replace(room, predicted_A={**room.predicted_A, slow: np.array([1.6, 1.6])})
    assert flattered.after([0], [timed(finalist(), device("", 1.5), barely, is_first=True)]).margin[slow] == LESS_ROOM
