"""The ViTAS supernet: shared blocks, with what different patches and head numbers cannot share private to each.

Sharing (Su et al., ViTAS, arXiv:2106.13700, section 3): every patch size has its own convolution, class token and table of
positions; in every block each head number has its own q and k, while v, the projection and the MLP are shared; narrower nets keep
the leading channels. With ``side="right"`` they keep the trailing ones instead: trained on both sides, every channel is used
equally often over all widths (BCNet, Su et al., CVPR 2021, pages 2175-2184).

Deviations from xiusu/ViTAS: every patch size learns, not just the first; positions are a table, not the last one's vector for all;
q, k and v are sliced apart and head by head, so that a row means the same head at every width, instead of rows of k becoming rows
of q; logits are scaled by the true width of a head, instead of a third of the embedding's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from edgenas.spaces import SearchSpace, Task
from edgenas.spaces.vitas import GEOMETRIES, BlockSpec, Geometry, VitasSpec, frame, lower
from edgenas.supernets.autoformer_net import Embed, Head, initialise
from edgenas.supernets.functional import WeightGroup, transformer_block_groups
from edgenas.supernets.sliced import ComponentWeights, Parts, Sharing, SlicedSupernet
from edgenas.supernets.slots import weights_of
from edgenas.supernets.transformer import Mlp
from edgenas.supernets.vitas_net import BLOCK_NORM_EPS, VitasNet, build_component, component_input_shape

Side = Literal["left", "right"]


def cut(value: Tensor, axis: int, size: int, side: Side) -> Tensor:
    """A view of the leading (``left``) or trailing (``right``) ``size`` places of an axis."""
    return value.narrow(axis, 0 if side == "left" else value.shape[axis] - size, size)


def cut_heads(value: Tensor, axis: int, num_heads: int, size: int, side: Side) -> Tensor:
    """`cut` of each head's part of an axis, ``size`` places in all: a place means the same head at every size."""
    if size == value.shape[axis]:
        return value
    parts = value.reshape(*value.shape[:axis], num_heads, -1, *value.shape[axis + 1 :])
    return cut(parts, axis + 1, size // num_heads, side).flatten(axis, axis + 1)


def slice_block(weights: Mapping[str, Tensor], spec: BlockSpec, side: Side = "left") -> dict[str, Tensor]:
    """A shared block's weights at the widths and the head number of ``spec``, by their names in a plain block.

    Args:
        weights: of a `SharedBlock`, by name.
        spec: widths to cut to, none above the block's.
        side: which channels are kept.
    """
    dim, qkv, hidden, heads = spec.embed_dim, spec.qkv_dim, spec.mlp_hidden, spec.num_heads
    names = ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias", "attn.proj.bias", "mlp.fc2.bias")
    result = {name: cut(weights[name], 0, dim, side) for name in names}
    for kind in ("weight", "bias"):
        rows = [*weights[f"attn.qk.{heads}.{kind}"].chunk(2), weights[f"attn.v.{kind}"]]
        if kind == "weight":
            rows = [cut(row, 1, dim, side) for row in rows]
        result[f"attn.qkv.{kind}"] = torch.cat([cut_heads(row, 0, heads, qkv, side) for row in rows])
    proj, fc1, fc2 = (weights[f"{name}.weight"] for name in ("attn.proj", "mlp.fc1", "mlp.fc2"))
    return result | {
        "attn.proj.weight": cut_heads(cut(proj, 0, dim, side), 1, heads, qkv, side),
        "mlp.fc1.weight": cut(cut(fc1, 0, hidden, side), 1, dim, side),
        "mlp.fc1.bias": cut(weights["mlp.fc1.bias"], 0, hidden, side),
        "mlp.fc2.weight": cut(cut(fc2, 0, dim, side), 1, hidden, side),
    }


def slice_frame(embed: Mapping[str, Tensor], head: Mapping[str, Tensor], embed_dim: int, side: Side = "left") -> dict[str, Tensor]:
    """Views of the weights around the blocks: of one patch size, and of the head."""
    result = {name: cut(embed[name], 0, embed_dim, side) for name in ("patch_embed.proj.weight", "patch_embed.proj.bias")}
    result |= {name: cut(embed[name], -1, embed_dim, side) for name in ("cls_token", "pos_embed")}
    result |= {name: cut(head[name], -1, embed_dim, side) for name in ("norm.weight", "norm.bias", "head.weight")}
    return result | {"head.bias": head["head.bias"]}


class _SharedAttention(nn.Module):
    """q and k of every head number, all rows of q before those of k, with one v and one projection."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        dim, width = geometry.embed_dim, geometry.qkv_out // 3
        self.qk = nn.ModuleDict({str(heads): nn.Linear(dim, 2 * width) for heads in geometry.num_heads})
        self.v = nn.Linear(dim, width)
        self.proj = nn.Linear(width, dim)


class SharedBlock(nn.Module):
    """Parameters of a block at full width, for every head number."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(geometry.embed_dim, eps=BLOCK_NORM_EPS)
        self.attn = _SharedAttention(geometry)
        self.norm2 = nn.LayerNorm(geometry.embed_dim, eps=BLOCK_NORM_EPS)
        self.mlp = Mlp(geometry.embed_dim, geometry.mlp_hidden)


def parts(supernet: SlicedSupernet[VitasSpec], spec: VitasSpec, side: Side = "left") -> Iterator[ComponentWeights]:
    """The weights of every component of one subnet, with the channels of that side; a net of tied blocks has the first ones."""
    embed = supernet.get_submodule(f"embeds.{spec.embed.patch_size}")
    head = weights_of(supernet.get_submodule("head"))
    around = slice_frame(weights_of(embed), head, spec.embed.embed_dim, side)
    yield ComponentWeights("", {name: value for name, value in around.items() if name not in head})
    for index, (place, block) in enumerate(zip(spec.places, spec.blocks, strict=True)):
        weights = weights_of(supernet.get_submodule(f"blocks.{place}"))
        yield ComponentWeights(f"blocks.{index}.", slice_block(weights, block, side))
    yield ComponentWeights("", {name: around[name] for name in head})


PARTS: Mapping[Side, Parts[VitasSpec]] = {"left": parts, "right": partial(parts, side="right")}


def groups(spec: VitasSpec) -> tuple[WeightGroup, ...]:
    """The weights of a subnet's blocks by their roles; blocks of other places or head numbers are other slices of equal shape."""
    return tuple(
        group
        for index, (place, block) in enumerate(zip(spec.places, spec.blocks, strict=True))
        for group in transformer_block_groups(f"blocks.{index}.", (place, block.num_heads))
    )


SHARING = Sharing(lower, VitasNet, build_component, parts, groups, sides=(PARTS["left"], PARTS["right"]))


def build_supernet(space: SearchSpace, task: Task) -> SlicedSupernet[VitasSpec]:
    """A freshly initialised supernet of a ViTAS space.

    The parameters are ``embeds`` by patch size, ``blocks`` by place, each with every head number's own q and k, and ``head``.
    """
    geometry = GEOMETRIES[space.base_name]
    frames = {patch: frame(task, patch, geometry.embed_dim) for patch in geometry.patch_sizes}
    weights: dict[str, nn.Module] = {
        "embeds": nn.ModuleDict({str(patch): Embed(embed) for patch, (embed, _) in frames.items()}),
        "blocks": nn.ModuleList(SharedBlock(geometry) for _ in range(geometry.num_blocks)),
        "head": Head(frames[geometry.patch_sizes[0]][1]),
    }
    supernet = SlicedSupernet(space, task, SHARING, weights)
    initialise(supernet)
    return supernet


__all__ = [
    "PARTS",
    "SHARING",
    "build_component",
    "build_supernet",
    "component_input_shape",
    "cut",
    "cut_heads",
    "slice_block",
]
