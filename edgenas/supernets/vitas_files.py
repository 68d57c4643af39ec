"""Weights of ViTAS's own supernets and retrained nets (xiusu/ViTAS), read into ours.

A file holds ``epoch``, ``model`` and ``optimizer``; names are ``backbone_init_stem_Patch_init_0.PATCH``, one
``backbone_Block_OPERATION_PLACE.0`` a block, ``backbone_Norm_Norm_0.0`` and ``backbone_FC_FC_0.0.module.0``, behind
``module.net.``. What attention was scaled by is multiplied into q; the defects that stay
visible are named in `SUPERNET_DEFECTS` and `RETRAINED_DEFECTS`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from edgenas.errors import CheckpointError
from edgenas.spaces.vitas import GEOMETRIES, Geometry, VitasSpec
from edgenas.supernets.autoformer_files import read_ancestor_weights
from edgenas.supernets.sliced import SlicedSupernet
from edgenas.supernets.starting import Fitted, TaskNames, differences, fill, fit_task, plain_names, require_same
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
_BLOCK = re.compile(r"backbone_Block_[A-Za-z]+_(\d+)\.0\.(.+)")
_PATCH = re.compile(r"backbone_init_stem_Patch_init_0\.(\d+)\.(.+)")
_LAST = {"backbone_Norm_Norm_0.0.": "norm.", "backbone_FC_FC_0.0.module.0.": "head."}
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


def is_ancestors(state: Mapping[str, Tensor]) -> bool:
    """Whether weights have the names of ViTAS's files."""
    return any(name.startswith("backbone_") for name in plain_names(state))


@torch.no_grad()
def load_ancestor_weights(
    supernet: SlicedSupernet[VitasSpec], state: Mapping[str, Tensor], *, source: str = "the file"
) -> tuple[str, ...]:
    """Fill ``supernet`` from a state dict of ViTAS's supernet.

    At another resolution the tables of positions are filled alike; other input channels are adapted as timm does; a head of other
    classes stays as it is.

    Returns:
        Which defects of theirs stay visible, and what was adapted; a sentence each.

    Raises:
        CheckpointError: listing every weight that is missing, unknown or of another shape; nothing is loaded then.
    """
    geometry, own = GEOMETRIES[supernet.space.base_name], supernet.state_dict()
    tensors = _renamed(state, _SupernetNames(geometry))
    for name, table in tensors.items():
        if name.endswith("pos_embed") and name in own and table.dim() == 3:
            tensors[name] = table[:, -1:].expand(-1, own[name].shape[1], -1)
    fitted = fit_supernet(supernet, tensors)
    require_same(own, fitted, supernet, source)
    weights = dict(fitted.state)
    for heads in geometry.num_heads:
        scale = math.sqrt((geometry.qkv_out // 3 // heads) / (geometry.embed_dim // 3))
        for place in range(geometry.num_blocks):
            _scale_q(weights, f"blocks.{place}.attn.qk.{heads}", geometry.qkv_out // 3, scale)
    fill(own, weights)
    return (*SUPERNET_DEFECTS, *fitted.notes)


def fit_supernet(supernet: SlicedSupernet[VitasSpec], state: Mapping[str, Tensor]) -> Fitted:
    """`fit_task` for the patch embeddings of all sizes."""
    own, fitted = supernet.state_dict(), Fitted(dict(state), (), ())
    for patch in GEOMETRIES[supernet.space.base_name].patch_sizes:
        embed = f"embeds.{patch}"
        names = TaskNames(f"{embed}.patch_embed.proj.weight", ("head.head.weight", "head.head.bias"), f"{embed}.pos_embed")
        more = fit_task(fitted.state, own, names)
        fitted = Fitted(more.state, (*fitted.fresh, *more.fresh), tuple(dict.fromkeys((*fitted.notes, *more.notes))))
    return fitted


@torch.no_grad()
def load_retrained_weights(net: VitasNet, state: Mapping[str, Tensor], *, source: str = "the file") -> tuple[str, ...]:
    """Fill a plain net from a state dict of the same architecture that ViTAS trained alone; files do not say which one it is.

    Positions of another resolution are interpolated and other input channels adapted as timm does; a head of other classes stays
    as it is.

    Returns:
        Which defects of theirs stay visible, and what was adapted; a sentence each.

    Raises:
        CheckpointError: listing every weight that is missing, unknown or of another shape; nothing is loaded then.
    """
    own = net.state_dict()
    names = TaskNames("patch_embed.proj.weight", ("head.weight", "head.bias"), "pos_embed")
    fitted = fit_task(_renamed(state, _NetNames(net.spec.places)), own, names)
    problems = differences(own, fitted)
    if problems:
        raise CheckpointError(f"{source} holds no weights of this architecture", problems=problems)
    weights = dict(fitted.state)
    for number, block in enumerate(net.spec.blocks):
        scale = math.sqrt((block.qkv_dim // block.num_heads) / (block.embed_dim // block.num_heads))
        _scale_q(weights, f"blocks.{number}.attn.qkv", block.qkv_dim, scale)
    fill(own, weights)
    return (*RETRAINED_DEFECTS, *fitted.notes)


def _renamed(state: Mapping[str, Tensor], names: _Names) -> dict[str, Tensor]:
    """The same weights by our names, or by theirs where ours have none."""
    result = {}
    for name, value in plain_names(state).items():
        patch, block = _PATCH.fullmatch(name), _BLOCK.fullmatch(name)
        ours: str | None = None
        if patch is not None:
            ours = names.patch(int(patch[1]), patch[2])
        elif block is not None:
            ours = names.block(int(block[1]), block[2])
        else:
            rest = [last + name.removeprefix(start) for start, last in _LAST.items() if name.startswith(start)]
            ours = names.head(rest[0]) if rest else None
        result[name if ours is None else ours] = value
    return result


def _scale_q(weights: dict[str, Tensor], linear: str, width: int, scale: float) -> None:
    """Multiply the rows of q, the leading ``width`` ones, of a linear layer."""
    for kind in ("weight", "bias"):
        value = weights[f"{linear}.{kind}"]
        weights[f"{linear}.{kind}"] = torch.cat([value[:width] * scale, value[width:]])


__all__ = [
    "RETRAINED_DEFECTS",
    "SUPERNET_DEFECTS",
    "fit_supernet",
    "is_ancestors",
    "load_ancestor_weights",
    "load_retrained_weights",
    "read_ancestor_weights",
]
