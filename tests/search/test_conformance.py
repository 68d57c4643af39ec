"""Every algorithm and every constraint keeps the contract."""

from __future__ import annotations

import numpy as np
import pytest

from edgenas.search import ALGORITHMS, Algorithm, CostConstraint, LowerLimit, MetricConstraint, SensitivityFloor
from edgenas.testing.search import (
    LINE,
    BeatsRandomSearch,
    ConstraintConformance,
    Judged,
    SearchConformance,
    toy_cost,
    toy_limit,
)


@pytest.mark.parametrize("name", list(ALGORITHMS.own))
class TestEveryAlgorithm(SearchConformance):
    @pytest.fixture
    def search(self, name: str) -> Algorithm:
        return ALGORITHMS[name]


class TestEvolutionBeatsRandomSearch(BeatsRandomSearch):
    @pytest.fixture
    def search(self) -> Algorithm:
        return ALGORITHMS["evolution"]


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
