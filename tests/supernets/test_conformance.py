"""The supernet of every space keeps the contract."""

from __future__ import annotations

import pytest

from edgenas.spaces import SearchSpace, Task, get_space
from edgenas.testing.supernets import SupernetConformance


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
