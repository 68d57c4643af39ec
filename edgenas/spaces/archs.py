"""Readable architectures by family: the JSON that `SearchSpace.to_json` gives and `SearchSpace.from_json` takes.

The types here are of the spaces that come with edgenas; one with other choices has other keys beside them.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

Readable = dict[str, Any]  # an architecture of whichever family, its keys those that the space's choices spell out


def ratio_of(hidden: int, dim: int) -> Any:
    """How many times as wide the inside of a block is: whole where it is, else a fraction, which few spaces offer."""
    return hidden // dim if hidden % dim == 0 else hidden / dim


class PvtArch(TypedDict):
    """An architecture of the family ``pvt``; lists have an entry a stage."""

    pool_size: int
    depths: list[int]
    qkv_dims: list[int]
    mlp_ratios: list[float]


class ElasticReduction(TypedDict):
    """How a stage's keys and values are reduced: ``conv``, ``pool`` or ``none``, and by or to which side."""

    kind: Any
    size: int


class ElasticBlock(TypedDict):
    """A block of `ElasticStage`."""

    qkv_dim: int
    mlp_ratio: float


class ElasticStage(TypedDict):
    """A stage of `ElasticArch`."""

    embed_dim: int
    reduction: ElasticReduction
    blocks: list[ElasticBlock]


class ElasticArch(TypedDict):
    """An architecture of the family ``pvt_elastic``."""

    resolution_px: int
    stages: list[ElasticStage]


class KernelSides(TypedDict):
    """Kernels of a `MobileBlock`, 0 where there is no such convolution; ``star`` where the space has star blocks."""

    start: int
    expand: int
    mid: int
    star: NotRequired[int]


class MobileAttention(TypedDict):
    """Attention before a `MobileBlock`."""

    kind: Any
    num_heads: int


class MobileBlock(TypedDict):
    """What stands in one place of a `MobileStageArch`; a plain convolution has no ``expansion``."""

    kernels: KernelSides
    expansion: NotRequired[int]
    attention: NotRequired[MobileAttention]


class MobileStageArch(TypedDict):
    """An entrance, and the places behind it."""

    embed_dim: int
    expansion: int
    blocks: NotRequired[list[MobileBlock]]


class MobileHead(TypedDict):
    """The exit of a `MobileArch`; 0 for what it does not have."""

    neck_dim: int
    hidden_dim: int


class MobileArch(TypedDict):
    """An architecture of the family ``pvt_mobile``."""

    resolution_px: int
    stem_stride: NotRequired[int]
    stem_dim: int
    stages: list[MobileStageArch]
    head: MobileHead


class AutoFormerArch(TypedDict):
    """An architecture of the family ``autoformer``; lists have an entry a block."""

    embed_dim: int
    num_heads: list[int]
    mlp_ratio: list[float]


class VitasBlock(TypedDict):
    """A block of `VitasArch`."""

    num_heads: int
    qkv_out: int
    mlp_hidden: int


class VitasArch(TypedDict):
    """An architecture of the family ``vitas``; None is an identity."""

    patch_size: int
    embed_dim: int
    blocks: list[VitasBlock | None]


class PitArch(TypedDict):
    """An architecture of the family ``pit``; lists have an entry a stage."""

    base_dim: int
    num_heads: list[int]
    depths: list[int]
    mlp_ratio: float
