"""What searches make large or small, one objective or several."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenas.costs import cost_models
from edgenas.errors import UsageError
from edgenas.search import (
    ALGORITHMS,
    Accuracy,
    Algorithm,
    Candidate,
    CostObjective,
    EvolutionSettings,
    Generation,
    Judge,
    Objective,
    Sensitivity,
    SensitivityFloor,
    UpperLimit,
    extra_arguments,
    parse_goals,
    ranked,
    takes,
    undominated,
)
from edgenas.search.pareto import crowding_of, fronts_of
from edgenas.search.surrogate import one_hot
from edgenas.spaces import SPACES, Genes, SearchSpace, get_space
from edgenas.testing.search import LABELS, LINE, SIZES, TALL_TREE, TREE, ToyEvaluator, toy_cost, toy_limit, toy_score

BOTH: tuple[Objective, ...] = (Accuracy(), CostObjective("macs", toy_cost(LINE)))
SOME = ("pvt-nano", "pvt-elastic-nano", "autoformer-tiny", "vitas-block", "pit-ti")
LEARN = ("evolution", "nsga2", "surrogate")


def candidate(*losses: float, shortfall: float = 0.0, likelihood: float = 0.0) -> Candidate:
    return Candidate((0,), 0, "x", np.zeros((1, 2), np.float16), 0.5, likelihood, shortfall, losses=losses)


def test_fronts_are_told_apart_and_their_ends_are_lonely() -> None:
    losses = np.array([[1.0, 4.0], [2.0, 2.0], [2.1, 1.9], [4.0, 1.0], [2.0, 5.0], [5.0, 5.0], [1.0, 4.0]])
    assert fronts_of(losses).tolist() == [0, 0, 0, 0, 1, 2, 0]
    assert crowding_of(losses[:4]).tolist() == [np.inf, pytest.approx(1.1 / 3 + 2.1 / 3), pytest.approx(2 / 3 + 1 / 3), np.inf]
    assert fronts_of(np.zeros((0, 2))).tolist() == []


def test_one_objective_orders_as_ever_and_several_by_fronts_behind_floors() -> None:
    one = [candidate(-0.5), candidate(-0.9, shortfall=0.1), candidate(-0.5, likelihood=1.0), candidate(-0.7)]
    assert ranked(one) == [one[3], one[2], one[0], one[1]]
    assert ranked(one, 2) == [one[3], one[2]]
    two = [candidate(3.0, 3.0), candidate(1.0, 2.0), candidate(2.0, 1.0), candidate(0.0, 0.0, shortfall=0.2)]
    two.append(candidate(5.0, 5.0, shortfall=0.1))
    assert ranked(two) == [two[1], two[2], two[0], two[4], two[3]]
    assert undominated(two) == [two[1], two[2]]
    assert undominated([two[3]]) == ranked([]) == []


def test_without_objectives_the_rank_is_that_of_accuracy() -> None:
    assert candidate().rank == candidate(-0.5).rank == (0.0, False, -0.5, 0.0)


def test_a_judge_tells_losses_of_every_objective() -> None:
    goals = (*BOTH, Sensitivity("b", 1), CostObjective("depth", toy_cost(LINE), maximize=True))
    rows_AG = LINE.sample(6, np.random.default_rng(0))
    judged = Judge(ToyEvaluator(LINE), LABELS, (), goals)(rows_AG, 0, "x")
    right_A = toy_score(LINE, rows_AG)
    for each, row_G, right in zip(judged, rows_AG, right_A, strict=True):
        found = (LABELS[: int(right)] == 1).sum() / 50
        assert each.losses == pytest.approx((-right / 100, row_G.sum(), -found, -row_G.sum()))
        assert each.rank[:3] == (0.0, False, -right / 100)
    assert Sensitivity("c", 2).values(rows_AG, np.ones((6, 100, 3)), LABELS).tolist() == [0.0] * 6


def test_objectives_are_read_as_they_are_written() -> None:
    goals, problems = parse_goals(["sensitivity:covid-19", "sensitivity[a b]"], ["latency_ms", "latency_ms:jetson", "params"])
    assert problems == []
    assert [(goal.name, goal.maximize) for goal in goals] == [
        ("sensitivity[covid-19]", True),
        ("sensitivity[a b]", True),
        ("latency_ms", False),
        ("latency_ms[jetson]", False),
        ("params", False),
    ]
    assert [goal.name for goal in parse_goals((), ())[0]] == ["accuracy"]


def test_everything_that_is_wrong_with_objectives_is_listed() -> None:
    goals, problems = parse_goals(["acuracy", "sensitivity", "macs[x]", "=", "params"], ["accuracy", "params"])
    assert problems == [
        "'acuracy': 'acuracy' is nothing that can be made large or small; did you mean 'accuracy'? known are: "
        "accuracy, sensitivity, latency_ms, params, macs, reference_macs, depth, memory_mb",
        "'sensitivity': a sensitivity is of a class: sensitivity:CLASS",
        "'macs[x]': macs takes no name",
        "'=': write e.g. accuracy, sensitivity:CLASS, latency_ms or params",
        "'accuracy': accuracy is to be large: maximize it",
        "params is asked for 2 times; keep one",
    ]
    assert len(goals) == 2


@pytest.mark.parametrize("name", ["evolution", "nsga2", pytest.param("surrogate", marks=pytest.mark.slow), "random"])
def test_the_elite_of_two_objectives_is_their_front(name: str) -> None:
    *_, last = searched(ALGORITHMS[name], BOTH)
    every = [each for record in searched(ALGORITHMS[name], BOTH) for each in record.fresh]
    front = undominated(every)
    kept = {each.genes for each in last.elite}
    assert len(front) > 8
    assert sum(each.genes in kept for each in front) >= min(len(front), SIZES.population) - 2


@pytest.mark.parametrize("name", ["nsga2", *(pytest.param(name, marks=pytest.mark.slow) for name in ("evolution", "surrogate"))])
def test_two_objectives_are_searched_better_than_at_random(name: str) -> None:
    mine, drawn = ([area(each, seed) for seed in range(4)] for each in (name, "random"))
    assert sum(a > b for a, b in zip(mine, drawn, strict=True)) >= 3
    assert np.mean(mine) > np.mean(drawn)


@pytest.mark.parametrize("name", LEARN)
def test_one_objective_is_searched_better_than_at_random(name: str) -> None:
    mine, drawn = ([best(each, seed) for seed in range(6)] for each in (name, "random"))
    assert sum(a > b for a, b in zip(mine, drawn, strict=True)) >= 5
    assert np.mean(mine) > np.mean(drawn)


@cache
def best(name: str, seed: int) -> float:
    """Accuracy that is found within a limit."""
    rng = np.random.default_rng(seed)
    *_, last = ALGORITHMS[name](LINE, ToyEvaluator(LINE), LABELS, [toy_limit(LINE, 12)], rng=rng, settings=SIZES)
    return last.elite[0].top1


def searched(algorithm: Algorithm, objectives: tuple[Objective, ...], seed: int = 0) -> list[Generation]:
    rng = np.random.default_rng(seed)
    return list(algorithm(LINE, ToyEvaluator(LINE), LABELS, [], rng=rng, settings=SIZES, objectives=objectives))


@cache
def area(name: str, seed: int) -> float:
    """Hypervolume of accuracy and cost, within [0, 1] and [0, 24]."""
    front = undominated([each for record in searched(ALGORITHMS[name], BOTH, seed) for each in record.fresh])
    points = sorted((each.losses[1], -each.losses[0]) for each in front)
    edges = [*(cost for cost, _ in points[1:]), 24.0]
    return sum((after - cost) * top1 for (cost, top1), after in zip(points, edges, strict=True))


@pytest.mark.parametrize("name", [*LEARN, "random"])
def test_a_cost_alone_can_be_what_is_searched(name: str) -> None:
    floor = SensitivityFloor("b", 1, 0.5, positive=None, threshold=None)
    least = (CostObjective("macs", toy_cost(LINE)),)
    rng = np.random.default_rng(0)
    *_, last = ALGORITHMS[name](LINE, ToyEvaluator(LINE), LABELS, [], [floor], rng=rng, settings=SIZES, objectives=least)
    assert last.elite[0].shortfall == 0
    assert last.elite[0].losses[0] <= (15 if name == "random" else 12)


def test_regression_trees_guide_as_a_line_does() -> None:
    sizes = EvolutionSettings(4, population=40, num_mutations=20, num_crossovers=20, surrogate="boosted")
    search = partial(ALGORITHMS["surrogate"], settings=sizes)
    limits = [toy_limit(LINE, 12)]
    *_, last = search(LINE, ToyEvaluator(LINE), LABELS, limits, rng=np.random.default_rng(0))
    *_, drawn = ALGORITHMS["random"](LINE, ToyEvaluator(LINE), LABELS, limits, rng=np.random.default_rng(0), settings=sizes)
    assert last.elite[0].top1 > drawn.elite[0].top1


def test_one_hot_genes_tell_inactive_ones_from_the_first_option() -> None:
    rows_AG = TREE.sample(300, np.random.default_rng(0))
    features_AF = one_hot(TREE, rows_AG)
    assert features_AF.sum(axis=1).tolist() == [TREE.num_genes] * 300
    assert len(np.unique(features_AF, axis=0)) == len(np.unique(rows_AG, axis=0))


def test_the_best_scores_of_a_training_free_search_are_evaluated_in_their_order() -> None:
    asked: list[Genes] = []

    def score(genes_AG: Genes) -> NDArray[np.float64]:
        asked.append(genes_AG)
        return toy_cost(TALL_TREE)(genes_AG)

    sizes = EvolutionSettings(1, population=10, num_mutations=5, num_crossovers=5, num_samples=500)
    limits = [toy_limit(TALL_TREE, 20)]
    evaluator = ToyEvaluator(TALL_TREE)
    list(
        ALGORITHMS["training-free"](TALL_TREE, evaluator, LABELS, limits, rng=np.random.default_rng(0), settings=sizes, score=score)
    )
    scored_AG = np.concatenate(asked)
    assert len(np.unique(scored_AG, axis=0)) == len(scored_AG) == 500
    assert len(evaluator.rows) == sizes.budget == 20
    best = np.sort(toy_cost(TALL_TREE)(scored_AG))[::-1][:20]
    assert toy_cost(TALL_TREE)(evaluator.rows).tolist() == best.tolist()


def test_a_training_free_search_without_a_score_says_so() -> None:
    with pytest.raises(UsageError, match="needs a score"):
        list(ALGORITHMS["training-free"](LINE, ToyEvaluator(LINE), LABELS, [], rng=np.random.default_rng(0)))


def test_algorithms_of_before_are_asked_for_accuracy_alone() -> None:
    def old(space: object, *, rng: object) -> Iterator[Generation]:
        return iter(())

    algorithm: Algorithm = old  # type: ignore[assignment]
    assert not takes(algorithm, "objectives")
    assert extra_arguments(algorithm, (Accuracy(),), lambda rows: rows.sum(axis=1)) == {}
    assert takes(ALGORITHMS["evolution"], "objectives")
    assert set(extra_arguments(ALGORITHMS["random"], BOTH, None)) == {"objectives"}


@pytest.mark.parametrize("space", [LINE, TREE, pytest.param(TALL_TREE, marks=pytest.mark.slow)], ids=lambda space: space.name)
@pytest.mark.parametrize("name", list(ALGORITHMS.own))
def test_the_known_optimum_is_found_or_the_budget_has_ended(name: str, space: SearchSpace) -> None:
    limit = toy_limit(space, {LINE: 12, TREE: 9, TALL_TREE: 22}[space])
    every_AG = space.enumerate()
    best = toy_score(space, every_AG[limit.violation(every_AG) == 0]).max() / len(LABELS)
    settings = EvolutionSettings(num_samples=2000)
    told = ALGORITHMS[name](
        space, ToyEvaluator(space), LABELS, [limit], rng=np.random.default_rng(0), settings=settings, score=toy_cost(space)
    )
    if name == "exhaustive" and space is not TREE:
        with pytest.raises(UsageError, match="the budget of this search is 1050 evaluations"):
            list(told)
        return
    *_, last = told
    assert last.done == 1.0
    found = last.elite[0].top1 == best
    assert found or (last.elite[0].top1 < best and 0.9 * settings.budget <= last.num_evaluated <= settings.budget)
    if space is TREE or (name in LEARN and space is LINE):
        assert found


@pytest.mark.parametrize("space_name", [pytest.param(name, marks=() if name in SOME else pytest.mark.slow) for name in SPACES.own])
@pytest.mark.parametrize("name", [name for name in ALGORITHMS.own if name != "exhaustive"])
def test_every_algorithm_searches_every_space(name: str, space_name: str) -> None:
    space = get_space(space_name)
    params = cost_models(space, space.default_task)["params"]
    limit = UpperLimit("params", float(np.median(params(space.sample(500, np.random.default_rng(1))))), params)

    def evaluate(genes_AG: Genes, images: NDArray[np.int64]) -> NDArray[np.float16]:
        of_one_A = np.abs(genes_AG).sum(axis=1) % 7 / 8
        return np.stack([np.stack([1 - of_one_A] * len(images), 1), np.stack([of_one_A] * len(images), 1)], axis=2).astype(
            np.float16
        )

    sizes = EvolutionSettings(2, population=8, num_parents=4, num_mutations=4, num_crossovers=4, num_samples=40)
    told = ALGORITHMS[name](space, evaluate, LABELS, [limit], rng=np.random.default_rng(0), settings=sizes, score=params)
    rows_AG = np.array([each.genes for record in told for each in record.fresh], dtype=np.int16)
    space.require_valid(rows_AG)
    assert 0.75 * sizes.budget <= len(rows_AG) <= sizes.budget
    assert limit.violation(rows_AG).sum() == 0
