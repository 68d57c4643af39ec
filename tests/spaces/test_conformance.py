"""Every space keeps the contract, and so does one with genes that may be inactive."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgenas.spaces import SPACES, SearchSpace, get_space
from edgenas.testing.spaces import SpaceConformance
from tests.spaces.test_base import TREE


class TestPvtNano(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-nano")


class TestPvtCovidx(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-covidx")


class TestPvtElasticNano(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-elastic-nano")


class TestPvtElastic32(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-elastic-32")


class TestPvtElastic(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-elastic")


class TestPvtMobilePico(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-mobile-pico")


class TestPvtMobileNano(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-mobile-nano")


class TestPvtMobilePlain(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-mobile-plain")


class TestPvtMobileStar(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-mobile-star")


class TestPvtMobileStarL(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-mobile-star-l")


class TestPvtMobileSmall(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-mobile-small")


class TestPvtMobile(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-mobile")


class TestPvtMobileHybrid(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-mobile-mqa")


class TestAutoFormerNano(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("autoformer-nano")


class TestAutoFormerTiny(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("autoformer-tiny")


class TestAutoFormerSmall(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("autoformer-small")


class TestAutoFormerBase(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("autoformer-base")


class TestVitasNano(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("vitas-nano")


class TestVitas384(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("vitas-384")


class TestVitas768(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("vitas-768")


class TestVitasBlock(SpaceConformance):
    max_enumerated = 200_000

    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("vitas-block")


class TestPitNano(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pit-nano")


class TestPitTi(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pit-ti")


class TestPitXs(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pit-xs")


class TestPitS(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pit-s")


class TestConditionalSpace(SpaceConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return TREE


def test_every_space_is_held_to_the_contract() -> None:
    held = re.findall(r'get_space\("([^"]+)"\)', Path(__file__).read_text(encoding="utf-8"))
    assert sorted(held) == sorted(SPACES.own)
