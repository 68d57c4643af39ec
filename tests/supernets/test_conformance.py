"""The supernet of every space keeps the contract."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from edgenas.spaces import SPACES, SearchSpace, Task, get_space
from edgenas.supernets.pvt_mobile_net import AttentionBlock, ConvBlock
from edgenas.supernets.pvt_mobile_star_net import StarBlock
from edgenas.testing.supernets import SupernetConformance, awakened_supernet
from edgenas.training.sampling import sandwich, uniform_genes

LARGE = [space for space in SPACES.own.values() if space.default_task.image_px > 64]


class TestPvtNano(SupernetConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-nano")


@pytest.mark.slow  # the family's contract is kept by its smallest space, above
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


class TestVitasNano(SupernetConformance):
    """Where every block is an identity nothing of the image reaches the class token."""

    max_steps = 64
    num_blind = 1

    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("vitas-nano")

    def drawn(self, space: SearchSpace) -> list[tuple[int, ...]]:
        """Every gene uniformly, as ViTAS draws: uniformly over networks an identity comes once in 401 blocks of the large space."""
        return uniform_genes(space, np.random.default_rng(0), self.max_steps)


@pytest.mark.slow
class TestVitas384(TestVitasNano):
    max_steps = 160

    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("vitas-384")

    @pytest.fixture
    def task(self, space: SearchSpace) -> Task:
        return Task(num_classes=4, in_channels=3, image_px=64)

    def drawn(self, space: SearchSpace) -> list[tuple[int, ...]]:
        """The widest nets of all patch sizes and head numbers, too: in a block the last row of one comes once in 50 draws."""
        widest_AG = space.extreme(largest=True).repeat(40, axis=0)
        free = [choice.name.endswith(("patch_size", "num_heads")) for choice in space.choices]
        widest_AG = space.mutate(widest_AG, np.random.default_rng(1), prob=np.array(free, dtype=float))
        return [*super().drawn(space), *(tuple(map(int, row_G)) for row_G in widest_AG)]


@pytest.mark.timeout(1800)  # four times the weights, all of which are looked at after every step
class TestVitas768(TestVitas384):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("vitas-768")


class TestVitasBlock(TestVitas384):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("vitas-block")


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


class TestPvtMobileNano(SupernetConformance):
    """What no other option runs, such as strided convolutions before the shared keys of a last place, comes once in 50 draws."""

    max_steps = 400

    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-mobile-nano")

    def drawn(self, space: SearchSpace) -> list[tuple[int, ...]]:
        """The largest, as the sandwich rule draws it, then every gene uniformly."""
        largest = tuple(int(gene) for gene in space.extreme(largest=True)[0])
        return [largest, *uniform_genes(space, np.random.default_rng(0), self.max_steps)]

    @pytest.mark.slow  # 150 steps; a smaller space of the family learns below
    def test_everything_learns_within_a_few_drawn_subnets(self, space: SearchSpace, task: Task) -> None:
        super().test_everything_learns_within_a_few_drawn_subnets(space, task)


class TestPvtMobilePico(SupernetConformance):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-mobile-pico")


class TestPvtMobilePlain(TestPvtMobileNano):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-mobile-plain")


class TestPvtMobileStar(TestPvtMobileNano):
    num_random = 1

    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-mobile-star")


def with_small_branches(supernet: nn.Module) -> nn.Module:
    """A supernet, changed here, whose blocks add little: some forty of drawn weights, or twenty products of such, are infinite."""
    for module in supernet.modules():
        if isinstance(module, StarBlock):
            module.g.bn.weight.data.mul_(0.01)
            module.dwconv2.conv.weight.data.mul_(0.1)
        elif isinstance(module, ConvBlock):
            module.pw_proj.conv.weight.data.mul_(0.5)
        elif isinstance(module, AttentionBlock):
            module.attn.output.proj.weight.data.mul_(0.5)
    return supernet


@pytest.mark.slow
@pytest.mark.timeout(3600)
class TestPvtMobileSmall(TestPvtMobileNano):
    num_random = 1

    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-mobile-small")

    @pytest.fixture
    def task(self, space: SearchSpace) -> Task:
        return Task(num_classes=4, in_channels=3, image_px=160)

    def awakened(self, space: SearchSpace, task: Task) -> nn.Module:
        """With blocks that add little."""
        return with_small_branches(super().awakened(space, task))


class TestPvtMobile(TestPvtMobileSmall):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-mobile")


class TestPvtMobileHybrid(TestPvtMobileSmall):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-mobile-mqa")


class TestPvtMobileStarL(TestPvtMobileSmall):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-mobile-star-l")

    def drawn(self, space: SearchSpace) -> list[tuple[int, ...]]:
        """The widest and deepest nets of all kinds of blocks first: uniformly, the last row of one comes once in 200 draws."""
        free = [choice.name.endswith((".kernels", ".attention")) for choice in space.choices]
        widest_AG = space.extreme(largest=True).repeat(80, axis=0)
        widest_AG = space.mutate(widest_AG, np.random.default_rng(1), prob=np.array(free, dtype=float))
        return [*(tuple(map(int, row_G)) for row_G in widest_AG), *super().drawn(space)]


def test_the_supernet_of_every_space_is_held_to_the_contract() -> None:
    held = re.findall(r'get_space\("([^"]+)"\)', Path(__file__).read_text(encoding="utf-8"))
    assert sorted(held) == sorted(SPACES.own)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("space", [pytest.param(space, id=space.name) for space in LARGE])
def test_the_extremes_of_a_large_space_keep_the_contract_at_its_own_size_and_classes(space: SearchSpace) -> None:
    """Above, large spaces are given small images, and few classes."""
    suite, task = SupernetConformance(), space.default_task
    suite.num_blind = TestVitasNano.num_blind if space.family == "vitas" else 0
    archs = [tuple(int(gene) for gene in space.extreme(largest=largest)[0]) for largest in (False, True)]
    supernet = with_small_branches(awakened_supernet(space, task))
    suite.test_an_extracted_subnet_computes_what_the_supernet_computes(supernet, task, archs)
    suite.test_components_chain_into_the_net(supernet, space, task, archs)
    suite.test_the_cost_terms_hold_the_components_of_the_net(space, task, archs)
    suite.test_its_parameters_are_those_that_the_cost_model_counts(space, task, archs)
    suite.test_the_extremes_bound_every_cost(space, task)
