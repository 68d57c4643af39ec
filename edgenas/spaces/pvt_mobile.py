"""Mobile spaces: pyramids of universal inverted bottlenecks, any of which attention may precede, in one elastic supernet.

A `MobileSpec` says exactly what a net computes, as a chain of components with one tensor in and one out, all of them images
(N, C, H, W): convolutions and attention follow each other without a change of layout. A batch norm after a convolution is part of
it once exported; the one before attention stays. Star blocks, and what surrounds them, are described by `pvt_mobile_star`.

A bottleneck widens its input to ``mlp_hidden`` channels and narrows it again. Its ``kernels`` are those of an optional depthwise
convolution before, of the widening convolution (1, or 3 for what is also called a fused bottleneck) and of an optional depthwise
convolution on what was widened. Where the second is 0 nothing is widened: there is one `PLAIN` convolution instead. Before either
may stand MobileNetV4's multi-query attention (``mqa``, one key and value for all heads, from strided depthwise convolutions) or
PVT's spatial-reduction attention (``sra``, keys and values of every head, from averages).

Options are listed so that the smallest and the largest net bound all others in parameters and in MACs alike.

Sources: MobileNetV4 (Qin et al., ECCV 2024, arXiv:2404.10518), section 3 and the tables of its appendix; PVT v2 (Wang et al., CVMJ
2022, arXiv:2106.13797) for the reduction by averages.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from edgenas.spaces.archs import KernelSides, MobileArch
from edgenas.spaces.base import RESOLUTION, SearchSpace, Task
from edgenas.spaces.pvt_mobile_designed import hand_designed
from edgenas.spaces.pvt_mobile_options import (
    GEOMETRIES,
    NO_ATTENTION,
    PLAIN,
    PVT_MOBILE_SPACES,
    STEM_STRIDE,
    Geometry,
    Kernels,
    is_plain,
    star_of,
)
from edgenas.spaces.pvt_mobile_star import StarBlockSpec, StarEntranceSpec, StarHeadSpec, StarStemSpec

AttentionKind = Literal["mqa", "sra"]
WIDTH_STEP = 8  # channels that runtimes compute together


@dataclass(frozen=True, slots=True)
class StemSpec:
    """A 3x3 convolution, batch norm and ReLU: an image to the first features, on half the grid or all of it."""

    in_channels: int
    embed_dim: int
    in_grid: int
    grid: int


@dataclass(frozen=True, slots=True)
class DownsampleSpec:
    """The bottleneck, or the plain convolution, at the entrance of a stage, which changes width and mostly the grid.

    Attributes:
        mlp_hidden: what a bottleneck widens to; 0 of a plain convolution, after which there is always a ReLU.
        kernels: before, of and after the widening; 0 is none.
        relu: whether a ReLU follows the narrowing convolution.
        layer_scale: whether what it gives is scaled channel by channel.
    """

    in_grid: int
    grid: int
    stride: int
    in_dim: int
    embed_dim: int
    mlp_hidden: int
    kernels: Kernels
    relu: bool = False
    layer_scale: bool = False


@dataclass(frozen=True, slots=True)
class ConvBlockSpec:
    """A bottleneck, or a plain convolution, beside a shortcut; attributes as of `DownsampleSpec`."""

    grid: int
    embed_dim: int
    mlp_hidden: int
    kernels: Kernels
    layer_scale: bool = False


@dataclass(frozen=True, slots=True)
class AttentionBlockSpec:
    """Batch norm and attention beside a shortcut; keys and values come from every ``kv_stride``-th row and column."""

    grid: int
    embed_dim: int
    kind: AttentionKind
    num_heads: int
    head_dim: int
    kv_stride: int
    layer_scale: bool = False

    @property
    def qkv_dim(self) -> int:
        """Channels of the queries."""
        return self.num_heads * self.head_dim

    @property
    def kv_dim(self) -> int:
        """Channels of the keys, and of the values."""
        return self.head_dim if self.kind == "mqa" else self.qkv_dim

    @property
    def key_grid(self) -> int:
        """Keys along one side."""
        return -(-self.grid // self.kv_stride)


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """A 1x1 convolution to ``neck_dim`` channels, their means, a hidden layer, and the logits; dimensions of 0 are left out."""

    grid: int
    embed_dim: int
    neck_dim: int
    hidden_dim: int
    num_classes: int

    @property
    def pooled_dim(self) -> int:
        """Channels whose means are taken."""
        return self.neck_dim or self.embed_dim

    @property
    def last_dim(self) -> int:
        """What the classifier reads."""
        return self.hidden_dim or self.pooled_dim


Stem = StemSpec | StarStemSpec
Entrance = DownsampleSpec | StarEntranceSpec
Block = ConvBlockSpec | AttentionBlockSpec | StarBlockSpec
Exit = HeadSpec | StarHeadSpec
Component = Stem | Entrance | Block | Exit


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One resolution of the pyramid; ``places`` says of every block in which of the stage's places it stands."""

    downsample: Entrance
    blocks: tuple[Block, ...]
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MobileSpec:
    """A whole net."""

    task: Task
    stem: Stem
    stages: tuple[StageSpec, ...]
    head: Exit

    @property
    def components(self) -> tuple[Component, ...]:
        """Everything in the order it is computed."""
        chain: list[Component] = [self.stem]
        for stage in self.stages:
            chain += [stage.downsample, *stage.blocks]
        return (*chain, self.head)


