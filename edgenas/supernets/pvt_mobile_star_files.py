"""Weights of timm's StarNet nets (`timm.models.starnet`), read into a supernet of star blocks: they fill the slice that is the net.

What the source lacks starts so that the nets around it answer as the source does, as `pvt_mobile_files` says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from edgenas.errors import ArchError, CheckpointError
from edgenas.spaces import SearchSpace
from edgenas.spaces.archs import KernelSides, MobileBlock, Readable, ratio_of
from edgenas.spaces.base import RESOLUTION
from edgenas.spaces.pvt_mobile import (
    GEOMETRIES,
    NO_ATTENTION,
    PVT_MOBILE_SPACES,
    STEM_STRIDE,
    MobileSpec,
    StarBlockSpec,
    StarEntranceSpec,
)
from edgenas.supernets.pvt_mobile_files import STEM, is_in, load_named, quieten_attention, silence
from edgenas.supernets.sliced import SlicedSupernet

_OUTER = (("stem.0.", "stem."), ("norm.", "head.norm."), ("head.", "head.classifier."))
_INNER = re.compile(r"stages\.(\d+)\.(\d+)\.(.+)")


def by_our_star_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of one of timm's StarNet nets by the names of a plain mobile net; what is no part of one keeps its name."""
    return {_renamed(name): value for name, value in state.items()}


def _renamed(name: str) -> str:
    match = _INNER.match(name)
    if match is not None:
        stage, number, inner = int(match[1]), int(match[2]), match[3]
        return f"stages.{stage}.blocks.{number - 1}.{inner}" if number else f"stages.{stage}.downsample.{inner}"
    return next((new + name.removeprefix(old) for old, new in _OUTER if name.startswith(old)), name)


def load_starnet(supernet: SlicedSupernet[MobileSpec], state: Mapping[str, Tensor], source_name: str) -> tuple[str, ...]:
    """Fill ``supernet`` from the state dict of one of timm's StarNet nets; arguments and errors as of `load_timm`."""
    named = by_our_star_names(state)
    genes = _genes(supernet.space, named, source_name)
    return load_named(supernet, named, genes, source_name, _start_the_rest)


def _genes(space: SearchSpace, state: Mapping[str, Tensor], source_name: str) -> tuple[int, ...]:
    """The row of genes of the net that ``state`` is of, on the first grids, which no weight depends on."""
    stars = [other for other in PVT_MOBILE_SPACES if GEOMETRIES[other.base_name].star]
    try:
        archs = {other.name: _arch(other, state) for other in (space, *stars)}
    except KeyError as error:
        raise CheckpointError(f"{source_name} is no StarNet as timm names it: {error.args[0]} is missing") from error
    except (IndexError, ZeroDivisionError) as error:
        raise CheckpointError(f"{source_name} is no StarNet: a weight has too few axes or none of any size") from error
    try:
        return tuple(int(gene) for gene in space.from_json(archs[space.name])[0])
    except ArchError as error:
        others = [other.name for other in stars if other is not space and is_in(other, archs[other.name])]
        hint = f"it is a net of {', '.join(others)}" if others else "take a net that the space has, or start without"
        raise CheckpointError(f"{source_name} is no net of {space.name}", problems=error.problems, hint=hint) from error


def _arch(space: SearchSpace, state: Mapping[str, Tensor]) -> Readable:
    """The readable net, from the shapes of its weights."""
    stages_there = [int(match[1]) for name in state if (match := re.match(r"stages\.(\d+)\.", name)) is not None]
    none, num_heads = NO_ATTENTION
    stages = []
    for stage in range(1 + max(stages_there, default=0)):
        at, blocks = f"stages.{stage}", list[MobileBlock]()
        offered = f"stages[{stage}].blocks[0].attention" in space.index
        while f"{at}.blocks.{len(blocks)}.dwconv.conv.weight" in state:
            number = len(blocks)
            hidden, dim = state[f"{at}.blocks.{number}.f1.conv.weight"].shape[:2]
            kernel = state[f"{at}.blocks.{number}.dwconv.conv.weight"].shape[3]
            kernels: KernelSides = {"start": 0, "expand": 0, "mid": 0, "star": kernel}
            block: MobileBlock = {"kernels": kernels, "expansion": ratio_of(hidden, dim)}
            if offered:
                block["attention"] = {"kind": none, "num_heads": num_heads}
            blocks.append(block)
        stages.append({"embed_dim": state[f"{at}.downsample.conv.weight"].shape[0], "expansion": 0, "blocks": blocks})
    grids: Readable = {
        name: space.choices[space.index[name]].options[0] for name in (RESOLUTION, STEM_STRIDE) if name in space.index
    }
    return {**grids, "stem_dim": state[STEM].shape[0], "stages": stages, "head": {"neck_dim": 0, "hidden_dim": 0}}


def _start_the_rest(supernet: SlicedSupernet[MobileSpec], spec: MobileSpec, source_name: str) -> Iterator[str]:
    """Initialise what the source lacks around the net that is loaded afterwards, and say how."""
    added: list[str] = []
    for index, stage in enumerate(spec.stages):
        at = f"stages.{index}"
        assert isinstance(stage.downsample, StarEntranceSpec)
        supernet.get_parameter(f"{at}.downsample.conv.weight")[:, stage.downsample.in_dim :] = 0.0
        for place, module in enumerate(supernet.get_submodule(f"{at}.blocks").children()):
            block = stage.blocks[place] if place < len(stage.blocks) else None
            quieten_star(module.get_submodule("star"), block if isinstance(block, StarBlockSpec) else None)
            added += [] if block is not None else [f"stages[{index}].blocks[{place}]"]
            silence(module.get_submodule("conv.pw_proj.bn"))
            if getattr(module, "plain", None) is not None:
                silence(module.get_submodule("plain.bn"))
            if getattr(module, "attention", None) is not None:
                quieten_attention(module.get_submodule("attention"), None)
    supernet.get_parameter("head.classifier.weight")[:, spec.head.embed_dim :] = 0.0
    if added:
        yield f"blocks that {source_name} lacks add nothing at first: {', '.join(added)}"
    yield f"other kinds of blocks add nothing at first, and channels that {source_name} lacks have no influence"


def quieten_star(module: nn.Module, spec: StarBlockSpec | None) -> None:
    """Take the influence of kernels and channels beyond those of ``spec``, of the whole block without one."""
    last = module.get_parameter("dwconv2.conv.weight")
    if spec is None:
        last.zero_()
        module.get_parameter("dwconv2.conv.bias").zero_()
        return
    for name in ("dwconv", "dwconv2"):
        weight = module.get_parameter(f"{name}.conv.weight")
        margin = (weight.shape[-1] - spec.kernel) // 2
        kept = slice(margin, margin + spec.kernel)
        inner = weight[:, :, kept, kept].clone()
        weight.zero_()
        weight[:, :, kept, kept] = inner
    for name in ("f1", "f2"):
        module.get_parameter(f"{name}.conv.weight")[:, spec.embed_dim :] = 0.0
    module.get_parameter("g.conv.weight")[:, spec.mlp_hidden :] = 0.0
