"""Weights of timm's MobileNetV4 nets (`timm.models.mobilenetv3`), read into a mobile supernet: they fill the slice that is the net.

What the source lacks starts so that the nets around it answer as the source does: places beyond its depth and attention that it
lacks add nothing, channels beyond its widths have no influence until they learn, the rows around a smaller kernel are zeros, and a
depthwise convolution that it lacks hands on what it is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgenas.errors import ArchError, CheckpointError
from edgenas.percents import percent
from edgenas.spaces import SearchSpace
from edgenas.spaces.archs import KernelSides, MobileAttention, MobileBlock, MobileStageArch, Readable, ratio_of
from edgenas.spaces.base import RESOLUTION
from edgenas.spaces.pvt_mobile import (
    GEOMETRIES,
    PVT_MOBILE_SPACES,
    AttentionBlockSpec,
    Block,
    ConvBlockSpec,
    DownsampleSpec,
    HeadSpec,
    MobileSpec,
)
from edgenas.supernets.pvt_mobile import parts
from edgenas.supernets.sliced import SlicedSupernet
from edgenas.supernets.starting import abbreviated

HEAD = ("head.classifier.weight", "head.classifier.bias")
STEM = "stem.conv.weight"
_OUTER = {"conv_stem.": "stem.conv.", "bn1.": "stem.bn.", "conv_head.": "head.hidden.conv.", "norm_head.": "head.hidden.bn."}
_EDGE = {"conv_exp.": "pw_exp.conv.", "bn1.": "pw_exp.bn.", "conv_pwl.": "pw_proj.conv.", "bn2.": "pw_proj.bn."}
_PAIR = ({"conv.": "pw_exp.conv.", "bn1.": "pw_exp.bn."}, {"conv.": "pw_proj.conv.", "bn1.": "pw_proj.bn."})
_NECK = {"conv.": "head.neck.conv.", "bn1.": "head.neck.bn."}
_INNER = re.compile(r"blocks\.(\d+)\.(\d+)\.(.+)")


def _renamed(name: str, prefixes: Mapping[str, str]) -> str:
    """A name with the first of these beginnings that it has replaced."""
    return next((new + name.removeprefix(old) for old, new in prefixes.items() if name.startswith(old)), name)


def by_our_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of one of timm's MobileNetV4 nets by the names of a plain mobile net; what is no part of one keeps its name.

    A pair of convolutions that begins one of timm's stages is the fused bottleneck at its entrance.
    """
    matches = {name: match for name in state if (match := _INNER.match(name)) is not None}
    last = max((int(match[1]) for match in matches.values()), default=-1)
    paired = {int(match[1]) for match in matches.values() if match[2] == "1" and match[3] == "conv.weight"}
    result = {}
    for name, value in state.items():
        if name not in matches:
            result[f"head.{name}" if name.startswith("classifier.") else _renamed(name, _OUTER)] = value
            continue
        stage, number, inner = int(matches[name][1]), int(matches[name][2]), matches[name][3]
        at, first = f"stages.{stage}.downsample.", 1 + (stage in paired)
        if stage == last:
            result[_renamed(inner, _NECK)] = value
        elif number < first:
            result[at + _renamed(inner, _PAIR[number] if stage in paired else _EDGE)] = value
        else:
            result[f"stages.{stage}.blocks.{number - first}.{inner}"] = value
    return result


@torch.no_grad()
def load_timm(supernet: SlicedSupernet[MobileSpec], state: Mapping[str, Tensor], source_name: str) -> tuple[str, ...]:
    """Fill ``supernet`` from the state dict of one of timm's MobileNetV4 nets.

    The classifier stays fresh where the source has other classes, and so does the first convolution where it has other channels.

    Args:
        supernet: freshly initialised; changed in place.
        state: names as timm's.
        source_name: for messages.

    Returns:
        Notes for the user: what was taken, and how the rest starts.

    Raises:
        CheckpointError: listing how the source differs from every net of the space; nothing is loaded then.
    """
    named = by_our_names(state)
    genes = tuple(int(gene) for gene in _genes(supernet.space, named, source_name))
    return load_named(supernet, named, genes, source_name, _start_the_rest)


StartTheRest = Callable[[SlicedSupernet[MobileSpec], MobileSpec, str], Iterator[str]]


