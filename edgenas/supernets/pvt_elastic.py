"""The elastic PVT supernet: the largest net's weights, of which every subnet is a slice at its own resolution.

Sharing ("weight entanglement", Chen et al., AutoFormer, arXiv:2107.00651): a narrower net keeps the leading channels of every
embedding, the leading heads of q, of k and of v, weights and biases alike, and the leading hidden channels of an MLP, its depthwise
convolution included; a shallower stage keeps its first blocks. Only reductions have weights of their own: one set for each stride
of a convolution, one for pooling to any size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from torch import Tensor, nn

from edgenas.spaces import SearchSpace, Task
from edgenas.spaces.pvt import BlockSpec, PatchEmbedSpec, PvtSpec
from edgenas.spaces.pvt_elastic import NUM_STAGES, lower
from edgenas.supernets.pvt import groups, largest_net
from edgenas.supernets.pvt_net import PvtBlock, PvtNet, PvtStage, build_component, component_input_shape, initialise
from edgenas.supernets.sliced import ComponentWeights, Sharing, SlicedSupernet
from edgenas.supernets.slots import weights_of

KV = ("attn.kv.weight", "attn.kv.bias")  # rows of k, then as many of v


def reduction_key(kind: str, size: int) -> str:
    """Name of a reduction's own weights: pooling shares them among all sizes."""
    return f"conv{size}" if kind == "conv" else kind


def cut_block(weights: Mapping[str, Tensor], spec: BlockSpec) -> dict[str, Tensor]:
    """Views of a block's weights at the widths of ``spec``, by their names in a plain block; k and v are an axis of their own.

    Args:
        weights: of the supernet's block, by name.
        spec: widths to cut to, none above the supernet's.
    """
    dim, qkv, hidden = spec.embed_dim, spec.qkv_dim, spec.mlp_hidden
    in_dim = ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias", "attn.proj.bias", "mlp.fc2.bias")
    in_hidden = ("mlp.fc1.bias", "mlp.dwconv.weight", "mlp.dwconv.bias")
    result = {name: weights[name][:dim] for name in in_dim} | {name: weights[name][:hidden] for name in in_hidden}
    result |= {
        "attn.q.weight": weights["attn.q.weight"][:qkv, :dim],
        "attn.q.bias": weights["attn.q.bias"][:qkv],
        "attn.kv.weight": weights["attn.kv.weight"].view(2, -1, weights["attn.kv.weight"].shape[1])[:, :qkv, :dim],
        "attn.kv.bias": weights["attn.kv.bias"].view(2, -1)[:, :qkv],
        "attn.proj.weight": weights["attn.proj.weight"][:dim, :qkv],
        "mlp.fc1.weight": weights["mlp.fc1.weight"][:hidden, :dim],
        "mlp.fc2.weight": weights["mlp.fc2.weight"][:dim, :hidden],
    }
    if spec.reduction != "none":
        own = f"attn.reductions.{reduction_key(spec.reduction, spec.reduction_size)}"
        result |= {f"attn.{name}": weights[f"{own}.{name}"][:dim] for name in ("sr.bias", "norm.weight", "norm.bias")}
        result["attn.sr.weight"] = weights[f"{own}.sr.weight"][:dim, :dim]
    return result


