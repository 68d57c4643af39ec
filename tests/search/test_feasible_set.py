"""Draws from what limits leave are uniform over it, and its counts are those of enumeration."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from edgenas.costs import CostModel, Factor, cost_models, decompose, distinct_components, sum_of_components
from edgenas.recipes.plan import feasible_share
from edgenas.search import ALGORITHMS, CostConstraint, LowerLimit, UpperLimit, feasible_rows, repair, survey, total_violation
from edgenas.search import programme as programme_module
from edgenas.search.diagrams import build_diagram
from edgenas.search.feasible_set import FeasibleSet, bands, extreme_rows, feasible_set
from edgenas.search.population import first_population
from edgenas.spaces import SPACES, Genes, SearchSpace, get_space, pinned, unique_rows
from edgenas.spaces.pvt import PVT_NANO
from edgenas.testing.search import LINE, TREE, toy_cost, toy_limit

PINS = [f"stages[{stage}].blocks[{block}].mlp_ratio=2" for stage in range(4) for block in range(3 if stage == 2 else 2)]
PINS += ["stages[0].embed_dim=8", "stages[1].embed_dim=24", "stages[3].embed_dim=48"]
PINS += [f"stages[{stage}].reduction=('pool', {cells})" for stage, cells in ((0, 2), (1, 2), (2, 4), (3, 4))]
REDUCED = {
    "pvt": get_space("pvt-nano"),
    "pvt_elastic": pinned(get_space("pvt-elastic-nano"), PINS),
    "autoformer": get_space("autoformer-nano"),
    "vitas": get_space("vitas-nano"),
    "pit": get_space("pit-nano"),
}


def uneven(space: SearchSpace, name: str = "latency_ms") -> CostModel:
    """A cost of no whole numbers for every component."""
    terms = decompose(space, space.default_task)
    rng = np.random.default_rng(5)
    known = {component: float(rng.uniform(0.1, 1.0)) for component in distinct_components(terms)}
    return sum_of_components(name, "ms", terms, lambda component: known[component], scale=1.3, offset=0.7)


def at_share(space: SearchSpace, cost: CostModel, low: float, high: float, rows_AG: Genes) -> list[CostConstraint]:
    """A band of a cost that holds the rows between two quantiles."""
    bottom, top = np.quantile(cost(rows_AG), [low, high])
    return [LowerLimit(cost.name, float(bottom), cost), UpperLimit(cost.name, float(top), cost)]


def some(space: SearchSpace) -> Genes:
    return space.enumerate() if space.cardinality < 200_000 else space.sample(20_000, np.random.default_rng(9))


def left_of(space: SearchSpace, limits: list[CostConstraint]) -> FeasibleSet:
    left = feasible_set(space, limits)
    assert left is not None
    return left


def require_uniform(space: SearchSpace, limits: list[CostConstraint], *, per_row: int = 20) -> None:
    """Compare draws with all rows that meet the limits: chi-square."""
    all_AG = space.enumerate()
    feasible_AG = all_AG[total_violation(limits, all_AG) == 0]
    assert 10 < len(feasible_AG) < 20_000
    left = left_of(space, limits)
    drawn_AG = left.draw(per_row * len(feasible_AG), np.random.default_rng(3))
    space.require_valid(drawn_AG)
    keys = {row.tobytes(): number for number, row in enumerate(feasible_AG)}
    counts = np.bincount([keys[row.tobytes()] for row in np.ascontiguousarray(drawn_AG)], minlength=len(keys))
    assert counts.sum() == per_row * len(feasible_AG)
    assert 1e-4 < stats.chisquare(counts).pvalue < 1 - 1e-4
    share = left.share(np.random.default_rng(4))
    assert share.low - 1e-12 <= len(feasible_AG) / len(all_AG) <= share.high + 1e-12


@pytest.mark.parametrize("space", [LINE, TREE], ids=lambda space: space.name)
@pytest.mark.parametrize(("low", "high"), [(1, 4), (9, 9), (17, 24)])
def test_draws_of_toys_are_uniform(space: SearchSpace, low: int, high: int) -> None:
    require_uniform(space, [LowerLimit("latency_ms", low, toy_cost(space)), toy_limit(space, high)])


ONCE = {("pvt", "macs"), ("pvt_elastic", "params"), ("autoformer", "latency_ms"), ("vitas", "latency_ms"), ("pit", "macs")}


@pytest.mark.parametrize(
    ("family", "name"),
    [
        pytest.param(family, name, marks=[] if (family, name) in ONCE else pytest.mark.slow)
        for family in REDUCED
        for name in ("params", "macs", "latency_ms")
    ],
)
def test_draws_of_every_family_are_uniform_at_both_ends_and_between(family: str, name: str) -> None:
    space = REDUCED[family]
    cost = uneven(space) if name == "latency_ms" else cost_models(space, space.default_task)[name]
    rows_AG = space.enumerate()
    few = min(0.2, 400 / len(rows_AG))
    for low, high in ((0.0, few), (0.5, 0.5 + few), (1 - few, 1.0)):
        require_uniform(space, at_share(space, cost, low, high, rows_AG), per_row=10)


def test_draws_are_uniform_however_coarse_the_bins_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programme_module, "MEMORY", 1)
    monkeypatch.setattr(programme_module, "FEWEST_BINS", 12)
    for family in ("pvt", "autoformer"):
        space = REDUCED[family]
        rows_AG = space.enumerate()
        for low, high in ((0.0, 0.02), (0.3, 0.32)):
            limits = at_share(space, uneven(space), low, high, rows_AG)
            left = left_of(space, limits)
            assert left.programme is not None
            assert left.programme.num_rows > 1.1 * (total_violation(limits, rows_AG) == 0).sum()  # the edges matter
            require_uniform(space, limits)


def test_draws_under_several_limits_are_uniform() -> None:
    models = cost_models(PVT_NANO, PVT_NANO.default_task)
    rows_AG = PVT_NANO.enumerate()
    limits = at_share(PVT_NANO, models["params"], 0.2, 0.3, rows_AG) + at_share(PVT_NANO, uneven(PVT_NANO), 0.1, 0.2, rows_AG)
    left = left_of(PVT_NANO, limits)
    assert left.names == ("params>=", "params") or left.names == ("latency_ms>=", "latency_ms")
    require_uniform(PVT_NANO, limits)


def test_limits_that_pull_in_opposite_directions_are_met_together() -> None:
    models = cost_models(PVT_NANO, PVT_NANO.default_task)
    rows_AG = PVT_NANO.enumerate()
    large = LowerLimit("params", float(np.quantile(models["params"](rows_AG), 0.75)), models["params"])
    fast = UpperLimit("macs", float(np.quantile(models["macs"](rows_AG), 0.4)), models["macs"])
    left = left_of(PVT_NANO, [large, fast])
    assert left.programme is not None
    assert left.names == ("params>=", "macs")
    assert left.programme.num_rows < left_of(PVT_NANO, [large]).share(np.random.default_rng(0)).value * len(rows_AG)
    require_uniform(PVT_NANO, [large, fast])
    ends = np.quantile(models["params"](rows_AG), 0.99), np.quantile(models["macs"](rows_AG), 0.01)
    impossible = [replace(large, limit=float(ends[0])), replace(fast, limit=float(ends[1]))]
    assert all(left_of(PVT_NANO, [limit]).programme is not None for limit in impossible)
    joint = left_of(PVT_NANO, impossible)
    assert joint.programme is None
    assert joint.impossible == ()
    assert (total_violation(impossible, rows_AG) > 0).all()


LARGE = ("pvt-covidx", "pvt-elastic", "pvt-mobile-mqa", "autoformer-tiny", "vitas-384", "pit-ti")  # of every family one


@pytest.mark.parametrize(
    "space",
    [pytest.param(space, id=space.name, marks=[] if space.name in LARGE else pytest.mark.slow) for space in SPACES.own.values()],
)  # small ones are enumerated above
def test_every_shipped_space_is_drawn_from_within_its_limits(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    rows_AG = space.sample(4000, rng)
    for cost in (cost_models(space, space.default_task)["params"], *(() if space.family == "vitas" else (uneven(space),))):
        least, most = (float(cost(extreme_rows(space, [UpperLimit("x", 1.0, cost)])).min()), float(cost(rows_AG).min()))
        limit = UpperLimit(cost.name, least + 0.3 * (most - least), cost)
        drawn_AG = left_of(space, [limit]).distinct(50, rng)
        assert len(drawn_AG) > 0
        space.require_valid(drawn_AG)
        assert total_violation([limit], drawn_AG).sum() == 0


def test_a_diagram_holds_every_row_once_with_its_cost() -> None:
    for space in (TREE, REDUCED["pvt_elastic"], REDUCED["vitas"]):
        cost = toy_cost(space) if space is TREE else uneven(space)
        diagram = build_diagram(space, cost)
        assert diagram is not None
        num = np.ones(1)
        for layer in reversed(diagram.layers):
            num = np.where(layer.allowed, num[layer.next_SO], 0).sum(axis=1)
        assert num[0] == space.cardinality
        costs_A = cost(space.enumerate())
        for largest, end in ((False, costs_A.min()), (True, costs_A.max())):
            value, row_G = diagram.extreme(largest=largest)
            assert value * cost.scale + cost.offset == pytest.approx(end, rel=1e-12)
            assert cost(row_G[None])[0] == end


def test_a_limit_at_the_least_cost_leaves_the_nets_that_have_it() -> None:
    for space in (PVT_NANO, REDUCED["vitas"]):
        cost = uneven(space)
        costs_A = cost(space.enumerate())
        least = float(costs_A.min())
        left = left_of(space, [UpperLimit("latency_ms", least, cost)])
        assert len(left.distinct(10, np.random.default_rng(0))) == (costs_A == least).sum()
        below = left_of(space, [UpperLimit("latency_ms", least * (1 - 1e-9), cost)])
        assert below.impossible == ("latency_ms",)
        assert len(below.draw(5, np.random.default_rng(0))) == 0
        assert below.share(np.random.default_rng(0)).value == 0


def test_limits_on_one_cost_are_one_band_whoever_made_its_model() -> None:
    first, second = (cost_models(PVT_NANO, PVT_NANO.default_task)["params"] for _ in range(2))
    (band,) = bands([LowerLimit("params", 5, first), UpperLimit("params", 9, second)])
    assert (band.names, band.low, band.high) == (("params>=", "params"), 5, 9)
    assert bands([UpperLimit("x", 5, lambda genes_AG: genes_AG.sum(axis=1).astype(float))]) == []
    assert feasible_set(PVT_NANO, []) is None


def test_a_cost_that_is_not_known_everywhere_is_not_counted() -> None:
    table = np.array([0.0, 1.0, np.nan, 2.0])
    assert feasible_set(LINE, [UpperLimit("x", 1.0, CostModel("x", "", (Factor((0,), table),)))]) is None


def test_all_of_a_few_nets_are_found() -> None:
    limit = toy_limit(LINE, 1)
    drawn_AG = left_of(LINE, [limit]).distinct(500, np.random.default_rng(0))
    assert len(drawn_AG) == 9
    assert len(unique_rows(drawn_AG)) == 9


def test_a_share_that_no_sample_shows_is_told_and_drawn_from_at_once() -> None:
    space = get_space("pvt-elastic")
    macs = cost_models(space, space.default_task)["macs"]
    limit = UpperLimit("macs", 2.5e8, macs)
    began = time.process_time()
    found = survey(space, [limit], np.random.default_rng(0), max_rows=20_000)
    assert time.process_time() - began < 20
    assert not found.is_mended
    assert found.counted is not None
    assert 0 < found.counted.low < found.share < found.counted.high < 1e-7
    assert found.feasible_A.sum() >= 256


def test_what_cannot_be_mended_becomes_a_draw_brought_near_to_it() -> None:
    space = get_space("pvt-elastic")
    params = cost_models(space, space.default_task)["params"]
    limits: list[CostConstraint] = [LowerLimit("params", 12_000_000, params), UpperLimit("params", 12_001_000, params)]
    rng = np.random.default_rng(0)
    wanted_AG = space.sample(12, rng)
    mended_AG = repair(space, wanted_AG, limits, rng)
    assert len(mended_AG) == 12
    space.require_valid(mended_AG)
    assert total_violation(limits, mended_AG).sum() == 0
    drawn_AG = left_of(space, limits).draw(12, rng)
    assert (mended_AG == wanted_AG).mean() > (drawn_AG == wanted_AG).mean() + 0.1


@pytest.mark.parametrize(
    "name", ["pvt-elastic", *(pytest.param(n, marks=pytest.mark.slow) for n in ("vitas-384", "autoformer-tiny"))]
)
def test_that_nothing_meets_a_limit_is_proven_in_seconds_with_the_least_that_can_be_had(name: str) -> None:
    space = get_space(name)
    models = cost_models(space, space.default_task)
    least = float(models["macs"](space.corners(largest=False)).min())
    limits: list[CostConstraint] = [UpperLimit("macs", 0.99 * least, models["macs"]), UpperLimit("params", 1e12, models["params"])]
    began = time.process_time()
    found = survey(space, limits, np.random.default_rng(0), max_rows=20_000)
    assert time.process_time() - began < 20
    assert found.impossible == ("macs",)
    assert found.binding == ("macs",)
    assert float(models["macs"](found.genes_AG).min()) == least


def test_a_search_under_a_limit_that_no_sample_meets_starts_with_a_whole_population() -> None:
    space = get_space("pvt-mobile-nano")
    models = cost_models(space, space.default_task)
    limits = [UpperLimit("macs", 1.6 * float(models["macs"](space.corners(largest=False)).min()), models["macs"])]
    found = survey(space, limits, np.random.default_rng(0), max_rows=5000)
    assert found.share < 1e-7
    hand_AG = space.corners(largest=True)
    start = first_population(space, models, limits, hand_AG, found, population=24, seed=0)
    rows_AG = np.concatenate(list(start.values()))
    assert len(start["hand-designed"]) == 0
    assert len(unique_rows(rows_AG)) == len(rows_AG) >= 20
    assert total_violation(limits, rows_AG).sum() == 0
    drawn_AG = feasible_rows(space, limits, np.random.default_rng(0), 50)
    assert len(unique_rows(drawn_AG)) == 50
    assert total_violation(limits, drawn_AG).sum() == 0
    assert np.array_equal(drawn_AG, feasible_rows(space, limits, np.random.default_rng(0), 50))


def test_of_many_hand_designed_nets_some_of_all_over_the_list_begin() -> None:
    models = cost_models(PVT_NANO, PVT_NANO.default_task)
    limits = [UpperLimit("macs", 1e12, models["macs"])]
    found = survey(PVT_NANO, limits, np.random.default_rng(0), max_rows=500)
    hand_AG = unique_rows(PVT_NANO.sample(60, np.random.default_rng(1)))[:40]
    start = first_population(PVT_NANO, models, limits, hand_AG, found, population=16, seed=0)
    assert np.array_equal(start["hand-designed"], hand_AG[::5])


def test_nets_of_most_capacity_are_there_at_the_limit_and_a_little_below_one_on_latency() -> None:
    models = cost_models(PVT_NANO, PVT_NANO.default_task)
    cost = uneven(PVT_NANO)
    at_most = float(np.quantile(cost(PVT_NANO.enumerate()), 0.3))
    found = survey(PVT_NANO, [UpperLimit("latency_ms", at_most, cost)], np.random.default_rng(0))

    def most(name: str, limit: float) -> Genes:
        limits = [UpperLimit(name, limit, cost)]
        return first_population(PVT_NANO, models, limits, found.genes_AG[:0], found, population=64, seed=0)["capacity"]

    largest_AG = most("latency_ms[edge]", at_most)
    used_A = cost(largest_AG) / at_most
    assert used_A.max() <= 1
    assert all(((used_A > low) & (used_A <= high)).any() for low, high in ((0, 0.9), (0.9, 0.95), (0.95, 1)))
    for room in (1.0, 0.95, 0.9):
        within_AG = found.genes_AG[cost(found.genes_AG) <= room * at_most]
        assert models["macs"](within_AG).max() in models["macs"](largest_AG)
    exact_AG = most("weight", at_most)  # no latency: what it says is what is had
    assert np.array_equal(exact_AG, largest_AG[: len(exact_AG)])
    assert len(exact_AG) < len(largest_AG)


def test_the_share_of_a_plan_is_the_counted_one() -> None:
    limits = [UpperLimit("latency_ms", float(np.quantile(uneven(PVT_NANO)(PVT_NANO.enumerate()), 1e-3)), uneven(PVT_NANO))]
    found = survey(PVT_NANO, limits, np.random.default_rng(0), max_rows=2000)
    assert found.counted is not None
    share = feasible_share(found)
    exact = survey(PVT_NANO, limits, np.random.default_rng(0))
    assert share.low <= exact.share <= share.high
    assert share.high - share.low < 0.1 * exact.share


def test_few_nets_that_are_left_are_all_listed() -> None:
    params = cost_models(PVT_NANO, PVT_NANO.default_task)["params"]
    all_AG = PVT_NANO.enumerate()
    few = UpperLimit("params", float(np.sort(params(all_AG))[11]), params)
    listed_AG = left_of(PVT_NANO, [few]).every()
    assert listed_AG is not None
    assert {row.tobytes() for row in listed_AG} == {row.tobytes() for row in all_AG[total_violation([few], all_AG) == 0]}
    assert left_of(PVT_NANO, [UpperLimit("params", 1e9, params)]).every() is None


@pytest.mark.parametrize("name", ["exhaustive", "evolution", "random", "surrogate"])
def test_of_a_large_space_few_nets_are_all_evaluated(name: str) -> None:
    space = get_space("pvt-elastic-nano")
    limit = UpperLimit("params", 26_820, cost_models(space, space.default_task)["params"])
    left_AG = left_of(space, [limit]).every()
    assert left_AG is not None

    def evaluate(genes_AG: Genes, images_M: NDArray[np.int64]) -> NDArray[np.float16]:
        return np.full((len(genes_AG), len(images_M), 2), 0.5, dtype=np.float16)

    *_, last = ALGORITHMS[name](space, evaluate, np.array([0, 1]), [limit], rng=np.random.default_rng(0))
    assert last.num_evaluated == len(left_AG) == 4
    assert {candidate.origin for candidate in last.elite} == {"enumeration"}


def test_rows_that_several_limits_leave_next_to_nothing_of_are_mended_from_near_ones() -> None:
    space = get_space("pvt-elastic-nano")
    costs = cost_models(space, space.default_task)
    band = [LowerLimit("params", 100_000, costs["params"]), UpperLimit("params", 105_000, costs["params"])]
    limits: list[CostConstraint] = [*band, UpperLimit("macs", 1.2e6, costs["macs"])]
    rows_AG = feasible_rows(space, limits, np.random.default_rng(0), 8)
    assert len(rows_AG) > 0
    assert (total_violation(limits, rows_AG) == 0).all()
    assert np.array_equal(rows_AG, feasible_rows(space, limits, np.random.default_rng(0), 8))


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_corner_that_two_limits_leave_fills_what_a_search_may_evaluate(seed: int) -> None:
    """Mending alone found 3 to 19 of these 24."""
    space = get_space("pvt-elastic")
    costs = cost_models(space, space.default_task)
    limits: list[CostConstraint] = [LowerLimit("params", 1.9246e7, costs["params"]), UpperLimit("macs", 8.42e8, costs["macs"])]
    rows_AG = feasible_rows(space, limits, np.random.default_rng(seed), 24)
    assert len(unique_rows(rows_AG)) == len(rows_AG) == 24
    assert (total_violation(limits, rows_AG) == 0).all()
