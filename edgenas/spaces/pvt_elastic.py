"""Elastic PVT spaces: PVT v2 whose resolution, depths, widths, heads, MLPs and reductions are all searched, in one supernet.

The nets are those of `edgenas.spaces.pvt`: a `PvtSpec` says exactly what is computed. Heads have a fixed width, so that more of
them make a wider attention; PVT v2 has 64 per head (B1 to B5), its B0 has 32.

Options are chosen and listed so that the smallest and the largest net bound all others in parameters and in MACs alike. That rules
out a stage that offers both none, which has the fewest parameters, and a convolution: with none, every token is a key. So none is
offered where a stage has at most 8 x 8 tokens, beside pooling; and elsewhere pooling to 4 x 4 cells comes first, which is cheaper
than PVT v2's convolution also at the smallest resolution, where that leaves fewer keys than pooling to 7 x 7.

Source: PVT v2 (Wang et al., CVMJ 2022, arXiv:2106.13797), table 1 for the widths and the reductions.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgenas.spaces.archs import ElasticArch, Readable
from edgenas.spaces.base import RESOLUTION, Choice, Condition, Option, SearchSpace, Task
from edgenas.spaces.pvt import (
    BlockSpec,
    HeadSpec,
    PatchEmbedSpec,
    PvtSpec,
    ReductionKind,
    StageNormSpec,
    StageSpec,
    token_grids,
)
from edgenas.spaces.uniform import STEPS, at_step

NUM_STAGES = 4
NO_REDUCTION = ("none", 1)


@dataclass(frozen=True, slots=True)
class Geometry:
    """What no gene changes: the width of a head, and per stage the patch embedding's kernel and stride."""

    head_dim: int
    kernel_sizes: tuple[int, ...] = (7, 3, 3, 3)
    strides: tuple[int, ...] = (4, 2, 2, 2)

    def grids(self, resolution_px: int) -> tuple[int, ...]:
        """Tokens along one side in every stage."""
        return token_grids(resolution_px, self.kernel_sizes, self.strides)


GEOMETRIES: dict[str, Geometry] = {
    "pvt-elastic": Geometry(head_dim=64),
    "pvt-elastic-32": Geometry(head_dim=32),
    "pvt-elastic-nano": Geometry(head_dim=8, strides=(2, 2, 2, 1)),
}


@dataclass(frozen=True, slots=True)
class StageOptions:
    """What may be chosen in one stage; ``num_heads``, ``depths`` and ``mlp_ratios`` ascend, ``reductions`` as the module says."""

    depths: tuple[int, ...]
    embed_dims: tuple[int, ...]
    reductions: tuple[tuple[str, int], ...]
    num_heads: tuple[int, ...]
    mlp_ratios: tuple[int, ...]


def _stage_choices(stage: int, options: StageOptions, head_dim: int) -> list[Choice]:
    """Depth, width and reduction of a stage, then width and MLP of every block; a block exists where the depth reaches it."""
    at, depths = f"stages[{stage}]", options.depths
    choices = [
        Choice(f"{at}.depth", depths, length_of=(f"{at}.blocks",)),
        Choice(f"{at}.embed_dim", options.embed_dims),
        Choice(f"{at}.reduction", options.reductions, keys=("kind", "size")),
    ]
    per_block: dict[str, tuple[Option, ...]] = {
        "qkv_dim": tuple(heads * head_dim for heads in options.num_heads),
        "mlp_ratio": options.mlp_ratios,
    }
    for block in range(depths[-1]):
        deep_enough = tuple(depth for depth in depths if depth > block)
        when = None if block < depths[0] else Condition(f"{at}.depth", deep_enough)
        choices += [Choice(f"{at}.blocks[{block}].{gene}", values, when) for gene, values in per_block.items()]
    return choices


def _space(
    name: str, resolutions: tuple[int, ...], stages: Sequence[StageOptions], num_classes: int, *, purpose: str
) -> SearchSpace:
    choices = [Choice(RESOLUTION, resolutions)]
    for stage, options in enumerate(stages):
        choices += _stage_choices(stage, options, GEOMETRIES[name].head_dim)
    return SearchSpace(name, "pvt_elastic", tuple(choices), Task(num_classes, 3, resolutions[-1]), purpose=purpose)


def _like_pvt_v2(name: str, embed_dims: Sequence[tuple[int, ...]], *, purpose: str) -> SearchSpace:
    """PVT v2 from the smallest to its B2, at widths ``embed_dims`` per stage."""
    pools = (("pool", 4), ("pool", 7))
    return _space(
        name,
        (160, 192, 224, 256),
        (
            StageOptions((1, 2, 3), embed_dims[0], (*pools, ("conv", 8)), (1, 2), (2, 4, 6, 8)),
            StageOptions((1, 2, 3, 4), embed_dims[1], (*pools, ("conv", 4)), (1, 2), (2, 4, 6, 8)),
            StageOptions((1, 2, 3, 4, 5, 6), embed_dims[2], (*pools, ("conv", 2)), (2, 3, 4, 5), (2, 3, 4)),
            StageOptions((1, 2, 3), embed_dims[3], (NO_REDUCTION, ("pool", 7)), (4, 6, 8), (2, 3, 4)),
        ),
        num_classes=1000,
        purpose=purpose,
    )


