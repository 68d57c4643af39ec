"""ViTAS supernets that start from existing weights: our own, and their ancestor's (`vitas_files`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from edgenas.spaces.vitas import VitasSpec
from edgenas.supernets.sliced import SlicedSupernet
from edgenas.supernets.starting import fill, plain_names, require_same
from edgenas.supernets.vitas_files import fit_supernet, is_ancestors, load_ancestor_weights


@torch.no_grad()
def load_weights(supernet: nn.Module, state: Mapping[str, Tensor], source: str) -> tuple[str, ...]:
    """Fill a ViTAS supernet; notes as `start.load_weights`.

    Raises:
        CheckpointError: listing every difference; nothing is loaded then.
    """
    ours = cast(SlicedSupernet[VitasSpec], supernet)
    if is_ancestors(state):
        return load_ancestor_weights(ours, state, source=source)
    own, fitted = ours.state_dict(), fit_supernet(ours, plain_names(state))
    require_same(own, fitted, ours, source)
    fill(own, fitted.state)
    return fitted.notes
