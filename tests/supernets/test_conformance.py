"""The supernet of every space keeps the contract."""

from __future__ import annotations

import numpy as np
import pytest

from edgenas.spaces import SearchSpace, Task, get_space
from edgenas.testing.supernets import SupernetConformance
from edgenas.training.sampling import uniform_genes


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


class TestPvtElasticNano(SupernetConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-elastic-nano")


class TestAutoFormerNano(SupernetConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("autoformer-nano")


@pytest.mark.slow
@pytest.mark.timeout(3600)
class TestPvtElastic32(SupernetConformance):
    """The last row of a stage's last block learns in one of some hundred draws, unless the largest net is among them."""

    num_random = 1
    max_steps = 400

    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-elastic-32")

    @pytest.fixture
    def task(self, space: SearchSpace) -> Task:
        return Task(num_classes=4, in_channels=3, image_px=160)

    def drawn(self, space: SearchSpace) -> list[tuple[int, ...]]:
        """The largest, as the sandwich rule draws it, then every gene uniformly: all depths alike."""
        largest = tuple(int(gene) for gene in space.extreme(largest=True)[0])
        return [largest, *uniform_genes(space, np.random.default_rng(0), self.max_steps)]


class TestPvtElastic(TestPvtElastic32):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-elastic")


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
