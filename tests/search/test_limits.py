from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenas.costs import cost_models
from edgenas.records import limit_text
from edgenas.search import (
    CostLimit,
    Limit,
    LowerLimit,
    UpperLimit,
    best_within,
    closest,
    conflicts,
    cost_of,
    limit_of,
    parse_limits,
    repair,
    survey,
    total_violation,
)
from edgenas.search.limits import in_reach
from edgenas.spaces import get_space
from edgenas.spaces.pvt import PVT_NANO
from edgenas.testing.search import LINE, toy_cost, toy_limit

MODELS = cost_models(PVT_NANO, PVT_NANO.default_task)
EVERY_AG = PVT_NANO.enumerate()


def band(low: float, high: float, name: str = "params") -> list[CostLimit]:
    return [LowerLimit(name, low, MODELS[name]), UpperLimit(name, high, MODELS[name])]


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("params>=1M", Limit("params", "", ">=", 1_000_000)),
        ("macs<=500M", Limit("macs", "", "<=", 500_000_000)),
        (" macs <= 1.5g ", Limit("macs", "", "<=", 1_500_000_000)),
        ("params<=60k", Limit("params", "", "<=", 60_000)),
        ("params<=3e6", Limit("params", "", "<=", 3_000_000)),
        ("params>=500_000", Limit("params", "", ">=", 500_000)),
        ("latency_ms<=5", Limit("latency_ms", "", "<=", 5.0)),
        ("latency_ms[jetson]>=0.25", Limit("latency_ms", "jetson", ">=", 0.25)),
        ("sensitivity[covid-19]>=0.95", Limit("sensitivity", "covid-19", ">=", 0.95)),
        ("sensitivity[a<=b]>=0.5", Limit("sensitivity", "a<=b", ">=", 0.5)),
        ("depth>=4", Limit("depth", "", ">=", 4)),
        ("memory_mb<=12", Limit("memory_mb", "", "<=", 12)),
        ("throughput[jetson]>=62.5", Limit("throughput", "jetson", ">=", 62.5)),
    ],
)
def test_a_limit_is_read_as_it_is_written(text: str, limit: Limit) -> None:
    assert parse_limits([text]) == ([limit], [])
    assert isinstance(parse_limits([text])[0][0].value, int) == (limit.kind not in ("latency_ms", "sensitivity", "throughput"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("parms<=1M", "'parms' is nothing that can be limited; did you mean 'params'? known are: latency_ms, sensitivity, params"),
        ("params<1M", "< is no relation of a limit: <= is at most, >= is at least"),
        ("params==1M", "== is no relation"),
        ("params≤1M", "≤ is no relation"),
        ("params", "write e.g. 'params>=1M'"),
        ("", "write e.g."),
        ("<=5", "write e.g."),
        ("params<=", "'' is no number with K, M or G"),
        ("params<=1T", "'1T' is no number with K, M or G"),
        ("params<=1 M", "'1 M' is no number"),
        ("params<=-1M", "a limit must be positive, not -1000000"),
        ("params<=nan", "a limit must be positive, not nan"),
        ("params<=-inf", "a limit must be positive, not -inf"),
        ("latency_ms<=inf", "a limit must be positive, not inf"),
        ("params<=--1", "'--1' is no number"),
        ("params<=1e999", "a limit must be positive, not inf"),
        ("params<=0", "a limit must be positive, not 0"),
        ("params<=5<=6", "'5<=6' is no number"),
        ("latency_ms<=5m", "'5m' is no number"),
        ("params[x]<=1M", "params takes no name in brackets"),
        ("latency_ms[]<=1", "write e.g."),
        ("sensitivity>=0.9", "a sensitivity is of a class and at least a share"),
        ("sensitivity[8]<=0.9", "a sensitivity is of a class and at least a share"),
        ("throughput<=100", "a throughput is at least so many images a second: throughput>=100"),
        ("memory_mb[x]<=1", "memory_mb takes no name in brackets"),
        ("sensitivity[8]>=1.5", "a share must be in (0, 1], not 1.5"),
    ],
)
def test_what_is_no_limit_says_why(text: str, problem: str) -> None:
    limits, (found,) = parse_limits([text])
    assert limits == []
    assert found.startswith(f"{text!r}: {problem}")


