"""PiT spaces: pyramids of plain Transformer blocks with a class token, whose width, heads, MLPs and depth are searched.

A `PitSpec` says exactly what a net computes, as a chain of components with one tensor in and one out. Costs count components,
supernets and plain nets build them.

Sources: PiT (Heo et al., ICCV 2021, arXiv:2103.16302); the spaces are those of TF-TAS (Zhou et al., CVPR 2022, arXiv:2203.12217;
decemberzhou/TF_TAS, ``experiments/subnet_pit``). One deviation: a stage may have fewer heads than the one before. Their pooling is
a convolution of one group for each channel that it reads, which cannot make fewer, so that 7,344 of the 11,664 nets of each space
cannot be built by their code; ours has one group for each channel of the narrower side.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgenas.spaces.archs import PitArch, Readable
from edgenas.spaces.base import PLAIN_NEEDS_IMAGES, Choice, SearchSpace, Task
from edgenas.spaces.uniform import uniform_nets

NUM_STAGES = 3


@dataclass(frozen=True, slots=True)
class EmbedSpec:
    """An image to tokens: overlapping patches by a convolution, learnt positions added to them, a class token before them."""

    in_channels: int
    image_px: int
    patch_size: int
    stride: int
    grid: int
    base_dim: int
    num_heads: int

    @property
    def embed_dim(self) -> int:
        """Channels of a token."""
        return self.base_dim * self.num_heads


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """Attention, then an MLP, on ``grid``² tokens and the class token; a head is ``base_dim`` wide."""

    grid: int
    base_dim: int
    num_heads: int
    mlp_hidden: int

    @property
    def embed_dim(self) -> int:
        """Channels of a token, and of q, k and v."""
        return self.base_dim * self.num_heads


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """From one stage to the next: a grouped 3x3 convolution of stride 2 on the patches, a linear layer on the class token."""

    in_grid: int
    grid: int
    base_dim: int
    in_heads: int
    num_heads: int

    @property
    def in_dim(self) -> int:
        """Channels of a token before."""
        return self.base_dim * self.in_heads

    @property
    def embed_dim(self) -> int:
        """Channels of a token after."""
        return self.base_dim * self.num_heads


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """LayerNorm and a linear layer on the class token."""

    grid: int
    base_dim: int
    num_heads: int
    num_classes: int

    @property
    def embed_dim(self) -> int:
        """Channels of a token."""
        return self.base_dim * self.num_heads


Component = EmbedSpec | BlockSpec | PoolSpec | HeadSpec


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One resolution of the pyramid; the first has no pooling before it."""

    pool: PoolSpec | None
    blocks: tuple[BlockSpec, ...]


@dataclass(frozen=True, slots=True)
class PitSpec:
    """A whole net."""

    task: Task
    embed: EmbedSpec
    stages: tuple[StageSpec, ...]
    head: HeadSpec

    @property
    def components(self) -> tuple[Component, ...]:
        """Everything in the order it is computed."""
        chain: list[Component] = [self.embed]
        for stage in self.stages:
            chain += [stage.pool] if stage.pool is not None else []
            chain += stage.blocks
        return (*chain, self.head)


