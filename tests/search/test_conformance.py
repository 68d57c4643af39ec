"""Every algorithm and every constraint keeps the contract."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from edgenas.errors import UsageError
from edgenas.search import (
    ALGORITHMS,
    Algorithm,
    CostConstraint,
    EvolutionSettings,
    LowerLimit,
    MetricConstraint,
    SensitivityFloor,
    UpperLimit,
)
from edgenas.spaces import SearchSpace
from edgenas.testing.search import (
    LABELS,
    LINE,
    TREE,
    BeatsRandomSearch,
    ConstraintConformance,
    Judged,
    SearchConformance,
    ToyEvaluator,
    toy_cost,
    toy_limit,
)


def named(name: str) -> Algorithm:
    """An algorithm, with a score that is the number of layers' worth of cost: what it needs where it asks for one."""
    return partial(ALGORITHMS[name], score=lambda genes_AG: np.maximum(genes_AG, 0).sum(axis=1).astype(np.float64))


@pytest.mark.parametrize("name", [name for name in ALGORITHMS.own if name != "exhaustive"])
class TestEveryAlgorithm(SearchConformance):
    @pytest.fixture
    def search(self, name: str) -> Algorithm:
        return named(name)


class TestExhaustiveSearch(SearchConformance):
    """On spaces that its budget can look at whole."""

    @pytest.fixture
    def search(self) -> Algorithm:
        return ALGORITHMS["exhaustive"]

    @pytest.fixture(params=[LINE, TREE], ids=lambda space: space.name)
    def space(self, request: pytest.FixtureRequest) -> SearchSpace:
        space: SearchSpace = request.param
        return replace(space, choices=space.choices[:4])

    @pytest.fixture
    def limit(self, space: SearchSpace) -> UpperLimit:
        return toy_limit(space, 5)

    def test_no_more_networks_are_evaluated_than_the_budget_allows(
        self, search: Algorithm, limit: UpperLimit, evaluator: ToyEvaluator
    ) -> None:
        sizes = EvolutionSettings(num_generations=0, population=5)
        with pytest.raises(UsageError) as refused:
            next(search(evaluator.space, evaluator, LABELS, [limit], rng=np.random.default_rng(0), settings=sizes))  # type: ignore[call-overload]
        num = int((limit.violation(evaluator.space.enumerate()) == 0).sum())
        assert f"{num} nets of {evaluator.space.name} meet the limits, the budget of this search is 5" in str(refused.value)
        assert evaluator.asked == []


@pytest.mark.parametrize(
    "name", ["evolution", *(pytest.param(name, marks=pytest.mark.slow) for name in ("nsga2", "surrogate"))]
)  # what the slow ones do in seconds is in test_objectives
class TestWhatLearnsBeatsRandomSearch(BeatsRandomSearch):
    @pytest.fixture
    def search(self, name: str) -> Algorithm:
        return ALGORITHMS[name]


class TestUpperLimit(ConstraintConformance):
    @pytest.fixture
    def constraint(self) -> CostConstraint | MetricConstraint:
        return toy_limit(LINE, 7)

    @pytest.fixture
    def judged(self) -> Judged:
        rows = [[0] * 8, [1] * 7 + [0], [1] * 8, [3] * 8]
        return Judged(np.array(rows, dtype=np.int16), (True, True, False, False))


class TestLowerLimit(ConstraintConformance):
    @pytest.fixture
    def constraint(self) -> CostConstraint | MetricConstraint:
        return LowerLimit("latency_ms", 7, toy_cost(LINE))

    @pytest.fixture
    def judged(self) -> Judged:
        rows = [[0] * 8, [1] * 6 + [0, 0], [1] * 7 + [0], [3] * 8]
        return Judged(np.array(rows, dtype=np.int16), (False, False, True, True))


class TestSensitivityFloor(ConstraintConformance):
    @pytest.fixture
    def constraint(self) -> CostConstraint | MetricConstraint:
        return SensitivityFloor("b", 1, 0.75, positive=None, threshold=None)

    @pytest.fixture
    def judged(self) -> Judged:
        found = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]], dtype=np.float16)
        probabilities = np.stack([1 - found, found], axis=2)
        return Judged(probabilities, (True, True, False, False), labels_N=np.ones(4, dtype=np.int64))


class TestSensitivityFloorAtAThreshold(TestSensitivityFloor):
    @pytest.fixture
    def constraint(self) -> CostConstraint | MetricConstraint:
        return SensitivityFloor("b", 1, 0.75, positive=1, threshold=0.3)