def test_all_that_is_wrong_is_told_at_once() -> None:
    limits, problems = parse_limits(["params<=1M", "parms<=1", "macs<1", "params>=2M"])
    assert len(problems) == 2
    assert [str(limit) for limit in limits] == ["params <= 1000000", "params >= 2000000"]
    assert conflicts(limits) == ["params >= 2000000 and params <= 1000000 exclude each other: nothing is both"]
    twice, _ = parse_limits(["latency_ms[a]<=1", "latency_ms[b]<=2", "latency_ms[a]<=3"])
    assert conflicts(twice) == ["latency_ms[a] <= is given 2 times: 1, 3; keep one"]
    assert conflicts(parse_limits(["params>=1M", "params<=1M", "macs>=2M"])[0]) == []


def test_a_limit_that_is_met_is_not_told_among_those_that_are_missed() -> None:
    cost = toy_cost(LINE, "macs")
    met, low, high = UpperLimit("params", 1e9, cost), LowerLimit("latency_ms", 20, toy_cost(LINE)), UpperLimit("macs", 10, cost)
    assert set(closest([met, low, high], survey(LINE, [met, low, high], np.random.default_rng(0)))) == {"latency_ms>=", "macs"}


def test_where_no_two_limits_go_together_each_is_told() -> None:
    options = [float(value) for value in sorted(set(toy_cost(LINE)(LINE.enumerate())))]
    low, middle, high = options[0], options[len(options) // 2], options[-1]

    def only(name: str, value: float) -> UpperLimit:
        return UpperLimit(name, 0.5, lambda genes_AG: 0.1 + np.abs(toy_cost(LINE)(genes_AG) - value))

    limits = [only("a", low), only("b", middle), only("c", high)]
    nearest_by = closest(limits, survey(LINE, limits, np.random.default_rng(0)))
    assert {name: net.achievable for name, net in nearest_by.items()} == {"a": 0.1, "b": 0.1, "c": 0.1}


@pytest.mark.parametrize(
    ("value", "is_lower", "text"),
    [
        (82_074.0, False, "82074"),
        (123_456_789.0, True, "123456789"),
        (0.22409736, False, "0.2241"),
        (0.22402, False, "0.2241"),
        (0.22409736, True, "0.224"),
        (0.96666, True, "0.9666"),
        (5.0, False, "5"),
        (0.0, True, "0"),
    ],
)
def test_what_can_be_had_is_not_rounded_to_what_cannot(value: float, is_lower: bool, text: str) -> None:
    assert in_reach(value, is_lower=is_lower) == text
    assert float(text) <= value if is_lower else float(text) >= value


@given(st.text(max_size=30))
def test_any_text_is_a_limit_or_a_line(text: str) -> None:
    limits, problems = parse_limits([text])
    assert len(limits) + len(problems) == 1


def test_limits_of_one_quantity_have_two_names() -> None:
    low, high = band(1e5, 2e5)
    assert (low.name, high.name) == ("params>=", "params")
    assert [limit_of(limit.name, limit.limit, limit.cost) for limit in (low, high)] == [low, high]
    assert [limit_text(limit.name, "5") for limit in (low, high)] == ["params >= 5", "params <= 5"]
    assert limit_text("sensitivity[8]", "0.9") == "sensitivity[8] >= 0.9"


@pytest.mark.parametrize("name", ["params", "macs", "depth"])
def test_a_lower_limit_is_met_exactly_from_its_value_on(name: str) -> None:
    cost = cost_of(name, PVT_NANO, PVT_NANO.default_task)
    costs_A = cost(EVERY_AG)
    for value in np.unique(costs_A)[[1, len(np.unique(costs_A)) // 2, -1]]:
        broken_A = LowerLimit(name, float(value), cost).violation(EVERY_AG) > 0
        assert (broken_A == (costs_A < value)).all()


def test_a_survey_of_a_whole_space_counts_what_each_side_of_a_band_keeps_out() -> None:
    low, high = 120_000.0, 121_000.0
    found = survey(PVT_NANO, band(low, high), np.random.default_rng(0))
    params_A = MODELS["params"](EVERY_AG)
    assert found.is_exact
    assert (found.feasible_A == ((params_A >= low) & (params_A <= high))).all()
    assert 0 < found.feasible_A.sum() < 2000
    assert found.rejected == {"params>=": int((params_A < low).sum()), "params": int((params_A > high).sum())}
    assert found.binding == ("params>=", "params")


def rarest() -> tuple[float, int]:
    """A number of parameters that fewest nets have, and how many do."""
    values, counts = np.unique(MODELS["params"](EVERY_AG), return_counts=True)
    place = np.argmin(counts + np.where((values > 110_000) & (values < 300_000), 0, 10**6))
    return float(values[place]), int(counts[place])


def test_a_band_that_a_sample_misses_is_counted_and_drawn_from() -> None:
    rare, num = rarest()
    limits = band(rare, rare)
    found = survey(PVT_NANO, limits, np.random.default_rng(0), max_rows=400)
    assert not found.is_exact
    assert not found.is_mended
    assert found.share == num / PVT_NANO.cardinality
    assert found.feasible_A[: found.num_first].sum() == num
    assert (MODELS["params"](found.genes_AG[found.feasible_A]) == rare).all()
    row_G = best_within(PVT_NANO, limits, [MODELS["macs"]], found, np.random.default_rng(0))
    assert row_G is not None
    assert MODELS["params"](row_G[None])[0] == rare


def test_a_band_of_no_sum_of_tables_that_a_sample_misses_is_found_by_mending() -> None:
    rare, _ = rarest()
    limits = [replace(limit, cost=lambda genes_AG: MODELS["params"](genes_AG)) for limit in band(rare, rare)]
    found = survey(PVT_NANO, limits, np.random.default_rng(0), max_rows=400)
    assert not found.is_exact
    assert found.is_mended
    assert found.share == 0.0
    assert found.feasible_A[: found.num_first].any()
    assert not found.feasible_A[found.num_first :].any()
    assert (MODELS["params"](found.genes_AG[found.feasible_A]) == rare).all()


@pytest.mark.parametrize(("low", "high"), [(100_000, 110_000), (150_000, 152_000), (240_000, 10**9)])
def test_the_extremes_of_a_band_are_those_of_enumeration(low: float, high: float) -> None:
    limits = band(low, high)
    exact = survey(PVT_NANO, limits, np.random.default_rng(0))
    sampled = survey(PVT_NANO, limits, np.random.default_rng(0), max_rows=2000)
    feasible_AG = EVERY_AG[total_violation(limits, EVERY_AG) == 0]
    for sign in (1, -1):
        best = (sign * MODELS["macs"](feasible_AG)).max()
        for found in (exact, sampled):
            row_G = best_within(
                PVT_NANO, limits, [lambda rows, sign=sign: sign * MODELS["macs"](rows)], found, np.random.default_rng(1)
            )
            assert row_G is not None
            assert sign * MODELS["macs"](row_G[None])[0] == best


def test_the_closest_to_a_lower_limit_is_the_dearest_net() -> None:
    most = float(toy_cost(LINE)(LINE.extreme(largest=True))[0])
    limit = LowerLimit("latency_ms", most + 5, toy_cost(LINE))
    for max_rows in (200_000, 1000):
        found = survey(LINE, [limit], np.random.default_rng(0), max_rows=max_rows)
        assert not found.feasible_A.any()
        nearest = closest([limit], found)["latency_ms>="]
        assert (nearest.asked, nearest.achievable) == (most + 5, most)
    limits = [LowerLimit("latency_ms", 20, toy_cost(LINE)), UpperLimit("macs", 10, toy_cost(LINE, "macs"))]
    nearest_by = closest(limits, survey(LINE, limits, np.random.default_rng(0)))
    assert {name: net.achievable for name, net in nearest_by.items()} == {"latency_ms>=": 10.0, "macs": 20.0}


def test_repair_reaches_a_band_from_both_sides() -> None:
    rng = np.random.default_rng(0)
    limits: list[CostLimit] = [LowerLimit("latency_ms", 11, toy_cost(LINE)), toy_limit(LINE, 12)]
    ends_AG = np.concatenate([LINE.corners(largest=False), LINE.corners(largest=True)])
    mended_AG = repair(LINE, ends_AG, limits, rng)
    assert len(mended_AG) == 2
    assert total_violation(limits, mended_AG).sum() == 0


def test_a_narrow_band_of_a_huge_space_is_found() -> None:
    space = get_space("pvt-elastic")
    params = cost_of("params", space, space.default_task)
    limits: list[CostLimit] = [LowerLimit("params", 12_000_000, params), UpperLimit("params", 12_000_100, params)]
    found = survey(space, limits, np.random.default_rng(0), max_rows=2000)
    assert 0 < found.share < 1e-4
    assert total_violation(limits, found.genes_AG[found.feasible_A]).sum() == 0
