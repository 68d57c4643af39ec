"""Weights of PiT nets of others (decemberzhou/TF_TAS, naver-ai/pit, timm), or of another task, read into ours.

The first two call a stage's pooling ``pools.N``; timm and we count it to the stage that it leads to. TF-TAS has no supernet of
PiT: its files hold single nets. They carry two traces of its code: their convolutions started from a normal of 1, 50 times
as wide as everything else, and none has fewer heads in a later stage.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from edgenas.errors import CheckpointError
from edgenas.supernets.pit_net import PitNet

HEAD = ("head.weight", "head.bias")


@torch.no_grad()
def load_weights(net: PitNet, state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Fill ``net`` from a state dict and say what was adapted: positions of another grid are interpolated, other classes left out.

    The largest net of a supernet may be filled as well, from a supernet of the same space at another task.

    Raises:
        CheckpointError: listing every weight that is missing, unknown or of another shape; nothing is loaded then.
    """
    tensors = {our_name(name): value for name, value in state.items()}
    ours, notes = net.state_dict(), []
    positions, wanted = tensors.get("pos_embed"), net.pos_embed
    if positions is not None and positions.dim() == 4 and positions.shape[2:] != wanted.shape[2:]:
        tensors["pos_embed"] = interpolate_positions(positions, wanted.shape[-1])
        notes.append(f"positions were interpolated from {_by(positions)} to {_by(wanted)}")
    classes = net.head.out_features
    if all(name in tensors and tensors[name].dim() == ours[name].dim() for name in HEAD) and len(tensors[HEAD[1]]) != classes:
        notes.append(f"the head of {len(tensors[HEAD[1]])} classes was left out; that of {classes} keeps its start")
        tensors |= {name: ours[name] for name in HEAD}
    problems = [f"{name} is missing" for name in ours if name not in tensors]
    problems += [f"{name} is unknown" for name in tensors if name not in ours]
    problems += [
        f"{name} has shape {tuple(tensors[name].shape)}; wanted: {tuple(target.shape)}"
        for name, target in ours.items()
        if name in tensors and tensors[name].shape != target.shape
    ]
    if problems:
        raise CheckpointError("these are no weights of this PiT net", problems=problems)
    net.load_state_dict(tensors)
    return tuple(notes)


def interpolate_positions(positions_1CGG: Tensor, grid: int) -> Tensor:
    """Learnt positions of another grid, bicubic with antialiasing; those of the same grid stay as they are."""
    if positions_1CGG.shape[-1] == grid == positions_1CGG.shape[-2]:
        return positions_1CGG
    resized = F.interpolate(positions_1CGG.float(), (grid, grid), mode="bicubic", antialias=True, align_corners=False)
    return resized.to(positions_1CGG.dtype)


def our_name(name: str) -> str:
    """A weight's name as timm and we have it."""
    return re.sub(r"^pools\.(\d+)\.", lambda found: f"transformers.{int(found[1]) + 1}.pool.", name)


def _by(positions: Tensor) -> str:
    return f"{positions.shape[-2]} x {positions.shape[-1]}"
