"""MLPerf's early-stopping estimate of percentiles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from edgenas.latency.timing import calls_needed, upper_ms
from edgenas.latency.timing.measure import measurement_of
from edgenas.latency.timing.samples import NetTiming


def test_as_many_calls_are_needed_as_mlperf_needs() -> None:
    assert [calls_needed(share) for share in (0.9, 0.95, 0.99)] == [64, 130, 662]


@pytest.mark.parametrize("share", [0.9, 0.95, 0.99])
def test_one_call_fewer_says_nothing_and_enough_leave_one_above(share: float) -> None:
    needed = calls_needed(share)
    calls = np.random.default_rng(0).permutation(np.arange(needed, dtype=np.float64))
    assert upper_ms(calls[1:], share) is None
    assert upper_ms(calls, share) == needed - 2


@pytest.mark.parametrize(("share", "num"), [(0.9, 64), (0.95, 320), (0.99, 1024)])
def test_the_true_percentile_is_above_the_estimate_once_in_a_hundred(share: float, num: int) -> None:
    rng = np.random.default_rng(1)
    truth, draws = float(scipy_stats.expon.ppf(share)), 2000
    missed = sum((upper_ms(rng.exponential(size=num), share) or 0.0) < truth for _ in range(draws))
    low, high = scipy_stats.binomtest(missed, draws).proportion_ci(0.999, method="exact")
    assert low <= 0.01
    assert high > 0.002  # no more careful than it has to be


def test_a_measurement_says_what_its_calls_allow() -> None:
    samples_VR = np.linspace(1.0, 2.0, 320).reshape(10, 32)
    found = measurement_of(NetTiming(samples_VR, np.ones(10), 1.0, np.zeros(0)))
    assert (found.n, found.p99_upper_ms) == (320, None)
    assert found.p95_ms < (found.p95_upper_ms or 0.0) < 2.0
    assert found.as_json()["p90_upper_ms"] == found.p90_upper_ms
