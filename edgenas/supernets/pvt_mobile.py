"""The mobile supernet: one set of weights, of which every subnet is a slice at its own resolution.

Sharing ("weight entanglement", Chen et al., AutoFormer, arXiv:2107.00651): a narrower net keeps the leading channels, a shallower
stage its first places, fewer heads the leading ones. A smaller kernel is the middle of the largest one: 3x3 of a depthwise 5x5, and
the widening 1x1 of a fused bottleneck's 3x3; plain convolutions and star blocks have weights of their own. Both kinds of attention
have the same queries, output and norm; the shared key and value of one are those of the first head of the other. Batch norms have
shared statistics, which fit no subnet: `edgenas.training.recalibration` estimates those of every chosen one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from edgenas.spaces import SearchSpace, Task
from edgenas.spaces.pvt_mobile import (
    NO_ATTENTION,
    AttentionBlockSpec,
    Block,
    ConvBlockSpec,
    DownsampleSpec,
    Entrance,
    Exit,
    Kernels,
    MobileSpec,
    StarBlockSpec,
    StarEntranceSpec,
    StarHeadSpec,
    is_plain,
    lower,
    star_of,
)
from edgenas.supernets.functional import WeightGroup
from edgenas.supernets.pvt_mobile_net import (
    AttentionBlock,
    ConvBlock,
    MobileNet,
    PlainBlock,
    begin_quietly,
    build_component,
    build_downsample,
    build_head,
    build_stem,
    component_input_shape,
    initialise,
)
from edgenas.supernets.pvt_mobile_star_net import StarBlock
from edgenas.supernets.sliced import ComponentWeights, Sharing, SlicedSupernet
from edgenas.supernets.slots import tensors_of

Weights = Mapping[str, Tensor]
NORM = ("weight", "bias", "running_mean", "running_var")


def cut_conv(weight: Tensor, outputs: int, inputs: int, kernel: int) -> Tensor:
    """The middle of a convolution's kernels, of its leading outputs and inputs; a view.

    Args:
        weight: shape (outputs, inputs, rows, columns).
        outputs: kept.
        inputs: kept; any number for a depthwise convolution, which has one.
        kernel: rows kept, odd as those there are.
    """
    margin = (weight.shape[-1] - kernel) // 2
    middle = slice(margin, margin + kernel)
    return weight[:outputs, :inputs, middle, middle]


def cut_norm(tensors: Weights, name: str, dim: int) -> dict[str, Tensor]:
    """Parameters and statistics of a batch norm for its leading channels."""
    kept = {f"{name}.{own}": tensors[f"{name}.{own}"][:dim] for own in NORM}
    return kept | {f"{name}.num_batches_tracked": tensors[f"{name}.num_batches_tracked"]}


def cut_unit(tensors: Weights, name: str, outputs: int, inputs: int, kernel: int) -> dict[str, Tensor]:
    """A convolution, its biases and its batch norm, where it has them; arguments as of `cut_conv`."""
    at = f"{name}." if name else ""
    result = {f"{at}conv.weight": cut_conv(tensors[f"{at}conv.weight"], outputs, inputs, kernel)}
    if f"{at}conv.bias" in tensors:
        result[f"{at}conv.bias"] = tensors[f"{at}conv.bias"][:outputs]
    return result | (cut_norm(tensors, f"{at}bn", outputs) if f"{at}bn.weight" in tensors else {})


def cut_bottleneck(tensors: Weights, spec: DownsampleSpec | ConvBlockSpec) -> dict[str, Tensor]:
    """A bottleneck's, or a plain convolution's, weights and statistics at the widths and kernels of ``spec``."""
    in_dim = spec.in_dim if isinstance(spec, DownsampleSpec) else spec.embed_dim
    if is_plain(spec.kernels):
        return cut_unit(tensors, "", spec.embed_dim, in_dim, spec.kernels[2])
    (start, expand, mid), hidden = spec.kernels, spec.mlp_hidden
    result = cut_unit(tensors, "dw_start", in_dim, 1, start) if start else {}
    result |= cut_unit(tensors, "pw_exp", hidden, in_dim, expand)
    result |= cut_unit(tensors, "dw_mid", hidden, 1, mid) if mid else {}
    result |= cut_unit(tensors, "pw_proj", spec.embed_dim, hidden, 1)
    return result | _cut_scale(tensors, spec)


def cut_star(tensors: Weights, spec: StarBlockSpec) -> dict[str, Tensor]:
    """A star block's weights and statistics at the widths and kernels of ``spec``."""
    dim, hidden = spec.embed_dim, spec.mlp_hidden
    result = cut_unit(tensors, "dwconv", dim, 1, spec.kernel)
    result |= cut_unit(tensors, "f1", hidden, dim, 1) | cut_unit(tensors, "f2", hidden, dim, 1)
    return result | cut_unit(tensors, "g", dim, hidden, 1) | cut_unit(tensors, "dwconv2", dim, 1, spec.kernel)


