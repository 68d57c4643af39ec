"""PVT supernets that start from existing weights: our own, COViT++'s, and what `READERS` knows besides.

COViT++ (hungnv142/COViTPlusPlus) keeps one supernet per tuple of MLP ratios; its narrower MLPs become leading hidden channels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from edgenas.spaces.pvt import PvtSpec
from edgenas.supernets.pvt import largest_net
from edgenas.supernets.sliced import SlicedSupernet
from edgenas.supernets.starting import (
    Fitted,
    TaskNames,
    abbreviated,
    fill,
    fill_leading,
    fit_task,
    load_same,
    plain_names,
    refuse,
    require_same,
)

COVITPP_DEFECTS = (
    "only the largest net was ever trained, with a pool of 15: no smaller net and no other pool",
    "there a narrower q, k or v took other rows, v even rows of k: smaller nets answer differently here, where every head keeps "
    "its leading channels",
    "it was chosen by its accuracy on the test images, 16 of which are training images too: test it on others",
    "its teacher ran in training mode, with dropout and drifting statistics",
    "norms within its blocks add 1e-5 to the variance, here 1e-6",
)
_COVITPP = re.compile(r"(patch_embed|block|norm)([1-4])\.(.+)|head\.classifier\.(.+)")
_HIDDEN_AXES = {"mlp.fc1.weight": 0, "mlp.fc1.bias": 0, "mlp.dwconv.weight": 0, "mlp.dwconv.bias": 0, "mlp.fc2.weight": 1}


@dataclass(frozen=True, slots=True)
class WeightReader:
    """Weights of one foreign layout.

    Attributes:
        knows: whether weights of these names are of the layout.
        load: as `start.load_weights`.
    """

    knows: Callable[[Mapping[str, Tensor]], bool]
    load: Callable[[SlicedSupernet[PvtSpec], Mapping[str, Tensor], str], tuple[str, ...]]


def load_weights(supernet: nn.Module, state: Mapping[str, Tensor], source: str) -> tuple[str, ...]:
    """Fill a PVT supernet; notes as `start.load_weights`.

    Raises:
        CheckpointError: listing every difference; nothing is loaded then.
    """
    ours, tensors = cast(SlicedSupernet[PvtSpec], supernet), plain_names(state)
    for reader in READERS:
        if reader.knows(tensors):
            return reader.load(ours, tensors, source)
    return load_same(supernet, tensors, source, _names(largest_net(ours).state_dict()))


def _names(own: Mapping[str, Tensor]) -> TaskNames:
    last = [name for name in own if name.startswith("head.") and name.endswith(".weight")][-1]
    return TaskNames("patch_embed.proj.weight", (last, f"{last.removesuffix('weight')}bias"))


def _is_covitpp(state: Mapping[str, Tensor]) -> bool:
    return "block1.0.attn.q.weight" in state and "patch_embed1.proj.weight" in state


@torch.no_grad()
def _load_covitpp(supernet: SlicedSupernet[PvtSpec], state: Mapping[str, Tensor], source: str) -> tuple[str, ...]:
    own = largest_net(supernet).state_dict()
    fitted = fit_task({_our_name(name): value for name, value in state.items()}, own, _names(own))
    narrow = {name: value for name, value in fitted.state.items() if _is_narrower(name, value, own)}
    rest = {name: value for name, value in fitted.state.items() if name not in narrow}
    require_same(own, Fitted(rest, (*fitted.fresh, *narrow), ()), supernet, source)
    problems = [f"{name} has the width {size} of no MLP ratio" for name, size in _odd_widths(narrow, supernet).items()]
    refuse(abbreviated(problems, "of other widths"), supernet, source)
    fill(own, rest)
    for name, value in narrow.items():
        fill_leading(own[name], value)
    notes = [*COVITPP_DEFECTS, *fitted.notes]
    for stage in sorted({name.split(".")[1] for name in narrow}):
        name = f"stages.{stage}.blocks.0.mlp.fc1.bias"
        notes.append(
            f"filled are {len(narrow[name])} of {len(own[name])} hidden channels of stage {int(stage) + 1}, the others start fresh"
        )
    return tuple(notes)


def _our_name(name: str) -> str:
    match = _COVITPP.fullmatch(name)
    if match is None:
        return name
    kind, stage, rest, head = match.groups()
    if head is not None:
        return f"head.{head}"
    index = int(stage) - 1
    if kind == "patch_embed":
        return f"stages.{index}.downsample.{rest}" if index else f"patch_embed.{rest}"
    return f"stages.{index}.blocks.{rest}" if kind == "block" else f"stages.{index}.norm.{rest}"


def _is_narrower(name: str, value: Tensor, own: Mapping[str, Tensor]) -> bool:
    """Whether a weight has fewer hidden channels than ours and is alike in all else."""
    axis = _HIDDEN_AXES.get(".".join(name.split(".")[4:]))
    if axis is None or name not in own or value.dim() != own[name].dim() or value.shape[axis] >= own[name].shape[axis]:
        return False
    return all(value.shape[other] == own[name].shape[other] for other in range(value.dim()) if other != axis)


def _odd_widths(narrow: Mapping[str, Tensor], supernet: SlicedSupernet[PvtSpec]) -> dict[str, int]:
    """Hidden widths that no net of the space has, by name."""
    smallest = supernet.spec(tuple(int(gene) for gene in supernet.space.extreme(largest=False)[0]))
    result = {}
    for name, value in narrow.items():
        size = value.shape[_HIDDEN_AXES[".".join(name.split(".")[4:])]]
        if size < smallest.stages[int(name.split(".")[1])].blocks[0].mlp_hidden:
            result[name] = size
    return result


READERS: tuple[WeightReader, ...] = (WeightReader(_is_covitpp, _load_covitpp),)
