"""Pyramid Vision Transformer spaces: what a PVT is made of, and which genes choose it.

A `PvtSpec` says exactly what a net computes, as a chain of components with one tensor in and one out. Costs count components,
supernets and plain nets build them, latency tables time them.

Sources: PVT v2 (Wang et al., CVMJ 2022, arXiv:2106.13797); COViT++ (hungnv142/COViTPlusPlus), whose space `pvt-covidx` is.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from edgenas.spaces.archs import PvtArch, Readable
from edgenas.spaces.base import Choice, Option, SearchSpace, Task
from edgenas.spaces.uniform import STEPS, at_step

ReductionKind = Literal["none", "conv", "pool"]


@dataclass(frozen=True, slots=True)
class PatchEmbedSpec:
    """Overlapping convolution and LayerNorm: ``in_grid``² positions of ``in_channels`` to ``grid``² tokens.

    The first one reads an image (N, C, H, W); the others read tokens (N, L, C).
    """

    in_channels: int
    embed_dim: int
    kernel_size: int
    stride: int
    in_grid: int
    grid: int
    reads_image: bool


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """Attention with spatially reduced keys, then an MLP with a depthwise convolution, on ``grid``² tokens.

    Attributes:
        qkv_dim: width of q, k and v, a multiple of ``num_heads``.
        reduction: how keys and values are made fewer: not at all, by a strided convolution of ``reduction_size``, or by averaging
            to ``reduction_size``² cells ("linear" SRA).
        relu: ReLU before the depthwise convolution, as in the linear variant.
    """

    grid: int
    embed_dim: int
    num_heads: int
    qkv_dim: int
    reduction: ReductionKind
    reduction_size: int
    mlp_hidden: int
    relu: bool


@dataclass(frozen=True, slots=True)
class StageNormSpec:
    """LayerNorm after the blocks of a stage."""

    grid: int
    embed_dim: int


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """Mean over tokens, then a linear layer, or one with hidden layers (Linear, GELU, BatchNorm, dropout each)."""

    grid: int
    embed_dim: int
    hidden_dims: tuple[int, ...]
    dropouts: tuple[float, ...]
    num_classes: int


Component = PatchEmbedSpec | BlockSpec | StageNormSpec | HeadSpec


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One resolution of the pyramid."""

    patch_embed: PatchEmbedSpec
    blocks: tuple[BlockSpec, ...]
    norm: StageNormSpec


@dataclass(frozen=True, slots=True)
class PvtSpec:
    """A whole net."""

    task: Task
    stages: tuple[StageSpec, ...]
    head: HeadSpec

    @property
    def components(self) -> tuple[Component, ...]:
        """Everything in the order it is computed."""
        chain: list[Component] = []
        for stage in self.stages:
            chain += [stage.patch_embed, *stage.blocks, stage.norm]
        return (*chain, self.head)


@dataclass(frozen=True, slots=True)
class Geometry:
    """What no gene changes, per stage.

    Attributes:
        clamp_pool: limit the pool size to the stage's grid; COViT++ averages "up" to more cells than there are tokens instead.
    """

    embed_dims: tuple[int, ...]
    num_heads: tuple[int, ...]
    kernel_sizes: tuple[int, ...]
    strides: tuple[int, ...]
    head_hidden_dims: tuple[int, ...]
    head_dropouts: tuple[float, ...]
    clamp_pool: bool

    def grids(self, image_px: int) -> tuple[int, ...]:
        """Tokens along one side in every stage."""
        return token_grids(image_px, self.kernel_sizes, self.strides)