def cut_entrance(tensors: Weights, spec: Entrance) -> dict[str, Tensor]:
    """The weights and statistics of a stage's entrance at the widths of ``spec``."""
    if isinstance(spec, StarEntranceSpec):
        return cut_unit(tensors, "", spec.embed_dim, spec.in_dim, 3)
    return cut_bottleneck(tensors, spec)


def cut_block(tensors: Weights, spec: Block) -> dict[str, Tensor]:
    """The weights and statistics of a block of any kind at the widths and kernels of ``spec``."""
    match spec:
        case StarBlockSpec():
            return cut_star(tensors, spec)
        case AttentionBlockSpec():
            return cut_attention(tensors, spec)
    return cut_bottleneck(tensors, spec)


def cut_attention(tensors: Weights, spec: AttentionBlockSpec) -> dict[str, Tensor]:
    """An attention's weights and statistics at the widths and of the kind of ``spec``."""
    dim, qkv_dim, kv_dim = spec.embed_dim, spec.qkv_dim, spec.kv_dim
    result = cut_norm(tensors, "norm", dim)
    for name, outputs in (("query", qkv_dim), ("key", kv_dim), ("value", kv_dim)):
        result[f"attn.{name}.proj.weight"] = tensors[f"attn.{name}.proj.weight"][:outputs, :dim]
        if name != "query" and spec.kind == "mqa" and spec.kv_stride > 1:
            result[f"attn.{name}.down_conv.weight"] = tensors[f"attn.{name}.down_conv.weight"][:dim]
            result |= cut_norm(tensors, f"attn.{name}.norm", dim)
    result["attn.output.proj.weight"] = tensors["attn.output.proj.weight"][:dim, :qkv_dim]
    return result | _cut_scale(tensors, spec)


def cut_head(tensors: Weights, spec: Exit) -> dict[str, Tensor]:
    """The head's weights and statistics at the widths of ``spec``."""
    if isinstance(spec, StarHeadSpec):
        classifier = {"classifier.weight": tensors["classifier.weight"][:, : spec.embed_dim]}
        return cut_norm(tensors, "norm", spec.embed_dim) | classifier | {"classifier.bias": tensors["classifier.bias"]}
    result = cut_unit(tensors, "neck", spec.neck_dim, spec.embed_dim, 1) if spec.neck_dim else {}
    result |= cut_unit(tensors, "hidden", spec.hidden_dim, spec.pooled_dim, 1) if spec.hidden_dim else {}
    weight, bias = tensors["classifier.weight"], tensors["classifier.bias"]
    return result | {"classifier.weight": weight[:, : spec.last_dim], "classifier.bias": bias}


def _cut_scale(tensors: Weights, spec: DownsampleSpec | ConvBlockSpec | AttentionBlockSpec) -> dict[str, Tensor]:
    return {"layer_scale.gamma": tensors["layer_scale.gamma"][: spec.embed_dim]} if spec.layer_scale else {}


