"""Mobile supernets that start from existing weights: our own, timm's MobileNetV4 (`pvt_mobile_files`) and StarNet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from edgenas.spaces.pvt_mobile import MobileSpec
from edgenas.supernets.pvt_mobile_files import HEAD, STEM, load_timm
from edgenas.supernets.pvt_mobile_star_files import load_starnet
from edgenas.supernets.sliced import SlicedSupernet
from edgenas.supernets.starting import TaskNames, adapt_channels, load_same, plain_names

_LOADERS = {"conv_stem.weight": load_timm, "stem.0.conv.weight": load_starnet}  # by timm's names of the first convolution


def load_weights(supernet: nn.Module, state: Mapping[str, Tensor], source: str) -> tuple[str, ...]:
    """Fill a mobile supernet; notes as `start.load_weights`.

    Raises:
        CheckpointError: listing every difference; nothing is loaded then.
    """
    ours, tensors = cast(SlicedSupernet[MobileSpec], supernet), plain_names(state)
    for stem, load in _LOADERS.items():
        if stem in tensors:
            notes = adapt_channels(tensors, stem, ours.task.in_channels)
            return (*notes, *load(ours, tensors, source))
    return load_same(supernet, tensors, source, TaskNames(STEM, HEAD))
