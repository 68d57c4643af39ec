"""Elastic PVT supernets that start from existing weights: our own, and timm's PVT v2 (`pvt_files`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from edgenas.spaces.pvt import PvtSpec
from edgenas.supernets.pvt_files import load_timm
from edgenas.supernets.sliced import SlicedSupernet
from edgenas.supernets.starting import TaskNames, adapt_channels, load_same, plain_names

_NAMES = TaskNames("patch_embed.proj.weight", ("head.weight", "head.bias"))


def load_weights(supernet: nn.Module, state: Mapping[str, Tensor], source: str) -> tuple[str, ...]:
    """Fill an elastic PVT supernet; notes as `start.load_weights`.

    Raises:
        CheckpointError: listing every difference; nothing is loaded then.
    """
    ours, tensors = cast(SlicedSupernet[PvtSpec], supernet), plain_names(state)
    if any(".attn.reductions." in name for name in tensors):
        return load_same(supernet, tensors, source, _NAMES)
    notes = adapt_channels(tensors, _NAMES.embed, ours.task.in_channels)
    return (*notes, *load_timm(ours, tensors, source))
