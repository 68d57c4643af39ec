"""How many candidates a second a search looks at: floors well below what was measured, by CPU time."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.search_rates import Rate, feasible, invented_latency, limit_at, lines, pipeline, timed
from edgenas.spaces.pvt import PVT_NANO


def test_a_rate_has_its_quartiles_and_a_line() -> None:
    rate = timed("a", "count", lambda: len(range(1000)), visits=5)
    assert 0 < rate.low <= rate.value <= rate.high
    assert rate.visits == 5
    shown = list(lines([Rate("a", "draw", 2e6, 1e6, 3e6, 1.5e6, 5), Rate("b", "within", 2e5, 1e5, 3e5, 1e5, 5, 1e-7, 0.9, 0.2)]))
    assert shown[2] == "| a | draw | 2.00 | 1.00 to 3.00 | 1.50 | | | |"
    assert shown[3] == "| b | within | 0.20 | 0.10 to 0.30 | 0.10 | 1e-07 | 0.900 | 0.20 |"


def test_a_limit_leaves_the_share_that_was_asked_for() -> None:
    cost = invented_latency(PVT_NANO)
    costs_A = cost(PVT_NANO.enumerate())
    limit = limit_at(PVT_NANO, cost, 0.01)
    assert (costs_A <= limit.limit).mean() == pytest.approx(0.01, rel=0.05)
    assert np.isfinite(limit.limit)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pvt-elastic", "autoformer-tiny"])
def test_half_a_million_candidates_a_second_are_drawn_costed_and_judged(name: str) -> None:
    rates = {rate.stage: rate for rate in pipeline(name, visits=5)}
    assert rates["all of it"].value > 500_000


@pytest.mark.slow
@pytest.mark.parametrize("quantity", ["params", "macs", "latency_ms"])
def test_a_share_of_a_ten_millionth_is_drawn_from_at_50_000_a_second(quantity: str) -> None:
    rate = feasible("pvt-elastic", quantity, visits=3)
    assert 0.2e-7 < rate.share < 2e-7
    assert rate.accepted > 0.5
    assert rate.value > 50_000