def token_grids(image_px: int, kernel_sizes: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    """Tokens along one side after every patch embedding; padding is half the kernel."""
    grids = []
    for kernel, stride in zip(kernel_sizes, strides, strict=True):
        image_px = (image_px + 2 * (kernel // 2) - kernel) // stride + 1
        grids.append(image_px)
    return tuple(grids)


GEOMETRIES: dict[str, Geometry] = {
    "pvt-nano": Geometry(
        embed_dims=(16, 24, 40, 64),
        num_heads=(1, 1, 2, 4),
        kernel_sizes=(7, 3, 3, 3),
        strides=(4, 2, 2, 1),
        head_hidden_dims=(),
        head_dropouts=(),
        clamp_pool=True,
    ),
    "pvt-covidx": Geometry(
        embed_dims=(32, 64, 160, 256),
        num_heads=(1, 2, 5, 8),
        kernel_sizes=(7, 5, 3, 3),
        strides=(4, 3, 2, 2),
        head_hidden_dims=(64, 16),
        head_dropouts=(0.5, 0.3),
        clamp_pool=False,
    ),
}

PVT_COVIDX = SearchSpace(
    name="pvt-covidx",
    family="pvt",
    choices=(
        Choice("pool_size", (7, 15, 31)),
        Choice("depths", ((2, 2, 2, 2), (2, 2, 4, 2), (2, 3, 6, 2), (2, 4, 8, 2), (3, 4, 12, 2))),
        Choice("qkv_dims", ((8, 16, 40, 64), (16, 32, 80, 128), (24, 48, 120, 192), (32, 64, 160, 256))),
        Choice("mlp_ratios", ((8, 8, 4, 4), (8, 8, 8, 4))),
    ),
    default_task=Task(num_classes=3, in_channels=3, image_px=256),
    purpose="COViT++'s published space of chest X-rays: few, larger nets",
)

PVT_NANO = SearchSpace(
    name="pvt-nano",
    family="pvt",
    choices=(
        Choice("pool_size", (2, 4)),
        *(Choice(f"depths[{stage}]", (1, 2, 3) if stage == 2 else (1, 2)) for stage in range(4)),
        *(
            Choice(f"qkv_dims[{stage}]", tuple(heads * width for width in (4, 8, 16)))
            for stage, heads in enumerate(GEOMETRIES["pvt-nano"].num_heads)
        ),
        *(Choice(f"mlp_ratios[{stage}]", (2, 4)) for stage in range(4)),
    ),
    default_task=Task(num_classes=10, in_channels=3, image_px=32),
    purpose="small images: PVT v2 in small, searched within minutes",
)


def block_spec(geometry: Geometry, image_px: int, stage: int, *, pool_size: int, qkv_dim: int, mlp_ratio: float) -> BlockSpec:
    """A block of ``stage`` (0-based) with these genes."""
    grid = geometry.grids(image_px)[stage]
    return BlockSpec(
        grid=grid,
        embed_dim=geometry.embed_dims[stage],
        num_heads=geometry.num_heads[stage],
        qkv_dim=qkv_dim,
        reduction="pool",
        reduction_size=min(pool_size, grid) if geometry.clamp_pool else pool_size,
        mlp_hidden=int(geometry.embed_dims[stage] * mlp_ratio),
        relu=True,
    )


def is_block(component: Hashable) -> bool:
    """Whether a component is one that nets repeat."""
    return isinstance(component, BlockSpec)


def lower(space: SearchSpace, genes_G: NDArray[np.integer], task: Task) -> PvtSpec:
    """The net that one row of genes stands for, at the classes, channels and resolution of ``task``.

    Raises:
        ValueError: if the image is too small for the strides.
    """
    return assemble(GEOMETRIES[space.base_name], task, cast(PvtArch, space.to_json(genes_G)))


def assemble(geometry: Geometry, task: Task, arch: PvtArch) -> PvtSpec:
    """The net of a readable architecture: pool_size, and depths, qkv_dims and mlp_ratios per stage."""
    grids = geometry.grids(task.image_px)
    if min(grids) < 1:
        raise ValueError(f"{task.image_px} px is too small for strides {geometry.strides}")
    stages = []
    for stage, grid in enumerate(grids):
        block = block_spec(
            geometry,
            task.image_px,
            stage,
            pool_size=arch["pool_size"],
            qkv_dim=arch["qkv_dims"][stage],
            mlp_ratio=arch["mlp_ratios"][stage],
        )
        patch_embed = PatchEmbedSpec(
            in_channels=geometry.embed_dims[stage - 1] if stage else task.in_channels,
            embed_dim=geometry.embed_dims[stage],
            kernel_size=geometry.kernel_sizes[stage],
            stride=geometry.strides[stage],
            in_grid=grids[stage - 1] if stage else task.image_px,
            grid=grid,
            reads_image=stage == 0,
        )
        norm = StageNormSpec(grid, geometry.embed_dims[stage])
        stages.append(StageSpec(patch_embed, (block,) * arch["depths"][stage], norm))
    head = HeadSpec(grids[-1], geometry.embed_dims[-1], geometry.head_hidden_dims, geometry.head_dropouts, task.num_classes)
    return PvtSpec(task, tuple(stages), head)


def hand_designed(space: SearchSpace) -> list[Readable]:
    """What an engineer would write down without a search: uniform nets, small to large.

    Every stage gets the same step of every list of options, as the PVT family is scaled in its papers.
    """
    options = {choice.name: choice.options for choice in space.choices}
    if "depths" in options:
        middle = [{name: values[-1] for name, values in options.items()} | {"depths": d} for d in options["depths"]]
        return [_listed(values) for values in middle]
    nets = []
    for depth, width in product(STEPS, STEPS):
        genes: dict[str, Option] = {}
        for name, values in options.items():
            genes[name] = values[at_step(depth if name.startswith("depths") else width, len(values))]
        nets.append(space.to_json(space.canonical(_row(space, genes))[0]))
    return [net for position, net in enumerate(nets) if net not in nets[:position]]


def _row(space: SearchSpace, values: Mapping[str, Option]) -> NDArray[np.int16]:
    return np.array([[choice.options.index(values[choice.name]) for choice in space.choices]], dtype=np.int16)


def _listed(values: Mapping[str, Option]) -> Readable:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def stage_option(space: SearchSpace, name: str, stage: int) -> tuple[int, Sequence[Any]]:
    """Column of the gene that sets entry ``stage`` of the list ``name``, and that entry for each of its options."""
    if name in space.index:
        column = space.index[name]
        return column, [option[stage] for option in space.choices[column].options if isinstance(option, tuple)]
    column = space.index[f"{name}[{stage}]"]
    return column, list(space.choices[column].options)
