"""Mobile supernets that start from existing weights: our own, and timm's MobileNetV4 (`pvt_mobile_files`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from edgenas.spaces.pvt_mobile import MobileSpec
from edgenas.supernets.pvt_mobile_files import HEAD, STEM, load_timm
from edgenas.supernets.sliced import SlicedSupernet
from edgenas.supernets.starting import TaskNames, adapt_channels, load_same, plain_names

_TIMM_STEM = "conv_stem.weight"


def load_weights(supernet: nn.Module, state: Mapping[str, Tensor], source: str) -> tuple[str, ...]:
    """Fill a mobile supernet; notes as `start.load_weights`.

    Raises:
        CheckpointError: listing every difference; nothing is loaded then.
    """
    ours, found = cast(SlicedSupernet[MobileSpec], supernet), plain_names(state)
    if _TIMM_STEM not in found:
        return load_same(supernet, found, source, TaskNames(STEM, HEAD))
    notes = adapt_channels(found, _TIMM_STEM, ours.task.in_channels)
    return (*notes, *load_timm(ours, found, source))
