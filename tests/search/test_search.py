from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenas.costs import CostModel, Factor
from edgenas.errors import InfeasibleError
from edgenas.search import (
    EvolutionSettings,
    SensitivityFloor,
    UpperLimit,
    closest,
    evolve,
    pareto_front,
    repair,
    survey,
    total_violation,
)
from edgenas.spaces import Choice, Genes, SearchSpace, Task, get_space

LINE = SearchSpace("line", "toy", tuple(Choice(f"x[{i}]", (0, 1, 2, 3)) for i in range(8)), Task(2))
LABELS = np.array([0, 1] * 50)


def total_cost(limit: float, name: str = "latency_ms") -> UpperLimit:
    """The sum of the genes, at most ``limit``."""
    factors = tuple(Factor((gene,), np.arange(4.0)) for gene in range(8))
    return UpperLimit(name, limit, CostModel(name, "ms", factors))


def toy_evaluator(genes_AG: Genes, images: NDArray[np.int64]) -> NDArray[np.float16]:
    """Right on more images the larger the genes, the later ones counting most."""
    weights = np.arange(1, 9)
    share_A = (genes_AG * weights).sum(axis=1) / (3 * weights.sum())
    right_AN = np.arange(len(images)) < np.round(share_A[:, None] * len(images))
    of_label_AN = np.where(right_AN, 0.75, 0.25)
    probabilities = np.empty((len(genes_AG), len(images), 2), dtype=np.float16)
    for label in (0, 1):
        probabilities[..., label] = np.where(LABELS[images] == label, of_label_AN, 1 - of_label_AN)
    return probabilities


def test_the_known_optimum_under_a_limit_is_found() -> None:
    generations = list(evolve(LINE, toy_evaluator, LABELS, [total_cost(12)], rng=np.random.default_rng(0)))
    best = generations[-1].elite[0]
    assert sum(best.genes) <= 12
    assert best.genes[4:] == (3, 3, 3, 3)


def test_nothing_that_breaks_a_limit_is_evaluated() -> None:
    limit = total_cost(9)
    for generation in evolve(LINE, toy_evaluator, LABELS, [limit], rng=np.random.default_rng(1)):
        rows = np.array([candidate.genes for candidate in generation.fresh], dtype=np.int16).reshape(-1, 8)
        assert total_violation([limit], rows).sum() == 0


def test_no_architecture_is_evaluated_twice() -> None:
    seen = [c.genes for g in evolve(LINE, toy_evaluator, LABELS, [total_cost(9)], rng=np.random.default_rng(2)) for c in g.fresh]
    assert len(seen) == len(set(seen))


def test_the_last_generation_is_ranked() -> None:
    generations = list(evolve(LINE, toy_evaluator, LABELS, [], rng=np.random.default_rng(0)))
    last = generations[-1]
    best_fresh = min(last.fresh, key=lambda candidate: candidate.rank)
    assert last.elite[0].rank <= best_fresh.rank
    assert last.index == last.num_generations == 20


def test_infeasible_limits_are_named() -> None:
    factors = (Factor((0,), np.full(4, 5.0)),)
    limit = UpperLimit("latency_ms", 0.1, CostModel("latency_ms", "ms", factors))
    with pytest.raises(InfeasibleError, match=r"latency_ms <= 0\.1"):
        list(evolve(LINE, toy_evaluator, LABELS, [limit], rng=np.random.default_rng(0)))


def test_a_narrow_limit_does_not_stall_the_search() -> None:
    generations = list(evolve(LINE, toy_evaluator, LABELS, [total_cost(1)], rng=np.random.default_rng(0)))
    assert generations[-1].elite[0].genes == (0,) * 7 + (1,)


def test_a_space_within_the_budget_is_enumerated() -> None:
    small = SearchSpace("small", "toy", LINE.choices[:3], Task(2))
    factors = tuple(Factor((gene,), np.arange(4.0)) for gene in range(3))
    limit = UpperLimit("macs", 5, CostModel("macs", "MACs", factors))

    def evaluate(genes_AG: Genes, images: NDArray[np.int64]) -> NDArray[np.float16]:
        return toy_evaluator(np.pad(genes_AG, ((0, 0), (5, 0))), images)

    generations = list(evolve(small, evaluate, LABELS, [limit], rng=np.random.default_rng(0)))
    evaluated = [candidate for generation in generations for candidate in generation.fresh]
    assert len(evaluated) == sum(1 for row in small.enumerate() if row.sum() <= 5)
    assert generations[-1].elite[0].genes == (0, 2, 3)
    assert {candidate.origin for candidate in evaluated} == {"enumeration"}


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
    loose, tight = total_cost(1000, "macs"), total_cost(3)
    found = survey(LINE, [loose, tight], np.random.default_rng(0))
    assert found.is_exact
    assert found.rejected["macs"] == 0
    assert found.rejected["latency_ms"] == int((~found.feasible_A).sum()) > 0
    assert found.binding == ("latency_ms",)


def test_the_closest_achievable_value_is_given_for_each_limit() -> None:
    impossible = total_cost(-1)
    found = survey(LINE, [impossible], np.random.default_rng(0), max_rows=1000)
    assert not found.is_exact
    nearest = closest(LINE, [impossible], found)["latency_ms"]
    assert nearest["asked"] == -1
    assert nearest["achievable"] == 0
    assert nearest["arch"] == {"x": [0] * 8}


def test_repair_changes_little_and_ends_feasible() -> None:
    rng = np.random.default_rng(0)
    rows = LINE.sample(50, rng)
    limit = total_cost(8)
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


def test_equal_seeds_search_equally_whatever_the_hash_seed() -> None:
    script = (
        "import numpy as np; from tests.search.test_search import *\n"
        "g = list(evolve(LINE, toy_evaluator, LABELS, [total_cost(9)], rng=np.random.default_rng(5)))\n"
        "print([[c.genes for c in x.fresh] for x in g])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert "(" in outputs.pop()


def test_evolution_on_a_real_space_respects_its_size() -> None:
    space = get_space("pvt-nano")

    def evaluate(genes_AG: Genes, images: NDArray[np.int64]) -> NDArray[np.float16]:
        return np.full((len(genes_AG), len(images), 2), 0.5, dtype=np.float16)

    settings = EvolutionSettings(num_generations=2, population=8, num_parents=4, num_mutations=4, num_crossovers=4)
    generations = list(evolve(space, evaluate, LABELS, [], rng=np.random.default_rng(0), settings=settings))
    assert generations[-1].num_evaluated <= settings.budget
    space.require_valid(np.array([c.genes for g in generations for c in g.fresh], dtype=np.int16))