PVT_ELASTIC_SPACES = (
    _space(
        "pvt-elastic-nano",
        (24, 32),
        (
            StageOptions((1, 2), (8, 16), (("pool", 2), ("pool", 3), ("conv", 4)), (1, 2), (2, 4)),
            StageOptions((1, 2), (16, 24), (("pool", 2), ("conv", 2)), (1, 2, 3), (2, 4)),
            StageOptions((1, 2, 3), (24, 32, 40), (NO_REDUCTION, ("pool", 4)), (2, 4), (1, 2, 3)),
            StageOptions((1, 2), (32, 48, 64), (NO_REDUCTION, ("pool", 4)), (2, 4, 6), (2, 3)),
        ),
        num_classes=10,
        purpose="small images: resolution, depth, width, reduction searched",
    ),
    _like_pvt_v2(
        "pvt-elastic-32",
        ((16, 24, 32), (32, 48, 64), (64, 96, 128, 160), (128, 192, 256)),
        purpose="photos on slow devices: PVT v2 around B0 and below",
    ),
    _like_pvt_v2(
        "pvt-elastic",
        ((32, 48, 64), (64, 96, 128), (128, 192, 256, 320), (256, 384, 512)),
        purpose="photos: PVT v2 up to B2, in one supernet",
    ),
)


def block_spec(
    geometry: Geometry,
    grid: int,
    *,
    embed_dim: int,
    reduction: tuple[ReductionKind, int],
    qkv_dim: int,
    mlp_ratio: float,
) -> BlockSpec:
    """A block with these genes on ``grid``² tokens. The ReLU of the linear variant comes with its pooling.

    Raises:
        ValueError: if a convolution strides over more than the grid, or the width is not one of whole heads.
    """
    kind, size = reduction
    if kind == "conv" and size > grid:
        raise ValueError(f"a convolution of stride {size} is larger than the grid of {grid} x {grid} tokens")
    if qkv_dim % geometry.head_dim:
        raise ValueError(f"qkv_dim {qkv_dim} is no multiple of the head's {geometry.head_dim}")
    return BlockSpec(
        grid=grid,
        embed_dim=embed_dim,
        num_heads=qkv_dim // geometry.head_dim,
        qkv_dim=qkv_dim,
        reduction=kind,
        reduction_size=min(size, grid) if kind == "pool" else size,
        mlp_hidden=int(embed_dim * mlp_ratio),
        relu=kind == "pool",
    )


def patch_embed_spec(geometry: Geometry, stage: int, resolution_px: int, *, in_channels: int, embed_dim: int) -> PatchEmbedSpec:
    """The patch embedding at the entrance of ``stage`` (0-based)."""
    sides = (resolution_px, *geometry.grids(resolution_px))
    return PatchEmbedSpec(
        in_channels=in_channels,
        embed_dim=embed_dim,
        kernel_size=geometry.kernel_sizes[stage],
        stride=geometry.strides[stage],
        in_grid=sides[stage],
        grid=sides[stage + 1],
        reads_image=stage == 0,
    )


def is_block(component: Hashable) -> bool:
    """Whether a component is one that nets repeat."""
    return isinstance(component, BlockSpec)


def lower(space: SearchSpace, genes_G: NDArray[np.integer], task: Task) -> PvtSpec:
    """The net that one row of genes stands for, at the classes and channels of ``task`` and its own resolution."""
    return assemble(GEOMETRIES[space.base_name], task, cast(ElasticArch, space.to_json(genes_G)))


def assemble(geometry: Geometry, task: Task, arch: ElasticArch) -> PvtSpec:
    """The net of a readable architecture, which may lie outside every space.

    Raises:
        ValueError: as `block_spec`, or if the resolution is too small for the strides.
    """
    resolution_px = arch[RESOLUTION]
    grids = geometry.grids(resolution_px)
    if min(grids) < 1:
        raise ValueError(f"{resolution_px} px is too small for strides {geometry.strides}")
    stages: list[StageSpec] = []
    in_channels = task.in_channels
    for stage, (grid, genes) in enumerate(zip(grids, arch["stages"], strict=True)):
        embed_dim, reduction = genes["embed_dim"], (genes["reduction"]["kind"], genes["reduction"]["size"])
        patch_embed = patch_embed_spec(geometry, stage, resolution_px, in_channels=in_channels, embed_dim=embed_dim)
        blocks = tuple(block_spec(geometry, grid, embed_dim=embed_dim, reduction=reduction, **block) for block in genes["blocks"])
        stages.append(StageSpec(patch_embed, blocks, StageNormSpec(grid, embed_dim)))
        in_channels = embed_dim
    head = HeadSpec(grids[-1], in_channels, (), (), task.num_classes)
    return PvtSpec(replace(task, image_px=resolution_px), tuple(stages), head)


def hand_designed(space: SearchSpace) -> list[Readable]:
    """What an engineer would write down without a search: PVT v2's pattern, scaled in resolution, depth and width.

    Every stage gets the same step of its widths and of its depths, and the reduction that PVT v2 has there: a strided
    convolution where the stage offers one, else none.
    """
    nets = [
        _uniform(space, resolution_px, depth, width)
        for resolution_px, depth, width in product(space.choices[space.index[RESOLUTION]].options, STEPS, STEPS)
    ]
    return [net for position, net in enumerate(nets) if net not in nets[:position]]


def _uniform(space: SearchSpace, resolution_px: Option, depth: float, width: float) -> Readable:
    row = []
    for choice in space.choices:
        if choice.name == RESOLUTION:
            row.append(choice.options.index(resolution_px))
        elif choice.keys:
            kinds = [option[0] for option in choice.options if isinstance(option, tuple)]
            row.append(kinds.index("conv" if "conv" in kinds else "none"))
        else:
            step = depth if choice.length_of else width
            row.append(at_step(step, len(choice.options)))
    return space.to_json(space.canonical(np.array([row], dtype=np.int16))[0])
