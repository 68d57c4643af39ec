"""The supernet of every space keeps the contract."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from edgenas.spaces import SearchSpace, Task, get_space
from edgenas.supernets.pvt_mobile_star_net import StarBlock
from edgenas.testing.supernets import SupernetConformance, awakened_supernet
from edgenas.training.sampling import sandwich, uniform_genes


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
    max_steps = 64

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


class TestPvtMobile(TestPvtMobileSmall):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-mobile")


class TestPvtMobileHybrid(TestPvtMobileSmall):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-mobile-mqa")


class TestPvtMobileStarL(TestPvtMobileSmall):
    """Products of what was drawn at random outgrow single precision within twenty blocks, unless each adds little."""

    @pytest.fixture
    def space(self) -> SearchSpace:
        return get_space("pvt-mobile-star-l")

    @pytest.fixture
    def supernet(self, space: SearchSpace, task: Task) -> nn.Module:
        supernet = awakened_supernet(space, task, self.make)
        for module in supernet.modules():
            if isinstance(module, StarBlock):
                module.g.bn.weight.data.mul_(0.01)
                module.dwconv2.conv.weight.data.mul_(0.1)
        return supernet

    def drawn(self, space: SearchSpace) -> list[tuple[int, ...]]:
        """The widest and deepest nets of all kinds of blocks first: uniformly, the last row of one comes once in 200 draws."""
        free = [choice.name.endswith((".kernels", ".attention")) for choice in space.choices]
        widest_AG = space.extreme(largest=True).repeat(80, axis=0)
        widest_AG = space.mutate(widest_AG, np.random.default_rng(1), prob=np.array(free, dtype=float))
        return [*(tuple(map(int, row_G)) for row_G in widest_AG), *super().drawn(space)]
