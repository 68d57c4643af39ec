"""Weights of ViTAS's own supernets and retrained nets (xiusu/ViTAS), read into ours.

A file holds ``epoch``, ``model`` and ``optimizer``; names are ``net.backbone_init_stem_Patch_init_0.PATCH``, one
``net.backbone_Block_OPERATION_PLACE.0`` a block, ``net.backbone_Norm_Norm_0.0`` and ``net.backbone_FC_FC_0.0.module.0``, behind
``module.`` where the net was trained on several devices. What attention was scaled by is multiplied into q; the defects that stay
visible are named in `SUPERNET_DEFECTS` and `RETRAINED_DEFECTS`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models import adapt_input_conv
from torch import Tensor

from edgenas.errors import CheckpointError
from edgenas.spaces.vitas import Geometry
from edgenas.supernets.autoformer_files import read_ancestor_weights
from edgenas.supernets.vitas import VitasSupernet
from edgenas.supernets.vitas_net import VitasNet

SUPERNET_DEFECTS = (
    "of all patch sizes only the first, 14, was trained: convolution, class token and positions of the others are as drawn",
    "all tokens were given the last position's vector, the only one that learnt: it fills every row of the tables here",
    "rows of q and k were cut as one: nets of narrower q and k were trained with rows of q for k and answer differently here",
    "attention was scaled by a third of the widest embedding whatever the heads: multiplied into q, which is exact at full width",
)
RETRAINED_DEFECTS = (
    "attention was scaled by the embedding's width over the heads instead of a head's: multiplied into q here, which is exact",
)
_BLOCK = re.compile(r"net\.backbone_Block_[A-Za-z]+_(\d+)\.0\.(.+)")
_PATCH = re.compile(r"net\.backbone_init_stem_Patch_init_0\.(\d+)\.(.+)")
_HEAD = {"net.backbone_Norm_Norm_0.0.": "norm.", "net.backbone_FC_FC_0.0.module.0.": "head."}
_HEAD_NUMBER = re.compile(r"attn\.qk(\d)\.")


class _Names(Protocol):
    """Our name of a weight of theirs; None where it has none."""

    def patch(self, number: int, rest: str) -> str | None: ...
    def block(self, place: int, rest: str) -> str | None: ...
    def head(self, rest: str) -> str: ...


class _SupernetNames:
    def __init__(self, geometry: Geometry) -> None:
        self._patches = sorted(geometry.patch_sizes)
        self._heads = geometry.num_heads

    def patch(self, number: int, rest: str) -> str | None:
        return f"embeds.{self._patches[number]}.{rest}" if number < len(self._patches) else None

    def block(self, place: int, rest: str) -> str | None:
        match = _HEAD_NUMBER.match(rest)
        if match is None:
            return f"blocks.{place}.{rest}"
        number = int(match[1])
        return f"blocks.{place}.attn.qk.{self._heads[number]}.{rest[match.end() :]}" if number < len(self._heads) else None

    def head(self, rest: str) -> str:
        return f"head.{rest}"


class _NetNames:
    def __init__(self, places: Sequence[int]) -> None:
        self._numbers = {place: number for number, place in enumerate(places)}

    def patch(self, number: int, rest: str) -> str | None:
        return rest if number == 0 else None

    def block(self, place: int, rest: str) -> str | None:
        return f"blocks.{self._numbers[place]}.{rest}" if place in self._numbers else None

    def head(self, rest: str) -> str:
        return rest


@torch.no_grad()
def load_ancestor_weights(supernet: VitasSupernet, state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Fill ``supernet`` from a state dict of ViTAS's supernet.

    At another resolution the tables of positions are filled alike; other input channels are adapted as timm does; a head of other
    classes stays as it is.

    Returns:
        Which defects of theirs stay visible, and what was adapted; a sentence each.

    Raises:
        CheckpointError: listing every weight that is missing, unknown or of another shape; nothing is loaded then.
    """
    geometry = supernet.geometry
    found = _renamed(state, _SupernetNames(geometry))
    own = supernet.state_dict()
    for name, table in found.items():
        if name.endswith("pos_embed") and name in own and table.dim() == 3:
            found[name] = table[:, -1:].expand(-1, own[name].shape[1], -1)
    notes = _adapt(found, own, [f"embeds.{patch}.patch_embed.proj.weight" for patch in geometry.patch_sizes], "head.head.")
    _require_same(found, own, supernet.space.name)
    for heads in geometry.num_heads:
        scale = math.sqrt((geometry.qkv_out // 3 // heads) / (geometry.embed_dim // 3))
        for place in range(geometry.num_blocks):
            _scale_q(found, f"blocks.{place}.attn.qk.{heads}", geometry.qkv_out // 3, scale)
    supernet.load_state_dict(found, strict=False)
    return (*SUPERNET_DEFECTS, *notes)


@torch.no_grad()
def load_retrained_weights(net: VitasNet, state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Fill a plain net from a state dict of the same architecture that ViTAS trained alone; files do not say which one it is.

    Positions of another resolution are interpolated and other input channels adapted as timm does; a head of other classes stays
    as it is.

    Returns:
        Which defects of theirs stay visible, and what was adapted; a sentence each.

    Raises:
        CheckpointError: listing every weight that is missing, unknown or of another shape; nothing is loaded then.
    """
    found = _renamed(state, _NetNames(net.spec.places))
    own = net.state_dict()
    notes = _adapt(found, own, ["patch_embed.proj.weight"], "head.")
    table = found.get("pos_embed")
    if table is not None and table.dim() == 3 and table.shape[1] != own["pos_embed"].shape[1]:
        sides = [math.isqrt(tensor.shape[1] - 1) for tensor in (table, own["pos_embed"])]
        if sides[0] ** 2 == table.shape[1] - 1:
            found["pos_embed"] = resample_abs_pos_embed(table, [sides[1], sides[1]], num_prefix_tokens=1)
            notes.append(f"positions of {sides[0]} x {sides[0]} patches were interpolated to {sides[1]} x {sides[1]}")
    _require_same(found, own, "this architecture")
    for number, block in enumerate(net.spec.blocks):
        scale = math.sqrt((block.qkv_dim // block.num_heads) / (block.embed_dim // block.num_heads))
        _scale_q(found, f"blocks.{number}.attn.qkv", block.qkv_dim, scale)
    net.load_state_dict(found, strict=False)
    return (*RETRAINED_DEFECTS, *notes)


def _renamed(state: Mapping[str, Tensor], names: _Names) -> dict[str, Tensor]:
    """The same weights by our names, or by theirs where ours have none."""
    result = {}
    wrapped = all(name.startswith("module.") for name in state)
    for theirs, value in state.items():
        name = theirs.removeprefix("module.") if wrapped else theirs
        patch, block = _PATCH.fullmatch(name), _BLOCK.fullmatch(name)
        ours: str | None = None
        if patch is not None:
            ours = names.patch(int(patch[1]), patch[2])
        elif block is not None:
            ours = names.block(int(block[1]), block[2])
        else:
            rest = [ours + name.removeprefix(start) for start, ours in _HEAD.items() if name.startswith(start)]
            ours = names.head(rest[0]) if rest else None
        result[name if ours is None else ours] = value
    return result


def _adapt(found: dict[str, Tensor], own: Mapping[str, Tensor], embeds: Sequence[str], head: str) -> list[str]:
    """Adapt input channels in place, take the weights of our head where classes differ, and say so."""
    notes = []
    channels = {(found[name].shape[1], own[name].shape[1]) for name in embeds if name in found and found[name].dim() == 4}
    for have, want in channels:
        if have != want and (have == 3 or want == 1):
            for name in embeds:
                found[name] = adapt_input_conv(want, found[name])
            notes.append(f"the patch embeddings of {have} input channels were adapted to {want}")
    weight = found.get(f"{head}weight")
    if weight is not None and weight.shape[:1] != own[f"{head}weight"].shape[:1]:
        notes.append(f"the head stays as it is: theirs has {weight.shape[0]} classes, {own[f'{head}weight'].shape[0]} are wanted")
        found |= {f"{head}{kind}": own[f"{head}{kind}"] for kind in ("weight", "bias")}
    return notes


def _require_same(found: Mapping[str, Tensor], own: Mapping[str, Tensor], what: str) -> None:
    problems = [f"{name} is missing" for name in own if name not in found]
    problems += [f"{name} is unknown" for name in found if name not in own]
    problems += [
        f"{name} has shape {tuple(found[name].shape)}; wanted: {tuple(value.shape)}"
        for name, value in own.items()
        if name in found and found[name].shape != value.shape
    ]
    if problems:
        raise CheckpointError(f"these are no weights of {what}", problems=problems)


def _scale_q(weights: dict[str, Tensor], linear: str, width: int, scale: float) -> None:
    """Multiply the rows of q, the leading ``width`` ones, of a linear layer."""
    for kind in ("weight", "bias"):
        value = weights[f"{linear}.{kind}"]
        weights[f"{linear}.{kind}"] = torch.cat([value[:width] * scale, value[width:]])


__all__ = ["RETRAINED_DEFECTS", "SUPERNET_DEFECTS", "load_ancestor_weights", "load_retrained_weights", "read_ancestor_weights"]