@torch.no_grad()
def load_named(
    supernet: SlicedSupernet[MobileSpec],
    named: Mapping[str, Tensor],
    genes: tuple[int, ...],
    source_name: str,
    start_the_rest: StartTheRest,
) -> tuple[str, ...]:
    """Fill the slice of ``supernet`` that is one net, after ``start_the_rest``; everything else as of `load_timm`.

    Args:
        supernet: changed in place.
        named: weights and statistics by the names of the plain net.
        genes: of the net.
        source_name: for messages.
        start_the_rest: initialises what the net lacks, and says how.
    """
    space, own = supernet.space, _views(supernet, supernet.spec(genes))
    fresh = _fresh(own, named)
    problems = abbreviated([f"{name} is missing" for name in own if name not in named], "missing")
    problems += abbreviated([f"{name} is unknown" for name in named if name not in own], "unknown")
    problems += [
        f"{name} has shape {tuple(named[name].shape)}; wanted: {tuple(view.shape)}"
        for name, view in own.items()
        if name in named and name not in fresh and named[name].shape != view.shape
    ]
    if problems:
        raise CheckpointError(f"{source_name} holds no weights of {space.name}", problems=problems)
    notes = tuple(start_the_rest(supernet, supernet.spec(genes), source_name))
    taken = {name: view for name, view in own.items() if name not in fresh}
    for name, view in taken.items():
        view.copy_(named[name])
    learnt = {name for part in parts(supernet, supernet.spec(genes)) for name in (part.prefix + own for own in part.weights)}
    share = sum(view.numel() for name, view in taken.items() if name in learnt) / sum(p.numel() for p in supernet.parameters())
    first = f"{percent(share)} of the weights of {space.name}'s supernet are those of {source_name}"
    return (first, *dict.fromkeys(fresh.values()), *notes)


def _views(supernet: SlicedSupernet[MobileSpec], spec: MobileSpec) -> dict[str, Tensor]:
    """A subnet's weights and statistics as views of the supernet's, by their names in its plain net."""
    every = ((part.prefix, {**part.weights, **part.statistics}) for part in parts(supernet, spec))
    return {prefix + name: value for prefix, tensors in every for name, value in tensors.items()}


def _genes(space: SearchSpace, state: Mapping[str, Tensor], source_name: str) -> Any:
    """The row of genes of the net that ``state`` is of, at the first resolution, which no weight depends on."""
    spaces = (space, *(other for other in PVT_MOBILE_SPACES if not GEOMETRIES[other.base_name].star))
    try:
        archs = {other.name: _arch(other, state) for other in spaces}
    except KeyError as error:
        raise CheckpointError(f"{source_name} is no MobileNetV4 net as timm names it: {error.args[0]} is missing") from error
    except (IndexError, ZeroDivisionError) as error:
        raise CheckpointError(f"{source_name} is no MobileNetV4 net: a weight has too few axes or none of any size") from error
    try:
        return space.from_json(archs[space.name])[0]
    except ArchError as error:
        others = [other.name for other in spaces[1:] if other is not space and is_in(other, archs[other.name])]
        hint = f"it is a net of {others[0]}: take that space" if others else "take a net that the space has, or start without"
        raise CheckpointError(f"{source_name} is no net of {space.name}", problems=error.problems, hint=hint) from error


def is_in(space: SearchSpace, arch: Mapping[str, Any]) -> bool:
    """Whether a space has a readable architecture."""
    try:
        space.from_json(arch)
    except ArchError:
        return False
    return True


def _arch(space: SearchSpace, state: Mapping[str, Tensor]) -> Readable:
    """The readable net, from the shapes of its weights, with heads as wide as the space's."""
    head_dim = GEOMETRIES[space.base_name].head_dim
    matches = [match for name in state if (match := re.match(r"stages\.(\d+)\.(?:blocks\.(\d+)\.)?", name)) is not None]
    stages = list[MobileStageArch]()
    for stage in range(1 + max((int(match[1]) for match in matches), default=0)):
        at = f"stages.{stage}"
        entrance = _bottleneck(state, f"{at}.downsample")
        genes: MobileStageArch = {"embed_dim": entrance.embed_dim, "expansion": entrance.expansion}
        if any(name.startswith(f"{at}.blocks.") for name in state):
            genes["blocks"] = list(_blocks(space, state, stage, head_dim))
        stages.append(genes)
    head = {"neck_dim": state["head.neck.conv.weight"].shape[0], "hidden_dim": state["head.hidden.conv.weight"].shape[0]}
    return {
        RESOLUTION: space.choices[space.index[RESOLUTION]].options[0],
        "stem_dim": state[STEM].shape[0],
        "stages": stages,
        "head": head,
    }


