"""The supernet of every space keeps the contract."""

from __future__ import annotations

import numpy as np
import pytest

from edgenas.spaces import SearchSpace, Task, get_space
from edgenas.testing.supernets import SupernetConformance
from edgenas.training.sampling import sandwich, uniform_genes


class TestPvtNano(SupernetConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-nano")


class TestPvtCovidx(SupernetConformance):
    num_random = 2

    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-covidx")

    @pytest.fixture
    def task(self, space: SearchSpace) -> Task:
        return Task(num_classes=3, in_channels=3, image_px=64)


class TestAutoFormerNano(SupernetConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("autoformer-nano")


@pytest.mark.slow
class TestAutoFormerTiny(SupernetConformance):
    """At 240 px the grid is just large enough for a pair at every distance of the position tables."""

    num_random = 1

    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("autoformer-tiny")

    @pytest.fixture
    def task(self, space: SearchSpace) -> Task:
        return Task(num_classes=4, in_channels=3, image_px=240)

    def drawn(self, space: SearchSpace) -> list[tuple[int, ...]]:
        """By AutoFormer's rule: uniformly over networks the smallest depth comes once in 91 draws of Small."""
        return uniform_genes(space, np.random.default_rng(0), self.max_steps)


class TestAutoFormerSmall(TestAutoFormerTiny):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("autoformer-small")


class TestAutoFormerBase(TestAutoFormerTiny):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("autoformer-base")


class TestPitNano(SupernetConformance):
    """One draw in 24 has the last rows of a stage: all heads, rows, hidden channels and blocks."""

    max_steps = 128

    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pit-nano")


@pytest.mark.slow
class TestPitTi(SupernetConformance):
    """At 56 px the grids are 6, 3 and 2: odd and even ones are pooled."""

    num_random = 1

    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pit-ti")

    @pytest.fixture
    def task(self, space: SearchSpace) -> Task:
        return Task(num_classes=4, in_channels=3, image_px=56)

    def drawn(self, space: SearchSpace) -> list[tuple[int, ...]]:
        """By the sandwich rule: one uniform draw in 144 has the last rows of a stage."""
        rng = np.random.default_rng(0)
        return [genes for _ in range(self.max_steps // 4) for genes in sandwich(space, rng)]


class TestPitXs(TestPitTi):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pit-xs")


class TestPitS(TestPitTi):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pit-s")
