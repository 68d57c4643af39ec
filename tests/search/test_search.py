from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenas.search import EvolutionSettings, SensitivityFloor, UpperLimit, closest, evolve, pareto_front, repair, survey
from edgenas.spaces import Genes, SearchSpace, Task, get_space
from edgenas.testing.search import LABELS, LINE, ToyEvaluator, toy_limit


def test_a_space_within_the_budget_is_enumerated() -> None:
    small = SearchSpace("small", "toy", LINE.choices[:3], Task(2))
    limits = [toy_limit(small, 5)]
    generations = list(evolve(small, ToyEvaluator(small), LABELS, limits, rng=np.random.default_rng(0)))
    evaluated = [candidate for generation in generations for candidate in generation.fresh]
    assert len(evaluated) == sum(1 for row in small.enumerate() if row.sum() <= 5)
    assert generations[-1].elite[0].genes == (0, 2, 3)
    assert {candidate.origin for candidate in evaluated} == {"enumeration"}


def test_probabilities_that_are_no_numbers_are_refused() -> None:
    def evaluate(genes_AG: Genes, indices_N: NDArray[np.int64]) -> NDArray[np.float16]:
        return np.full((len(genes_AG), len(indices_N), 2), np.nan, dtype=np.float16)

    with pytest.raises(ValueError, match="not all finite numbers"):
        list(evolve(LINE, evaluate, LABELS, [], rng=np.random.default_rng(0)))


def test_a_sensitivity_floor_ranks_before_accuracy() -> None:
    floor = SensitivityFloor("b", 1, 0.9, positive=None, threshold=None)
    probabilities = np.zeros((2, 4, 2), dtype=np.float16)
    labels = np.array([0, 0, 0, 1])
    probabilities[0, :, 0] = 1  # three right, misses b
    probabilities[1, :, 1] = 1  # one right, finds b
    assert floor.violation(probabilities, labels).tolist() == [1.0, 0.0]
    assert str(floor) == "sensitivity[b] >= 0.9"


def test_a_floor_without_images_of_the_class_is_a_full_miss() -> None:
    floor = SensitivityFloor("b", 1, 0.5, positive=1, threshold=0.5)
    assert floor.violation(np.ones((1, 2, 2), dtype=np.float16), np.array([0, 0])).tolist() == [1.0]


def test_the_survey_says_what_is_left_and_what_binds() -> None:
    loose, tight = toy_limit(LINE, 1000, "macs"), toy_limit(LINE, 3)
    found = survey(LINE, [loose, tight], np.random.default_rng(0))
    assert found.is_exact
    assert found.rejected["macs"] == 0
    assert found.rejected["latency_ms"] == int((~found.feasible_A).sum()) > 0
    assert found.binding == ("latency_ms",)


def test_the_closest_achievable_value_is_given_for_each_limit() -> None:
    impossible = UpperLimit("latency_ms", 0.5, replace(toy_limit(LINE, 1).cost, offset=2.0))
    found = survey(LINE, [impossible], np.random.default_rng(0), max_rows=1000)
    assert not found.is_exact
    nearest = closest([impossible], found)["latency_ms"]
    assert nearest.asked == 0.5
    assert nearest.achievable == 2.0
    assert LINE.to_json(nearest.genes_G) == {"x": [0] * 8}


def test_repair_changes_little_and_ends_feasible() -> None:
    rng = np.random.default_rng(0)
    rows = LINE.sample(50, rng)
    limit = toy_limit(LINE, 8)
    mended = repair(LINE, rows, [limit], rng)
    assert len(mended) == 50
    assert limit.violation(mended).sum() == 0
    already = limit.violation(rows) == 0
    assert (mended[already] == rows[already]).all()


def test_the_pareto_front_keeps_what_nothing_beats() -> None:
    costs = np.array([3.0, 1.0, 2.0, 2.0, 4.0])
    scores = np.array([0.9, 0.5, 0.8, 0.7, 0.9])
    assert pareto_front(costs, scores).tolist() == [1, 2, 0]
    assert pareto_front(np.array([]), np.array([])).tolist() == []


def test_a_generation_is_filled_with_new_nets_even_where_parents_are_alike() -> None:
    """Children of two that are nearly equal are mostly known: others are drawn, as long as there are any."""
    settings = EvolutionSettings(num_generations=10, population=12, num_parents=2, num_mutations=3, num_crossovers=9)
    told = list(evolve(LINE, ToyEvaluator(LINE), LABELS, [toy_limit(LINE, 9)], rng=np.random.default_rng(0), settings=settings))
    assert told[-1].num_evaluated == settings.budget
    sizes = [sum(len(record.fresh) for record in told if record.index == index) for index in range(11)]
    assert sizes == [12] * 11


def test_evolution_on_a_real_space_respects_its_size() -> None:
    space = get_space("pvt-nano")

    def evaluate(genes_AG: Genes, images: NDArray[np.int64]) -> NDArray[np.float16]:
        return np.full((len(genes_AG), len(images), 2), 0.5, dtype=np.float16)

    settings = EvolutionSettings(num_generations=2, population=8, num_parents=4, num_mutations=4, num_crossovers=4)
    generations = list(evolve(space, evaluate, LABELS, [], rng=np.random.default_rng(0), settings=settings))
    assert generations[-1].num_evaluated <= settings.budget
    space.require_valid(np.array([c.genes for g in generations for c in g.fresh], dtype=np.int16))