def joined(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A block's weights in the shapes of a plain block: rows of k, then those of v."""
    return dict(weights) | {name: weights[name].flatten(0, 1) for name in KV}


def cut_patch_embed(weights: Mapping[str, Tensor], spec: PatchEmbedSpec) -> dict[str, Tensor]:
    """Views of a patch embedding's weights at the widths of ``spec``."""
    result = {name: weights[name][: spec.embed_dim] for name in ("proj.bias", "norm.weight", "norm.bias")}
    return result | {"proj.weight": weights["proj.weight"][: spec.embed_dim, : spec.in_channels]}


def stage_of(supernet: SlicedSupernet[PvtSpec], index: int) -> PvtStage:
    """A stage of the largest net."""
    stage = largest_net(supernet).stages[index]
    assert isinstance(stage, PvtStage)
    return stage


def split_parts(supernet: SlicedSupernet[PvtSpec], spec: PvtSpec) -> Iterator[ComponentWeights]:
    """The weights of every component of one subnet, all views of the supernet's; k and v are an axis of their own."""
    for index, stage_spec in enumerate(spec.stages):
        stage, at = stage_of(supernet, index), f"stages.{index}."
        entrance = largest_net(supernet).patch_embed if stage.downsample is None else stage.downsample
        prefix = "patch_embed." if stage.downsample is None else f"{at}downsample."
        yield ComponentWeights(prefix, cut_patch_embed(weights_of(entrance), stage_spec.patch_embed))
        for number, block_spec in enumerate(stage_spec.blocks):
            yield ComponentWeights(f"{at}blocks.{number}.", cut_block(weights_of(stage.blocks[number]), block_spec))
        dim = stage_spec.norm.embed_dim
        yield ComponentWeights(f"{at}norm.", {name: value[:dim] for name, value in weights_of(stage.norm).items()})
    head = weights_of(largest_net(supernet).head)
    yield ComponentWeights("head.", {"weight": head["weight"][:, : spec.head.embed_dim], "bias": head["bias"]}, inner="1.")


def parts(supernet: SlicedSupernet[PvtSpec], spec: PvtSpec) -> Iterator[ComponentWeights]:
    """`split_parts` in the shapes that the plain net has."""
    for part in split_parts(supernet, spec):
        yield replace(part, weights=joined(part.weights)) if KV[0] in part.weights else part


SHARING = Sharing(lower, PvtNet, build_component, parts, groups)


def views(supernet: SlicedSupernet[PvtSpec], genes: tuple[int, ...]) -> dict[str, Tensor]:
    """A subnet's weights as views of the supernet's, by their names in its plain net; k and v are an axis of their own."""
    return supernet.slices(genes, split_parts)


def _without_reductions(spec: PvtSpec) -> PvtSpec:
    return replace(
        spec,
        stages=tuple(
            replace(stage, blocks=tuple(replace(block, reduction="none", reduction_size=1) for block in stage.blocks))
            for stage in spec.stages
        ),
    )


def _kernel(kind: str, size: int) -> int:
    return size if kind == "conv" else 1


def _reductions(embed_dim: int, kernels: Mapping[str, int]) -> nn.ModuleDict:
    """Freshly initialised reductions: a convolution ``sr`` that strides over its kernel, and a norm."""
    made = {
        key: nn.ModuleDict({"sr": nn.Conv2d(embed_dim, embed_dim, size, stride=size), "norm": nn.LayerNorm(embed_dim)})
        for key, size in kernels.items()
    }
    return nn.ModuleDict(made).apply(initialise)


def build_supernet(space: SearchSpace, task: Task) -> SlicedSupernet[PvtSpec]:
    """A freshly initialised supernet of an elastic PVT space.

    The parameters are those of `PvtNet` at the largest widths, under ``net.``, and ``attn.reductions`` of every block.
    """
    net = PvtNet(_without_reductions(lower(space, space.extreme(largest=True)[0], task)))
    supernet = SlicedSupernet(space, task, SHARING, {"net": net})
    for index in range(NUM_STAGES):
        options = space.choices[space.index[f"stages[{index}].reduction"]].options
        kernels = {reduction_key(*option): _kernel(*option) for option in options if option[0] != "none"}  # type: ignore[index, misc]  # pairs
        for block in stage_of(supernet, index).blocks:
            assert isinstance(block, PvtBlock)
            block.attn.add_module("reductions", _reductions(block.spec.embed_dim, kernels))
    return supernet


__all__ = [
    "SHARING",
    "build_component",
    "build_supernet",
    "component_input_shape",
    "cut_block",
]