class PlaceWeights(nn.Module):
    """The weights of all that may stand in one place of a stage."""

    def __init__(
        self,
        conv: ConvBlockSpec,
        plain: ConvBlockSpec | None,
        attention: AttentionBlockSpec | None,
        star: StarBlockSpec | None = None,
    ) -> None:
        super().__init__()
        self.conv = ConvBlock(conv)
        self.plain = None if plain is None else PlainBlock(plain)
        self.star = None if star is None else StarBlock(star)
        self.attention = None if attention is None else AttentionBlock(attention)


class StageWeights(nn.Module):
    """The weights of one stage at its largest widths."""

    def __init__(self, downsample: Entrance, places: list[PlaceWeights]) -> None:
        super().__init__()
        self.downsample = build_downsample(downsample)
        self.blocks = nn.ModuleList(places)


def _part(prefix: str, tensors: Weights) -> ComponentWeights:
    """Weights and statistics apart."""
    is_statistic = {name: name.endswith(("running_mean", "running_var", "num_batches_tracked")) for name in tensors}
    weights = {name: value for name, value in tensors.items() if not is_statistic[name]}
    return ComponentWeights(prefix, weights, {name: value for name, value in tensors.items() if is_statistic[name]})


def parts(supernet: SlicedSupernet[MobileSpec], spec: MobileSpec) -> Iterator[ComponentWeights]:
    """The weights of every component of one subnet, all views of the supernet's."""
    stem = tensors_of(supernet.get_submodule("stem"))
    yield _part("stem.", cut_unit(stem, "", spec.stem.embed_dim, spec.stem.in_channels, 3))
    for index, stage in enumerate(spec.stages):
        at = f"stages.{index}"
        downsample = tensors_of(supernet.get_submodule(f"{at}.downsample"))
        yield _part(f"{at}.downsample.", cut_entrance(downsample, stage.downsample))
        for number, (place, block) in enumerate(zip(stage.places, stage.blocks, strict=True)):
            own = tensors_of(supernet.get_submodule(f"{at}.blocks.{place}.{kind_of(block)}"))
            yield _part(f"{at}.blocks.{number}.", cut_block(own, block))
    yield _part("head.", cut_head(tensors_of(supernet.get_submodule("head")), spec.head))


def kind_of(block: Block) -> str:
    """Name of a block's weights in its `PlaceWeights`."""
    if isinstance(block, AttentionBlockSpec):
        return "attention"
    if isinstance(block, StarBlockSpec):
        return "star"
    return "plain" if is_plain(block.kernels) else "conv"


def groups(spec: MobileSpec) -> tuple[WeightGroup, ...]:
    """The weights of a subnet's blocks by their roles; smaller kernels are other slices of the same weights."""
    return tuple(
        group
        for index, stage in enumerate(spec.stages)
        for number, block in enumerate(stage.blocks)
        for group in block_groups(f"stages.{index}.blocks.{number}.", block, stage.places[number])
    )


