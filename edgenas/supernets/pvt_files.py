"""Weights of timm's PVT v2 nets (`timm.models.pvt_v2`), read into an elastic supernet: they fill the slice that is the same net.

What the source lacks starts so that the larger nets around it answer as the source does, or nearly: blocks beyond its depth add
nothing, heads and hidden channels beyond its widths have no influence until they learn, and the weights of another reduction keep
what the source's does to an even patch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgenas.errors import ArchError, CheckpointError
from edgenas.percents import percent
from edgenas.spaces import SearchSpace
from edgenas.spaces.archs import ElasticBlock, ElasticReduction, ElasticStage, ratio_of
from edgenas.spaces.base import RESOLUTION
from edgenas.spaces.pvt import BlockSpec, PvtSpec
from edgenas.spaces.pvt_elastic import NUM_STAGES, PVT_ELASTIC_SPACES
from edgenas.supernets.pvt_elastic import KV, reduction_key, stage_of, views
from edgenas.supernets.sliced import SlicedSupernet

POOL_SIZE = 7  # of timm's linear variants, whatever their resolution
HEAD = ("head.weight", "head.bias")
STEM = "patch_embed.proj.weight"


@torch.no_grad()
def load_timm(supernet: SlicedSupernet[PvtSpec], state: Mapping[str, Tensor], source_name: str) -> tuple[str, ...]:
    """Fill ``supernet`` from the state dict of one of timm's PVT v2 nets.

    Heads are as wide as the space's are, 64 or 32; a state dict does not tell. The head stays fresh where the source has other
    classes, and so does the first convolution where it has other channels.

    Args:
        supernet: freshly initialised; changed in place.
        state: names as timm's.
        source_name: for messages.

    Returns:
        Notes for the user: what was taken, and how the rest starts.

    Raises:
        CheckpointError: listing how the source differs from every net of the space; nothing is loaded then.
    """
    space = supernet.space
    genes = tuple(int(gene) for gene in _genes(space, state, source_name))
    own = views(supernet, genes)
    fresh = _fresh(own, state)
    problems = [f"{name} is missing" for name in own if name not in state]
    problems += [f"{name} is unknown" for name in state if name not in own]
    problems += [
        f"{name} has shape {tuple(state[name].shape)}; wanted: {tuple(_plain(name, view).shape)}"
        for name, view in own.items()
        if name in state and name not in fresh and state[name].shape != _plain(name, view).shape
    ]
    if problems:
        raise CheckpointError(f"{source_name} holds no weights of {space.name}", problems=problems)
    taken = [view for name, view in own.items() if name not in fresh]
    for name, view in own.items():
        if name not in fresh:
            view.copy_(state[name].reshape(view.shape))
    share = sum(view.numel() for view in taken) / sum(parameter.numel() for parameter in supernet.parameters())
    notes = [f"{percent(share)} of the weights of {space.name}'s supernet are those of {source_name}", *fresh.values()]
    return (*notes, *_start_the_rest(supernet, genes, source_name))


def _genes(space: SearchSpace, state: Mapping[str, Tensor], source_name: str) -> Any:
    """The row of genes of the net that ``state`` is of, at the first resolution, which no weight depends on."""
    try:
        stages = _stages(state)
    except KeyError as error:
        raise CheckpointError(f"{source_name} is no PVT v2 net as timm names it: {error.args[0]} is missing") from error
    except (IndexError, ZeroDivisionError) as error:
        raise CheckpointError(f"{source_name} is no PVT v2 net: a weight has too few axes or none of any size") from error
    try:
        return _row(space, stages)
    except ArchError as error:
        others = [other.name for other in PVT_ELASTIC_SPACES if other is not space and _is_in(other, stages)]
        hint = f"it is a net of {others[0]}: take that space" if others else "take a net that the space has, or start without"
        raise CheckpointError(f"{source_name} is no net of {space.name}", problems=error.problems, hint=hint) from error


def _row(space: SearchSpace, stages: list[ElasticStage]) -> NDArray[np.int16]:
    resolution_px = space.choices[space.index[RESOLUTION]].options[0]
    genes_G: NDArray[np.int16] = space.from_json({RESOLUTION: resolution_px, "stages": stages})[0]
    return genes_G


def _is_in(space: SearchSpace, stages: list[ElasticStage]) -> bool:
    try:
        _row(space, stages)
    except ArchError:
        return False
    return True


def _stages(state: Mapping[str, Tensor]) -> list[ElasticStage]:
    """The readable stages of the net, from the shapes of its weights."""
    matches = [re.match(r"stages\.(\d+)\.blocks\.(\d+)\.", name) for name in state]
    present = {(int(match[1]), int(match[2])) for match in matches if match is not None}
    stages = list[ElasticStage]()
    for stage in range(max(NUM_STAGES, *(1 + number for number, _ in present)) if present else NUM_STAGES):
        first = f"stages.{stage}.blocks.0"
        dim = state[f"{first}.attn.q.weight"].shape[1]
        kernel = state[f"{first}.attn.sr.weight"].shape[-1] if f"{first}.attn.sr.weight" in state else None
        blocks = list[ElasticBlock]()
        for number in range(sum(owner == stage for owner, _ in present)):
            at = f"stages.{stage}.blocks.{number}"
            ratio = ratio_of(state[f"{at}.mlp.fc1.weight"].shape[0], dim)
            blocks.append({"qkv_dim": state[f"{at}.attn.q.weight"].shape[0], "mlp_ratio": ratio})
        stages.append({"embed_dim": dim, "reduction": _reduction(kernel), "blocks": blocks})
    return stages


def _reduction(kernel: int | None) -> ElasticReduction:
    """How a stage whose strided convolution has such a kernel, None for none, reduces keys and values."""
    if kernel is None:
        return {"kind": "none", "size": 1}
    return {"kind": "pool", "size": POOL_SIZE} if kernel == 1 else {"kind": "conv", "size": kernel}


def _plain(name: str, view: Tensor) -> Tensor:
    """A view in the shape that a state dict has, where k and v share an axis."""
    return view.flatten(0, 1) if name.endswith(KV) else view


def _fresh(views: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, str]:
    """Weights that stay as they were initialised, because the task differs, with what to say of them."""
    fresh: dict[str, str] = {}
    if HEAD[0] in state and state[HEAD[0]].shape[0] != views[HEAD[0]].shape[0]:
        have, want = state[HEAD[0]].shape[0], views[HEAD[0]].shape[0]
        fresh = dict.fromkeys(HEAD, f"the head is freshly initialised: {have} classes there, {want} here")
    if STEM in state and state[STEM].shape[1] != views[STEM].shape[1]:
        have, want = state[STEM].shape[1], views[STEM].shape[1]
        fresh[STEM] = f"the first convolution is freshly initialised: {have} channels there, {want} here"
    return fresh


def _start_the_rest(supernet: SlicedSupernet[PvtSpec], genes: tuple[int, ...], source_name: str) -> Iterator[str]:
    """Initialise what the source lacks around the net that was loaded, and say how."""
    added: list[str] = []
    kinds: dict[str, list[str]] = {}
    widened = False
    for index, stage_spec in enumerate(supernet.spec(genes).stages):
        for number, block in enumerate(stage_of(supernet, index).blocks):
            if number >= len(stage_spec.blocks):
                added.append(f"stages[{index}].blocks[{number}]")
                _silence(block, 0, 0)
                continue
            spec = stage_spec.blocks[number]
            widened |= _silence(block, spec.qkv_dim, spec.mlp_hidden)
            for key, how in derive_reductions(block, spec):
                kinds.setdefault(how, []).append(f"{key} of stages[{index}]")
    if added:
        yield f"blocks that {source_name} lacks add nothing at first: {', '.join(added)}"
    if widened:
        yield f"heads and hidden channels beyond those of {source_name} have no influence at first"
    for how, names in kinds.items():
        yield f"{how}: {', '.join(dict.fromkeys(names))}"


def _silence(block: nn.Module, qkv_dim: int, mlp_hidden: int) -> bool:
    """Zero what attention and MLP give beyond so many channels, all of it at 0; whether there was anything."""
    proj, fc2 = block.get_parameter("attn.proj.weight"), block.get_parameter("mlp.fc2.weight")
    proj[:, qkv_dim:] = 0.0
    fc2[:, mlp_hidden:] = 0.0
    return proj.shape[1] > qkv_dim or fc2.shape[1] > mlp_hidden


def derive_reductions(block: nn.Module, spec: BlockSpec) -> Iterator[tuple[str, str]]:
    """Start the other reductions of a block from its own: a kernel that answers an even patch alike, and the same norm."""
    reductions = block.get_submodule("attn.reductions")
    own = reduction_key(spec.reduction, spec.reduction_size)
    for key, module in reductions.named_children():
        if spec.reduction == "none":
            yield key, "freshly initialised, with its norm"
        elif key != own:
            source, dim, size = reductions.get_submodule(own), spec.embed_dim, module.get_parameter("sr.weight").shape[-1]
            even = source.get_parameter("sr.weight")[:dim, :dim].sum(dim=(2, 3), keepdim=True) / size**2
            module.get_parameter("sr.weight")[:dim, :dim] = even
            for name in ("sr.bias", "norm.weight", "norm.bias"):
                module.get_parameter(name)[:dim] = source.get_parameter(name)[:dim]
            yield key, f"started from {own}, as an average over the patch"