@dataclass(frozen=True, slots=True)
class Geometry:
    """What no gene changes."""

    patch_size: int = 16
    stride: int = 8

    def grids(self, image_px: int) -> tuple[int, ...]:
        """Patches along one side in every stage.

        Raises:
            ValueError: if the image holds no patch.
        """
        if image_px < self.patch_size:
            raise ValueError(f"{image_px} px is too small for patches of {self.patch_size}")
        grids = [(image_px - self.patch_size) // self.stride + 1]
        while len(grids) < NUM_STAGES:
            grids.append((grids[-1] - 1) // 2 + 1)
        return tuple(grids)


GEOMETRIES: dict[str, Geometry] = {
    "pit-nano": Geometry(patch_size=8, stride=4),
    "pit-ti": Geometry(),
    "pit-xs": Geometry(),
    "pit-s": Geometry(),
}


def _space(
    name: str,
    *,
    base_dim: tuple[int, ...],
    mlp_ratio: tuple[int, ...],
    num_heads: tuple[int, ...],
    depths: tuple[tuple[int, ...], ...],
    task: Task,
    purpose: str,
) -> SearchSpace:
    # Channels are shared between nets because every number of heads divides the next.
    assert all(more % fewer == 0 for fewer, more in pairwise(num_heads))
    return SearchSpace(
        name=name,
        family="pit",
        choices=(
            Choice("base_dim", base_dim),
            Choice("mlp_ratio", mlp_ratio),
            *(Choice(f"num_heads[{stage}]", num_heads) for stage in range(NUM_STAGES)),
            *(Choice(f"depths[{stage}]", options) for stage, options in enumerate(depths)),
        ),
        default_task=task,
        purpose=purpose,
        needs_images=PLAIN_NEEDS_IMAGES,
    )


_TFTAS: dict[str, Any] = {
    "mlp_ratio": (2, 4, 6, 8),
    "depths": ((1, 2, 3), (4, 6, 8), (2, 4, 6)),
    "task": Task(num_classes=1000, in_channels=3, image_px=224),
}
PIT_SPACES = (
    _space(
        "pit-nano",
        base_dim=(4, 6, 8),
        mlp_ratio=(1, 2),
        num_heads=(1, 2, 4),
        depths=((1, 2), (1, 2), (1, 2)),
        task=Task(num_classes=10, in_channels=3, image_px=32),
        purpose="small images: PiT in small, to try a recipe",
    ),
    _space(
        "pit-ti",
        base_dim=(16, 24, 32, 40),
        num_heads=(2, 4, 8),
        **_TFTAS,
        purpose="TF-TAS's published space around PiT-Ti, of ImageNet",
    ),
    _space(
        "pit-xs",
        base_dim=(40, 48, 56, 64),
        num_heads=(2, 4, 8),
        **_TFTAS,
        purpose="TF-TAS's published space around PiT-XS, of ImageNet",
    ),
    _space(
        "pit-s",
        base_dim=(36, 48, 60, 72),
        num_heads=(3, 6, 12),
        **_TFTAS,
        purpose="TF-TAS's published space around PiT-S, of ImageNet",
    ),
)


def embed_spec(geometry: Geometry, task: Task, *, base_dim: int, num_heads: int) -> EmbedSpec:
    """The entrance at the width of the first stage."""
    grid = geometry.grids(task.image_px)[0]
    return EmbedSpec(task.in_channels, task.image_px, geometry.patch_size, geometry.stride, grid, base_dim, num_heads)


def pool_spec(geometry: Geometry, task: Task, stage: int, *, base_dim: int, in_heads: int, num_heads: int) -> PoolSpec:
    """The entrance of ``stage``, 1 or 2."""
    grids = geometry.grids(task.image_px)
    return PoolSpec(grids[stage - 1], grids[stage], base_dim, in_heads, num_heads)


def block_spec(geometry: Geometry, task: Task, stage: int, *, base_dim: int, num_heads: int, mlp_ratio: float) -> BlockSpec:
    """A block of ``stage`` (0-based) with these genes."""
    hidden = int(base_dim * num_heads * mlp_ratio)
    return BlockSpec(geometry.grids(task.image_px)[stage], base_dim, num_heads, hidden)


def head_spec(geometry: Geometry, task: Task, *, base_dim: int, num_heads: int) -> HeadSpec:
    """The exit at the width of the last stage."""
    return HeadSpec(geometry.grids(task.image_px)[-1], base_dim, num_heads, task.num_classes)


def is_block(component: Hashable) -> bool:
    """Whether a component is one that nets repeat."""
    return isinstance(component, BlockSpec)


def hand_designed(space: SearchSpace) -> list[Readable]:
    """What an engineer would write down without a search: uniform nets."""
    return uniform_nets(space)


def lower(space: SearchSpace, genes_G: NDArray[np.integer], task: Task) -> PitSpec:
    """The net that one row of genes stands for, at the classes, channels and resolution of ``task``.

    Raises:
        ValueError: if the image holds no patch.
    """
    return assemble(GEOMETRIES[space.base_name], task, cast(PitArch, space.to_json(genes_G)))


def assemble(geometry: Geometry, task: Task, arch: PitArch) -> PitSpec:
    """The net of a readable architecture: base_dim, mlp_ratio, num_heads and depths per stage; it may lie outside every space."""
    base, heads = arch["base_dim"], arch["num_heads"]
    stages = []
    for stage, (num_heads, depth) in enumerate(zip(heads, arch["depths"], strict=True)):
        pool = None
        if stage:
            pool = pool_spec(geometry, task, stage, base_dim=base, in_heads=heads[stage - 1], num_heads=num_heads)
        block = block_spec(geometry, task, stage, base_dim=base, num_heads=num_heads, mlp_ratio=arch["mlp_ratio"])
        stages.append(StageSpec(pool, (block,) * depth))
    return PitSpec(
        task,
        embed_spec(geometry, task, base_dim=base, num_heads=heads[0]),
        tuple(stages),
        head_spec(geometry, task, base_dim=base, num_heads=heads[-1]),
    )
