"""Bounds of several sessions, drawn from sessions that differ by a known amount."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats as scipy_stats

from edgenas.latency.fit import PRIORS, QUANTILES, Again, Prior, Promise
from edgenas.latency.fit.between import NOTHING, spread_of
from edgenas.latency.fit.promise import conformal_factor
from edgenas.records import BoundNet

PERSISTENT, FRESH = 0.012, 0.009  # of a net in every session, and in one: 1.5 % together
NETS = 0.015
DRAWS, NUM = 300, 40


def coverage(
    num_sessions: int, between: float, prior: float | None = 1.0, *, again: int = NUM, draws: int = DRAWS, seed: int = 0
) -> float:
    """How often a new net in a new session keeps the bound asked for 95 %: exact for every drawn table, averaged over tables.

    ``prior`` is how much sessions are said to differ, as a multiple of what they do; None without.
    """
    rng = np.random.default_rng(seed)
    shifts_DS = rng.normal(0.0, between, (draws, num_sessions))
    nets_DN = rng.normal(0.0, PERSISTENT, (draws, NUM))
    noise_DSN = rng.normal(0.0, FRESH, (draws, num_sessions, NUM))
    logs_DSN = shifts_DS[:, :, None] + nets_DN[:, None] + noise_DSN
    held = NOTHING if prior is None else Prior(prior * between, PRIORS["p95"].sessions)
    kept = []
    for logs_SN in logs_DSN:
        if num_sessions == 1:
            bound = math.log(conformal_factor(np.exp(logs_SN[0]), 0.95))
        else:
            parts = [logs_SN[0], *logs_SN[1:, :again]]
            spread = spread_of([dict(zip(map(str, range(NUM)), part, strict=False)) for part in parts])
            bound = math.log(spread.factor(0.95, held))
        kept.append(scipy_stats.norm.cdf(bound / math.hypot(between, NETS)))
    return float(np.mean(kept))


QUICK = ((2, 0.0, 1.0), (2, 1.0, 1.0), (2, 5.0, 1.0), (3, 0.5, 1.0), (2, 5.0, 0.5), (5, 2.0, 2.0), (2, 2.0, None))
KEPT = {None: (0.94, 0.99), 0.5: (0.88, 0.985), 1.0: (0.94, 0.99), 2.0: (0.94, 1.0)}


@pytest.mark.parametrize(
    ("num_sessions", "ratio", "prior"),
    [
        pytest.param(*case, marks=[] if case in QUICK else [pytest.mark.slow])
        for case in product((2, 3, 5), (0.0, 0.5, 1.0, 2.0, 5.0), (None, 0.5, 1.0, 2.0))
    ],
)
def test_a_new_net_in_a_new_session_keeps_the_bound_of_several_sessions(
    num_sessions: int, ratio: float, prior: float | None
) -> None:
    """With sessions that differ as the prior says, half or twice as much; 0.88 is of two that differ twice as much as it says."""
    low, high = KEPT[prior]
    found = coverage(num_sessions, ratio * NETS, prior)
    assert low <= found <= high, found


def test_one_session_keeps_its_promise_only_as_long_as_sessions_do_not_differ() -> None:
    assert 0.94 <= coverage(1, 0.0) <= 0.98
    assert coverage(1, 2 * NETS) < 0.87


def test_later_sessions_may_time_a_part_of_the_nets() -> None:
    assert 0.94 <= coverage(3, 0.02, again=12) <= 0.99


def rows(logs: list[float], of: str = "net", runs: int = 36) -> list[BoundNet]:
    return [
        BoundNet(arch={of: i}, predicted_ms=2.0, measured_ms=ms, p50_ms=ms, p90_ms=ms, p95_ms=ms, p99_ms=ms, n=runs)
        for i, ms in enumerate(2.0 * math.exp(log) for log in logs)
    ]


LOGS = [0.001 * i for i in range(40)]


def test_sessions_that_do_not_differ_give_the_conformal_bound() -> None:
    plain = Promise(rows(LOGS), ()).bound("p95", 0.95)
    same = Promise(rows(LOGS), (), (Again(rows(LOGS), ()),) * 3).bound("p95", 0.95, NOTHING)
    assert same.factor == pytest.approx(plain.factor, rel=1e-6)
    assert same.between == pytest.approx(0.0, abs=1e-12)
    assert (plain.num_sessions, plain.covers_days, same.num_sessions, same.covers_days) == (1, False, 4, True)


@pytest.mark.parametrize("prior", [NOTHING, Prior(1.5, 3)])
def test_sessions_that_differ_by_much_more_than_nets_give_the_t_interval(prior: Prior) -> None:
    later = [[log + shift for log in LOGS] for shift in (2.0, 5.0)]
    found = Promise(rows(LOGS), (), tuple(Again(rows(logs), ()) for logs in later)).bound("p50", 0.99 - 1 / 41, prior)
    shifts = np.mean(LOGS) + np.array([0.0, 2.0, 5.0])
    spread = math.sqrt((prior.sessions * prior.scale**2 + 2 * np.var(shifts, ddof=1)) / (prior.sessions + 2))
    expected = np.mean(shifts) + scipy_stats.t.ppf(0.99 - 1 / 41, prior.sessions + 2) * spread * math.sqrt(4 / 3)
    assert math.log(found.factor) == pytest.approx(expected, abs=0.03)
    assert found.between == pytest.approx(np.std(shifts, ddof=1))


@pytest.mark.parametrize("apart", [0.0, 0.2, 0.43])
def test_two_sessions_bound_slow_calls_by_no_more_than_three_times_what_is_predicted(apart: float) -> None:
    later = Again(rows([log + apart for log in LOGS]), ())
    bounds = {quantile: Promise(rows(LOGS), (), (later,)).bound(quantile, 0.95) for quantile in QUANTILES}
    assert all(1.2 < bounds[quantile].factor < 3.0 for quantile in ("p90", "p95", "p99"))
    assert bounds["p50"].factor < bounds["p95"].factor
    without = Promise(rows(LOGS), (), (later,)).bound("p99", 0.95, NOTHING).factor
    assert without > 10 or apart < 0.4


def test_sessions_that_differ_less_than_elsewhere_narrow_their_bound() -> None:
    factors = [Promise(rows(LOGS), (), (Again(rows(LOGS), ()),) * num).bound("p95", 0.95).factor for num in (1, 2, 5, 20, 500)]
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] == pytest.approx(Promise(rows(LOGS), ()).bound("p95", 0.95).factor, abs=0.02)


def test_no_bound_is_below_what_a_session_of_the_table_has_shown() -> None:
    def bound(shifts: list[float]) -> float:
        return (
            Promise(rows(LOGS), (), tuple(Again(rows([log + by for log in LOGS]), ()) for by in shifts)).bound("p50", 0.95).factor
        )

    slowest = math.exp(0.14) * Promise(rows(LOGS), ()).bound("p50", 0.95).factor
    assert bound([0.14, *[0.0] * 40]) == pytest.approx(slowest)
    assert bound([0.0] * 41) < slowest


def test_the_shift_of_a_session_does_not_depend_on_which_nets_it_timed() -> None:
    moved = [log + 0.03 for log in LOGS]
    whole, slow = rows(moved), rows(moved)[-5:]
    bounds = [Promise(rows(LOGS), (), (Again(nets, ()),)).bound("p90", 0.9) for nets in (whole, slow)]
    assert bounds[0].between == pytest.approx(bounds[1].between) == pytest.approx(0.03 / math.sqrt(2))


def test_what_a_bound_says_names_its_sessions() -> None:
    one = Promise(rows(LOGS), rows(LOGS[:4], "check"))
    words = "other hours and days, which differed by 2.3 % elsewhere, are not covered (`edgenas profile --again` adds one)"
    assert f"in 1 session: {words}" in str(one.bound("p50", 0.95))
    assert set(one.bound("p50", 0.95).as_json()) == {
        *("quantile", "confidence", "factor", "num_nets", "num_runs", "coverage", "slack"),
    }
    moved = Again(rows([log + 0.018 for log in LOGS], runs=18), rows([log + 0.018 for log in LOGS[:4]], "check"))
    two = Promise(one.nets, one.checks, (moved,)).bound("p50", 0.95)
    assert "in 2 sessions that differ by 1.3 %, few to know that by (2.3 %, measured elsewhere, counts as 3 more)" in str(two)
    assert two.as_json()["prior"] == {"scale": 0.023, "sessions": 3, "source": PRIORS["p50"].source}
    assert "prior" not in Promise(one.nets, one.checks, (moved._replace(hour=0),)).bound("p50", 0.95).as_json()
    assert (two.num_runs, two.coverage.n, two.left_out) == (18, 4, ())
    assert two.factor > math.exp(0.018) * one.bound("p50", 0.95).factor
    assert {"num_sessions": 2, "between": two.between, "covers_days": True}.items() <= two.as_json().items()


def test_a_session_left_out_is_judged_by_the_others() -> None:
    near, far = (Again(rows([log + by for log in LOGS]), rows([by] * 4, "check")) for by in (0.005, 0.9))
    found = Promise(rows(LOGS), (), (near, far)).bound("p95", 0.95)
    assert found.left_out == (1.0, 0.0)
    assert found.as_json()["left_out"] == [1.0, 0.0]
    assert "of sessions left out in turn 100.0, 0.0 % of the nets kept it" in str(found)


def test_what_does_not_differ_is_refused() -> None:
    with pytest.raises(ValueError, match="1 sessions do not differ"):
        spread_of([{"a": 0.0}])
    with pytest.raises(ValueError, match="shares no net"):
        spread_of([{"a": 0.0}, {"b": 0.0}])


def test_sessions_of_one_hour_count_as_one_as_slow_as_the_slowest() -> None:
    def moved(by: float, hour: int | None) -> Again:
        return Again(rows([log + by for log in LOGS]), rows([by] * 4, "check"), hour)

    first, same_hour = Promise(rows(LOGS), ()), [moved(by, 0) for by in (0.02, -0.05, 0.01)]
    near = Promise(rows(LOGS), (), tuple(same_hour), 0.5).bound("p95", 0.95)
    assert near.factor == pytest.approx(math.exp(0.02) * first.bound("p95", 0.95).factor)
    assert (near.between, near.num_sessions, near.num_hours, near.left_out) == (None, 4, 1, ())
    assert "in 4 sessions, all within 30 min, which count as one: other hours and days are not covered" in str(near)
    other = moved(0.03, 7)
    two = Promise(rows(LOGS), (), (other,)).bound("p95", 0.95)
    again = Promise(rows(LOGS), (), (other, moved(0.03, 7), moved(0.0, 7))).bound("p95", 0.95)
    assert again.factor == pytest.approx(two.factor)  # more sessions of an hour are no more hours
    assert "in 4 sessions of 2 hours that differ by" in str(again)
    assert again.as_json()["num_hours"] == 2


def test_a_net_that_several_sessions_measured_is_one_net() -> None:
    checks = rows([0.0] * 9 + [1.0], "check")
    one = Promise(rows(LOGS), checks).bound("p95", 0.95).coverage
    three = Promise(rows(LOGS), checks, (Again(rows(LOGS), checks),) * 2).bound("p95", 0.95).coverage
    assert three.as_json() == pytest.approx(one.as_json())
    mixed = Promise(rows(LOGS), checks, (Again(rows(LOGS), rows([0.0] * 10, "check")),)).bound("p95", 0.95).coverage
    assert (mixed.value, mixed.n) == (0.95, 10)
    assert mixed.low == pytest.approx(one.low)
    assert mixed.high == 1.0


@pytest.mark.parametrize(("hours", "covers"), [(0.2, False), (5.0, True)])
def test_sessions_of_one_hour_say_nothing_of_other_days(hours: float, covers: bool) -> None:
    bound = Promise(rows(LOGS), (), (Again(rows(LOGS), ()),) * 2, hours).bound("p95", 0.95)
    assert bound.covers_days is covers
    assert bound.as_json()["covers_days"] is covers
    assert ("all within 12 min: other hours and days are not covered" in str(bound)) is not covers
