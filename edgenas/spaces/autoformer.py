"""AutoFormer spaces: plain Vision Transformers whose depth, width, heads and MLPs are searched.

An `AutoFormerSpec` says exactly what a net computes, as a chain of components with one tensor in and one out. Costs count
components, supernets and plain nets build them.

Source: AutoFormer (Chen et al., ICCV 2021, arXiv:2107.00651), table 1 and the published configurations (microsoft/Cream).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from edgenas.spaces.archs import AutoFormerArch, Readable
from edgenas.spaces.base import PLAIN_NEEDS_IMAGES, Choice, Condition, SearchSpace, Task
from edgenas.spaces.uniform import uniform_nets

GlobalPool = Literal["avg", "token"]


@dataclass(frozen=True, slots=True)
class EmbedSpec:
    """An image to tokens: patches by a convolution, a class token before them, learnt absolute positions added."""

    in_channels: int
    image_px: int
    patch_size: int
    grid: int
    embed_dim: int


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """Attention with 2-D relative position on keys and values, then an MLP, on ``grid``² tokens and the class token.

    Attributes:
        max_distance: rows or columns beyond which positions are no longer told apart.
    """

    grid: int
    embed_dim: int
    num_heads: int
    head_dim: int
    mlp_hidden: int
    max_distance: int

    @property
    def qkv_dim(self) -> int:
        """Width of q, k and v."""
        return self.num_heads * self.head_dim


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """LayerNorm, the mean over patches (``avg``) or the class token (``token``), a linear layer."""

    grid: int
    embed_dim: int
    global_pool: GlobalPool
    num_classes: int


Component = EmbedSpec | BlockSpec | HeadSpec


@dataclass(frozen=True, slots=True)
class AutoFormerSpec:
    """A whole net."""

    task: Task
    embed: EmbedSpec
    blocks: tuple[BlockSpec, ...]
    head: HeadSpec

    @property
    def components(self) -> tuple[Component, ...]:
        """Everything in the order it is computed."""
        return (self.embed, *self.blocks, self.head)


@dataclass(frozen=True, slots=True)
class Geometry:
    """What no gene changes."""

    patch_size: int = 16
    head_dim: int = 64
    max_distance: int = 14
    global_pool: GlobalPool = "avg"

    def grid(self, image_px: int) -> int:
        """Tokens along one side.

        Raises:
            ValueError: if the image holds no patch.
        """
        if image_px < self.patch_size:
            raise ValueError(f"{image_px} px is too small for patches of {self.patch_size}")
        return image_px // self.patch_size


GEOMETRIES: dict[str, Geometry] = {
    "autoformer-nano": Geometry(patch_size=4, head_dim=8, max_distance=7),
    "autoformer-tiny": Geometry(),
    "autoformer-small": Geometry(),
    "autoformer-base": Geometry(),
}


def _space(
    name: str,
    *,
    embed_dim: tuple[int, ...],
    num_heads: tuple[int, ...],
    mlp_ratio: tuple[float, ...],
    depth: tuple[int, ...],
    task: Task,
    purpose: str,
) -> SearchSpace:
    def per_block(gene: str, options: tuple[float, ...]) -> list[Choice]:
        """One choice a block; those of blocks that a net may lack exist where the depth reaches them."""
        return [
            Choice(
                f"{gene}[{block}]",
                options,
                Condition("depth", tuple(d for d in depth if d > block)) if block >= depth[0] else None,
            )
            for block in range(depth[-1])
        ]

    return SearchSpace(
        name=name,
        family="autoformer",
        choices=(
            Choice("depth", depth, length_of=("mlp_ratio", "num_heads")),
            Choice("embed_dim", embed_dim),
            *per_block("mlp_ratio", mlp_ratio),
            *per_block("num_heads", num_heads),
        ),
        default_task=task,
        purpose=purpose,
        needs_images=PLAIN_NEEDS_IMAGES,
    )


IMAGENET = Task(num_classes=1000, in_channels=3, image_px=224)

AUTOFORMER_SPACES = (
    _space(
        "autoformer-nano",
        embed_dim=(16, 20, 24),
        num_heads=(1, 2, 3),
        mlp_ratio=(1.5, 2.0),
        depth=(1, 2, 3),
        task=Task(num_classes=10, in_channels=3, image_px=32),
        purpose="small images: AutoFormer in small, to try a recipe",
    ),
    _space(
        "autoformer-tiny",
        embed_dim=(192, 216, 240),
        num_heads=(3, 4),
        mlp_ratio=(3.5, 4.0),
        depth=(12, 13, 14),
        task=IMAGENET,
        purpose="AutoFormer's published space tiny, of ImageNet",
    ),
    _space(
        "autoformer-small",
        embed_dim=(320, 384, 448),
        num_heads=(5, 6, 7),
        mlp_ratio=(3.0, 3.5, 4.0),
        depth=(12, 13, 14),
        task=IMAGENET,
        purpose="AutoFormer's published space small, of ImageNet",
    ),
    _space(
        "autoformer-base",
        embed_dim=(528, 576, 624),
        num_heads=(9, 10),
        mlp_ratio=(3.0, 3.5, 4.0),
        depth=(14, 15, 16),
        task=IMAGENET,
        purpose="AutoFormer's published space base, of ImageNet",
    ),
)


def block_spec(geometry: Geometry, image_px: int, *, embed_dim: int, num_heads: int, mlp_ratio: float) -> BlockSpec:
    """A block with these genes."""
    return BlockSpec(
        grid=geometry.grid(image_px),
        embed_dim=embed_dim,
        num_heads=num_heads,
        head_dim=geometry.head_dim,
        mlp_hidden=int(embed_dim * mlp_ratio),
        max_distance=geometry.max_distance,
    )


def frame(geometry: Geometry, task: Task, embed_dim: int) -> tuple[EmbedSpec, HeadSpec]:
    """What comes before and after the blocks."""
    grid = geometry.grid(task.image_px)
    return (
        EmbedSpec(task.in_channels, task.image_px, geometry.patch_size, grid, embed_dim),
        HeadSpec(grid, embed_dim, geometry.global_pool, task.num_classes),
    )


def is_block(component: Hashable) -> bool:
    """Whether a component is one that nets repeat."""
    return isinstance(component, BlockSpec)


def hand_designed(space: SearchSpace) -> list[Readable]:
    """What an engineer would write down without a search: uniform nets."""
    return uniform_nets(space)


def lower(space: SearchSpace, genes_G: NDArray[np.integer], task: Task) -> AutoFormerSpec:
    """The net that one row of genes stands for, at the classes, channels and resolution of ``task``.

    Raises:
        ValueError: if the image holds no patch.
    """
    return assemble(GEOMETRIES[space.base_name], task, cast(AutoFormerArch, space.to_json(genes_G)))


def assemble(geometry: Geometry, task: Task, arch: AutoFormerArch) -> AutoFormerSpec:
    """The net of a readable architecture: embed_dim, and mlp_ratio and num_heads per block; it may lie outside every space."""
    embed, head = frame(geometry, task, arch["embed_dim"])
    blocks = tuple(
        block_spec(geometry, task.image_px, embed_dim=arch["embed_dim"], num_heads=heads, mlp_ratio=ratio)
        for heads, ratio in zip(arch["num_heads"], arch["mlp_ratio"], strict=True)
    )
    return AutoFormerSpec(task, embed, blocks, head)
