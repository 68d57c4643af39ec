"""The AutoFormer supernet: the largest net's weights, of which every subnet is a slice.

Sharing ("weight entanglement", Chen et al., AutoFormer, arXiv:2107.00651, section 3.2): a narrower net keeps the leading channels
of the embedding, the leading heads of q, of k and of v, weights and biases alike, and the leading hidden channels of its MLPs; a
shallower one keeps its first blocks. So a row of q means the same head at every width. Deviations from microsoft/Cream: its rows
of q, k and v are interleaved while their biases are not, so that a bias serves q at one width and k or v at another; and its
largest embedding (256 of Tiny, 640 of Base) is wider than any that is drawn, so that the surplus never learns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import cast

from torch import Tensor

from edgenas.spaces import Genes, SearchSpace, Task
from edgenas.spaces.archs import AutoFormerArch
from edgenas.spaces.autoformer import GEOMETRIES, AutoFormerSpec, BlockSpec, GlobalPool, assemble, lower
from edgenas.supernets.autoformer_net import AutoFormerNet, build_component, component_input_shape
from edgenas.supernets.functional import WeightGroup, transformer_block_groups
from edgenas.supernets.sliced import ComponentWeights, Sharing, SlicedSupernet
from edgenas.supernets.slots import weights_of


def slice_block(weights: Mapping[str, Tensor], largest: BlockSpec, spec: BlockSpec) -> dict[str, Tensor]:
    """A block's weights at the widths of ``spec``: views, but for q, k and v of fewer heads.

    Args:
        weights: of the largest block, by name.
        largest: its widths.
        spec: widths to cut to, none above the largest's.
    """
    dim, qkv, hidden = spec.embed_dim, spec.qkv_dim, spec.mlp_hidden
    result = dict(weights)
    for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias", "attn.proj.bias", "mlp.fc2.bias"):
        result[name] = weights[name][:dim]
    qkv_weight, qkv_bias = weights["attn.qkv.weight"][:, :dim], weights["attn.qkv.bias"]
    if qkv != largest.qkv_dim:
        qkv_weight = qkv_weight.reshape(3, largest.qkv_dim, dim)[:, :qkv].flatten(0, 1)
        qkv_bias = qkv_bias.reshape(3, largest.qkv_dim)[:, :qkv].flatten()
    return result | {
        "attn.qkv.weight": qkv_weight,
        "attn.qkv.bias": qkv_bias,
        "attn.proj.weight": weights["attn.proj.weight"][:dim, :qkv],
        "mlp.fc1.weight": weights["mlp.fc1.weight"][:hidden, :dim],
        "mlp.fc1.bias": weights["mlp.fc1.bias"][:hidden],
        "mlp.fc2.weight": weights["mlp.fc2.weight"][:dim, :hidden],
    }


def slice_frame(weights: Mapping[str, Tensor], embed_dim: int) -> dict[str, Tensor]:
    """Views of the weights outside of the blocks."""
    result = {name: weights[name][:embed_dim] for name in ("patch_embed.proj.weight", "patch_embed.proj.bias")}
    result |= {name: weights[name][..., :embed_dim] for name in ("cls_token", "pos_embed", "norm.weight", "norm.bias")}
    return result | {"head.weight": weights["head.weight"][:, :embed_dim], "head.bias": weights["head.bias"]}


def largest_net(supernet: SlicedSupernet[AutoFormerSpec]) -> AutoFormerNet:
    """The net whose weights subnets are slices of."""
    net = supernet.net
    assert isinstance(net, AutoFormerNet)
    return net


def parts(supernet: SlicedSupernet[AutoFormerSpec], spec: AutoFormerSpec) -> Iterator[ComponentWeights]:
    """The weights of every component of one subnet."""
    net = largest_net(supernet)
    frame = slice_frame(weights_of(net), spec.embed.embed_dim)
    last = ("norm.weight", "norm.bias", "head.weight", "head.bias")
    yield ComponentWeights("", {name: value for name, value in frame.items() if name not in last})
    for index, block_spec in enumerate(spec.blocks):
        weights = weights_of(net.blocks[index])
        yield ComponentWeights(f"blocks.{index}.", slice_block(weights, net.spec.blocks[index], block_spec))
    yield ComponentWeights("", {name: frame[name] for name in last})


def groups(spec: AutoFormerSpec) -> tuple[WeightGroup, ...]:
    """The weights of a subnet's blocks by their roles."""
    return tuple(group for index in range(len(spec.blocks)) for group in transformer_block_groups(f"blocks.{index}."))


SHARING = Sharing(lower, AutoFormerNet, build_component, parts, groups)


@dataclass(frozen=True, slots=True)
class LowerPooled:
    """As `edgenas.spaces.autoformer.lower`, but for what the head reads."""

    global_pool: GlobalPool

    def __call__(self, space: SearchSpace, genes_G: Genes, task: Task) -> AutoFormerSpec:
        """The net that one row of genes stands for."""
        geometry = replace(GEOMETRIES[space.base_name], global_pool=self.global_pool)
        return assemble(geometry, task, cast(AutoFormerArch, space.to_json(genes_G)))


def build_supernet(space: SearchSpace, task: Task, *, global_pool: GlobalPool | None = None) -> SlicedSupernet[AutoFormerSpec]:
    """A freshly initialised supernet of an AutoFormer space, with the parameters of the largest net under ``net.``.

    Args:
        space: of the AutoFormer family.
        task: classes, channels and resolution.
        global_pool: what the head reads; the space's unless given.
    """
    sharing = SHARING if global_pool is None else replace(SHARING, lower=LowerPooled(global_pool))
    return SlicedSupernet(space, task, sharing, {"net": AutoFormerNet(sharing.lower(space, space.extreme(largest=True)[0], task))})


__all__ = [
    "SHARING",
    "build_component",
    "build_supernet",
    "component_input_shape",
    "slice_block",
]