Grids = tuple[int, ...]  # rows, and columns, of the image, after the stem and after the entrance of every stage


def grids_of(geometry: Geometry, resolution_px: int, stem_stride: int | None = None) -> Grids:
    """Every grid of a net, that of its images first; a ``stem_stride`` of None is the geometry's."""
    return (resolution_px, *geometry.grids(resolution_px, stem_stride))


def kernels_of(readable: KernelSides) -> Kernels:
    """Kernels as a spec has them."""
    sides = readable["start"], readable["expand"], readable["mid"]
    return (*sides, readable["star"]) if "star" in readable else sides


def stem_spec(geometry: Geometry, grids: Grids, *, in_channels: int, embed_dim: int) -> Stem:
    """The entrance of a net."""
    kind = StarStemSpec if geometry.star else StemSpec
    return kind(in_channels, embed_dim, grids[0], grids[1])


def downsample_spec(geometry: Geometry, stage: int, grids: Grids, *, in_dim: int, embed_dim: int, expansion: int) -> Entrance:
    """The entrance of ``stage`` (0-based)."""
    entrance, in_grid, grid = geometry.stages[stage], grids[stage + 1], grids[stage + 2]
    if geometry.star:
        return StarEntranceSpec(in_grid, grid, entrance.stride, in_dim, embed_dim)
    return DownsampleSpec(
        in_grid=in_grid,
        grid=grid,
        stride=entrance.stride,
        in_dim=in_dim,
        embed_dim=embed_dim,
        mlp_hidden=in_dim * expansion,
        kernels=entrance.kernels,
        relu=entrance.relu,
        layer_scale=geometry.layer_scale and entrance.kernels[1] == 1,
    )


def block_specs(
    geometry: Geometry, stage: int, grids: Grids, *, embed_dim: int, kernels: Kernels, expansion: int, attention: Any = NO_ATTENTION
) -> tuple[Block, ...]:
    """What stands in one place of ``stage``: a convolution, a bottleneck or a star block, after attention where ``attention``
    (kind, heads) is any."""
    kind, num_heads = attention
    grid, mlp_hidden = grids[stage + 2], 0 if is_plain(kernels) else embed_dim * expansion
    block: Block = (
        StarBlockSpec(grid, embed_dim, mlp_hidden, star_of(kernels))
        if star_of(kernels)
        else ConvBlockSpec(grid, embed_dim, mlp_hidden, kernels[:3], geometry.layer_scale and mlp_hidden > 0)
    )
    if (kind, num_heads) == NO_ATTENTION:
        return (block,)
    stride = geometry.stages[stage].kv_stride
    return AttentionBlockSpec(grid, embed_dim, kind, num_heads, geometry.head_dim, stride, geometry.layer_scale), block