def block_groups(prefix: str, block: Block, place: int) -> Iterator[WeightGroup]:
    """One block's groups: a bottleneck's or star's as an MLP's, strided convolutions as reductions of keys' and values' tokens."""
    if isinstance(block, StarBlockSpec):
        for name in ("dwconv", "f1", "f2", "g", "dwconv2"):
            yield WeightGroup("depthwise" if name.startswith("dw") else "mlp", (f"{prefix}{name}.conv.weight",))
        return
    if isinstance(block, ConvBlockSpec):
        start, _, mid = block.kernels
        if is_plain(block.kernels):
            yield WeightGroup("mlp", (f"{prefix}conv.weight",))
            return
        if start:
            yield WeightGroup("depthwise", (f"{prefix}dw_start.conv.weight",))
        yield WeightGroup("mlp", (f"{prefix}pw_exp.conv.weight",))
        if mid:
            yield WeightGroup("depthwise", (f"{prefix}dw_mid.conv.weight",))
        yield WeightGroup("mlp", (f"{prefix}pw_proj.conv.weight",))
        return
    queries, keys, values = (f"{prefix}attn.{name}.proj.weight" for name in ("query", "key", "value"))
    if block.kind == "sra":
        yield WeightGroup("qkv", (queries, keys, values), 3, place)
    else:
        yield WeightGroup("qkv", (queries,), 1, place)
        yield WeightGroup("qkv", (keys, values), 2, place)
        if block.kv_stride > 1:
            yield WeightGroup("reduction", (f"{prefix}attn.key.down_conv.weight",), 1, place)
            yield WeightGroup("reduction", (f"{prefix}attn.value.down_conv.weight",), 1, place)
    yield WeightGroup("proj", (f"{prefix}attn.output.proj.weight",), 1, place)


SHARING = Sharing(lower, MobileNet, build_component, parts, groups)


def _places(space: SearchSpace, stage: int, blocks: tuple[Block, ...]) -> list[PlaceWeights]:
    """The largest of everything that may stand in every place of a stage."""
    lasts = [block for block in blocks if not isinstance(block, AttentionBlockSpec)]  # the last of every place
    attention = next((block for block in blocks if isinstance(block, AttentionBlockSpec)), None)
    result = []
    for place, last in enumerate(lasts):
        at = f"stages[{stage}].blocks[{place}]"
        offered: Any = space.choices[space.index[f"{at}.kernels"]].options
        bottlenecks = [each[:3] for each in offered if not (is_plain(each) or star_of(each))]
        largest: Kernels = tuple(max(kernel) for kernel in zip(*bottlenecks, strict=True))
        scaled = isinstance(last, ConvBlockSpec) and last.layer_scale
        conv = ConvBlockSpec(last.grid, last.embed_dim, last.mlp_hidden, largest, scaled)
        plain = next((replace(conv, mlp_hidden=0, kernels=each[:3]) for each in offered if is_plain(each)), None)
        made = PlaceWeights(conv, plain, attention, last if isinstance(last, StarBlockSpec) else None)
        if made.attention is not None and _offers(space, f"{at}.attention", "mqa"):
            assert attention is not None
            shared = AttentionBlock(replace(attention, kind="mqa"))
            for name in ("key", "value"):  # all heads have keys of their own here; those of one are reduced by convolutions
                own, strided = made.attention.attn.get_submodule(name), shared.attn.get_submodule(name)
                own.add_module("down_conv", strided.get_submodule("down_conv"))
                own.add_module("norm", strided.get_submodule("norm"))
        result.append(made)
    return result


def _offers(space: SearchSpace, name: str, kind: str) -> bool:
    options: Any = space.choices[space.index[name]].options if name in space.index else (NO_ATTENTION,)
    return any(option[0] == kind for option in options)


def build_supernet(space: SearchSpace, task: Task) -> SlicedSupernet[MobileSpec]:
    """A freshly initialised supernet of a mobile space, with its weights under ``stem``, ``stages`` and ``head``."""
    spec = lower(space, space.extreme(largest=True)[0], task)
    stages = [StageWeights(stage.downsample, _places(space, index, stage.blocks)) for index, stage in enumerate(spec.stages)]
    weights: dict[str, nn.Module] = {"stem": build_stem(spec.stem), "stages": nn.ModuleList(stages), "head": build_head(spec.head)}
    supernet = SlicedSupernet(space, task, SHARING, weights)
    supernet.apply(initialise).apply(begin_quietly)
    return supernet


__all__ = [
    "SHARING",
    "build_component",
    "build_supernet",
    "component_input_shape",
    "cut_attention",
    "cut_block",
    "cut_bottleneck",
    "cut_conv",
    "cut_head",
]