def _blocks(space: SearchSpace, state: Mapping[str, Tensor], stage: int, head_dim: int) -> Iterator[MobileBlock]:
    """The readable places of a stage: a bottleneck each, with the attention that stands before it."""
    offered = f"stages[{stage}].blocks[0].attention" in space.index
    attention: MobileAttention = {"kind": "none", "num_heads": 0}
    number = 0
    while any(name.startswith(f"stages.{stage}.blocks.{number}.") for name in state):
        at = f"stages.{stage}.blocks.{number}"
        number += 1
        query = state.get(f"{at}.attn.query.proj.weight")
        if query is not None:
            attention = {"kind": "mqa", "num_heads": query.shape[0] // head_dim}
            continue
        bottleneck = _bottleneck(state, at)
        block: MobileBlock = {"kernels": bottleneck.kernels, "expansion": bottleneck.expansion}
        if offered or attention["num_heads"]:
            block["attention"] = attention
        yield block
        attention = {"kind": "none", "num_heads": 0}


@dataclass(frozen=True, slots=True)
class _Bottleneck:
    """What the weights of a bottleneck show."""

    embed_dim: int
    expansion: Any  # a fraction where the weights are of no space
    kernels: KernelSides


def _bottleneck(state: Mapping[str, Tensor], at: str) -> _Bottleneck:
    start, mid = (state.get(f"{at}.dw_{place}.conv.weight") for place in ("start", "mid"))
    widening = state[f"{at}.pw_exp.conv.weight"]
    hidden, in_dim = widening.shape[:2]
    return _Bottleneck(
        embed_dim=state[f"{at}.pw_proj.conv.weight"].shape[0],
        expansion=ratio_of(hidden, in_dim),
        kernels={
            "start": 0 if start is None else start.shape[-1],
            "expand": widening.shape[-1],
            "mid": 0 if mid is None else mid.shape[-1],
        },
    )


def _fresh(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, str]:
    """Weights that stay as they were initialised, because the task differs, with what to say of them."""
    fresh: dict[str, str] = {}
    if HEAD[0] in state and state[HEAD[0]].shape[0] != own[HEAD[0]].shape[0]:
        have, want = state[HEAD[0]].shape[0], own[HEAD[0]].shape[0]
        fresh = dict.fromkeys(HEAD, f"the head is freshly initialised: {have} classes there, {want} here")
    if STEM in state and state[STEM].shape[1] != own[STEM].shape[1]:
        have, want = state[STEM].shape[1], own[STEM].shape[1]
        fresh[STEM] = f"the first convolution is freshly initialised: {have} channels there, {want} here"
    return fresh


def _start_the_rest(supernet: SlicedSupernet[MobileSpec], spec: MobileSpec, source_name: str) -> Iterator[str]:
    """Initialise what the source lacks around the net that is loaded afterwards, and say how."""
    added: list[str] = []
    for index, stage in enumerate(spec.stages):
        at = f"stages.{index}"
        assert isinstance(stage.downsample, DownsampleSpec)
        quieten_bottleneck(supernet.get_submodule(f"{at}.downsample"), stage.downsample)
        known: dict[tuple[int, bool], Block] = {
            (place, isinstance(block, ConvBlockSpec)): block for place, block in zip(stage.places, stage.blocks, strict=True)
        }
        for place, module in enumerate(supernet.get_submodule(f"{at}.blocks").children()):
            conv, attention = known.get((place, True)), known.get((place, False))
            if isinstance(conv, ConvBlockSpec):
                quieten_bottleneck(module.get_submodule("conv"), conv)
            else:
                added.append(f"stages[{index}].blocks[{place}]")
                silence(module.get_submodule("conv.pw_proj.bn"))
            if getattr(module, "attention", None) is not None:
                quieten_attention(
                    module.get_submodule("attention"), attention if isinstance(attention, AttentionBlockSpec) else None
                )
    assert isinstance(spec.head, HeadSpec)
    _quieten_head(supernet.get_submodule("head"), spec.head)
    if added:
        yield f"blocks that {source_name} lacks add nothing at first: {', '.join(added)}"
    yield f"attention that {source_name} lacks adds nothing at first, and its larger kernels and further channels have no influence"


def silence(norm: nn.Module) -> None:
    """Let a batch norm give zeros."""
    norm.get_parameter("weight").zero_()
    norm.get_parameter("bias").zero_()


def quieten_bottleneck(module: nn.Module, spec: DownsampleSpec | ConvBlockSpec) -> None:
    """Take the influence of kernels and channels beyond those of ``spec``."""
    in_dim = spec.in_dim if isinstance(spec, DownsampleSpec) else spec.embed_dim
    for name, kernel in zip(("dw_start", "pw_exp", "dw_mid"), spec.kernels, strict=True):
        unit = dict(module.named_children())[name]
        if isinstance(unit, nn.Identity):
            continue
        weight = unit.get_parameter("conv.weight")
        kept, middle = max(kernel, 1), weight.shape[-1] // 2
        within = slice(middle - kept // 2, middle + kept // 2 + 1)
        inner = weight[:, :, within, within].clone()
        weight.zero_()
        weight[:, :, within, within] = inner if kernel else 1.0
    module.get_parameter("pw_exp.conv.weight")[:, in_dim:] = 0.0
    module.get_parameter("pw_proj.conv.weight")[:, spec.mlp_hidden :] = 0.0


def quieten_attention(module: nn.Module, spec: AttentionBlockSpec | None) -> None:
    """Take the influence of heads and channels beyond those of ``spec``, of all without one."""
    module.get_parameter("attn.output.proj.weight")[:, 0 if spec is None else spec.qkv_dim :] = 0.0
    if spec is not None:
        for name in ("query", "key", "value"):
            module.get_parameter(f"attn.{name}.proj.weight")[:, spec.embed_dim :] = 0.0


def _quieten_head(head: nn.Module, spec: HeadSpec) -> None:
    head.get_parameter("neck.conv.weight")[:, spec.embed_dim :] = 0.0
    if spec.hidden_dim:
        head.get_parameter("hidden.conv.weight")[:, spec.neck_dim :] = 0.0
    head.get_parameter("classifier.weight")[:, spec.hidden_dim or spec.neck_dim :] = 0.0