def head_spec(geometry: Geometry, grids: Grids, *, embed_dim: int, dims: tuple[int, int], num_classes: int) -> Exit:
    """The exit of a net; ``dims`` of neck and hidden layer, neither of which a net of star blocks has."""
    if geometry.star:
        return StarHeadSpec(grids[-1], embed_dim, num_classes)
    return HeadSpec(grids[-1], embed_dim, *dims, num_classes)


def is_block(component: Hashable) -> bool:
    """Whether a component is one that nets repeat."""
    return isinstance(component, Block)


def lower(space: SearchSpace, genes_G: NDArray[np.integer], task: Task) -> MobileSpec:
    """The net that one row of genes stands for, at the classes and channels of ``task`` and its own resolution."""
    return assemble(GEOMETRIES[space.base_name], task, cast(MobileArch, space.to_json(genes_G)))


def assemble(geometry: Geometry, task: Task, arch: MobileArch) -> MobileSpec:
    """The net of a readable architecture, which may lie outside every space.

    Raises:
        ValueError: if the resolution is too small for the strides.
    """
    resolution_px = arch[RESOLUTION]
    grids = grids_of(geometry, resolution_px, arch.get(STEM_STRIDE))
    if min(grids) < 1:
        raise ValueError(f"{resolution_px} px is too small for a net of {len(grids) - 1} grids")
    in_dim, stages = arch["stem_dim"], list[StageSpec]()
    for index, genes in enumerate(arch["stages"]):
        dim, blocks, places = genes["embed_dim"], list[Block](), list[int]()
        entrance = downsample_spec(geometry, index, grids, in_dim=in_dim, embed_dim=dim, expansion=genes["expansion"])
        for place, block in enumerate(genes.get("blocks", ())):
            attention = block.get("attention")
            added = block_specs(
                geometry,
                index,
                grids,
                embed_dim=dim,
                kernels=kernels_of(block["kernels"]),
                expansion=block.get("expansion", 0),
                attention=NO_ATTENTION if attention is None else (attention["kind"], attention["num_heads"]),
            )
            blocks += added
            places += [place] * len(added)
        stages.append(StageSpec(entrance, tuple(blocks), tuple(places)))
        in_dim = dim
    dims = (arch["head"]["neck_dim"], arch["head"]["hidden_dim"])
    return MobileSpec(
        replace(task, image_px=resolution_px),
        stem_spec(geometry, grids, in_channels=task.in_channels, embed_dim=arch["stem_dim"]),
        tuple(stages),
        head_spec(geometry, grids, embed_dim=in_dim, dims=dims, num_classes=task.num_classes),
    )


__all__ = [
    "GEOMETRIES",
    "NO_ATTENTION",
    "PLAIN",
    "PVT_MOBILE_SPACES",
    "STEM_STRIDE",
    "AttentionBlockSpec",
    "AttentionKind",
    "Block",
    "Component",
    "ConvBlockSpec",
    "DownsampleSpec",
    "Geometry",
    "Grids",
    "HeadSpec",
    "Kernels",
    "MobileSpec",
    "StageSpec",
    "StarBlockSpec",
    "StarEntranceSpec",
    "StarHeadSpec",
    "StarStemSpec",
    "StemSpec",
    "assemble",
    "block_specs",
    "downsample_spec",
    "grids_of",
    "hand_designed",
    "head_spec",
    "is_block",
    "is_plain",
    "lower",
    "star_of",
    "stem_spec",
]
