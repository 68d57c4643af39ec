"""The PiT supernet: the largest net's weights, of which every subnet is a slice.

A token's channels form a table of ``base_dim`` rows and one column a head, stored row by row. A narrower net keeps the leading rows
of the table and, with half the heads, every other column, beginning with the first: the channels of a narrow net are those of every
wider one, and a channel keeps its place. Evenly spaced columns, and not the leading ones, make both sides of a pooling agree at any
two numbers of heads. A channel is pooled from, or into, the nearest kept column to its left, which is itself where both sides
keep it, and in this order that is just how a grouped convolution groups channels. So the extracted net needs no permutation.

Rows of q, k and v and columns of the projection are those of the leading heads, and of each head the leading ``base_dim``; the
pooling's filters those of the side that has more heads. An MLP keeps its leading hidden channels, a stage its first blocks
("weight entanglement", Chen et al., AutoFormer, arXiv:2107.00651, section 3.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from edgenas.spaces import SearchSpace, Task
from edgenas.spaces.pit import BlockSpec, PitSpec, PoolSpec, lower
from edgenas.supernets.functional import WeightGroup, transformer_block_groups
from edgenas.supernets.pit_net import PitNet, PitStage, build_component, component_input_shape
from edgenas.supernets.sliced import ComponentWeights, Sharing, SlicedSupernet
from edgenas.supernets.slots import weights_of


@dataclass(frozen=True, slots=True)
class Table:
    """Channels of a token in the largest net: ``base_dim`` rows of ``num_heads`` columns."""

    base_dim: int
    num_heads: int

    def slice(self, tensor: Tensor, axis: int, base_dim: int, num_heads: int) -> Tensor:
        """The channels of a narrower net along ``axis``, counted from the front: a view where no column is left out."""
        table = _unfolded(tensor, axis, self.base_dim, self.num_heads)
        kept = (*(slice(None),) * axis, slice(base_dim), slice(None, None, self.num_heads // num_heads))
        return table[kept].flatten(axis, axis + 1)


def _unfolded(tensor: Tensor, axis: int, *sizes: int) -> Tensor:
    """The tensor with one axis as several."""
    return tensor.reshape(*tensor.shape[:axis], *sizes, *tensor.shape[axis + 1 :])


def slice_block(weights: Mapping[str, Tensor], largest: BlockSpec, spec: BlockSpec) -> dict[str, Tensor]:
    """A block's weights at the widths of ``spec``.

    Args:
        weights: of the largest block, by name.
        largest: its widths.
        spec: widths to cut to, none above the largest's; its heads divide the largest's.
    """
    table, base, heads, hidden = Table(largest.base_dim, largest.num_heads), spec.base_dim, spec.num_heads, spec.mlp_hidden

    def of_token(name: str, axis: int = 0) -> Tensor:
        return table.slice(weights[name], axis, base, heads)

    def of_heads(tensor: Tensor, axis: int, groups: int) -> Tensor:
        """Leading channels of the leading heads of ``groups`` stacked projections."""
        parts = _unfolded(tensor, axis, groups, table.num_heads, table.base_dim)
        return parts.narrow(axis + 1, 0, heads).narrow(axis + 2, 0, base).flatten(axis, axis + 2)

    names = ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias", "attn.proj.bias", "mlp.fc2.bias")
    return {name: of_token(name) for name in names} | {
        "attn.qkv.weight": of_heads(of_token("attn.qkv.weight", 1), 0, 3),
        "attn.qkv.bias": of_heads(weights["attn.qkv.bias"], 0, 3),
        "attn.proj.weight": of_heads(of_token("attn.proj.weight"), 1, 1),
        "mlp.fc1.weight": table.slice(weights["mlp.fc1.weight"][:hidden], 1, base, heads),
        "mlp.fc1.bias": weights["mlp.fc1.bias"][:hidden],
        "mlp.fc2.weight": of_token("mlp.fc2.weight")[:, :hidden],
    }


def slice_pool(weights: Mapping[str, Tensor], largest: PoolSpec, spec: PoolSpec) -> dict[str, Tensor]:
    """A pooling's weights at the widths of ``spec``; arguments as of `slice_block`."""
    table, base = Table(largest.base_dim, largest.num_heads), spec.base_dim
    filters = table.slice(weights["conv.weight"], 0, base, max(spec.in_heads, spec.num_heads))
    linear = table.slice(table.slice(weights["fc.weight"], 0, base, spec.num_heads), 1, base, spec.in_heads)
    return {
        "conv.weight": filters.reshape(spec.embed_dim, -1, 3, 3),
        "conv.bias": table.slice(weights["conv.bias"], 0, base, spec.num_heads),
        "fc.weight": linear,
        "fc.bias": table.slice(weights["fc.bias"], 0, base, spec.num_heads),
    }


def slice_frame(net: PitNet, spec: PitSpec) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights before the first and after the last stage of the largest net at the widths of ``spec``."""
    weights, largest, base = weights_of(net), net.spec.embed, spec.embed.base_dim
    table = Table(largest.base_dim, largest.num_heads)
    axes = {"patch_embed.conv.weight": 0, "patch_embed.conv.bias": 0, "pos_embed": 1, "cls_token": 2}
    first = {name: table.slice(weights[name], axis, base, spec.embed.num_heads) for name, axis in axes.items()}
    table = Table(net.spec.head.base_dim, net.spec.head.num_heads)
    axes = {"norm.weight": 0, "norm.bias": 0, "head.weight": 1}
    last = {name: table.slice(weights[name], axis, base, spec.head.num_heads) for name, axis in axes.items()}
    return first, last | {"head.bias": weights["head.bias"]}


def parts(supernet: SlicedSupernet[PitSpec], spec: PitSpec) -> Iterator[ComponentWeights]:
    """The weights of every component of one subnet."""
    net = supernet.net
    assert isinstance(net, PitNet)
    first, last = slice_frame(net, spec)
    yield ComponentWeights("", first)
    for index, (stage_spec, largest) in enumerate(zip(spec.stages, net.spec.stages, strict=True)):
        stage, at = net.transformers[index], f"transformers.{index}."
        assert isinstance(stage, PitStage)
        if stage_spec.pool is not None and stage.pool is not None and largest.pool is not None:
            yield ComponentWeights(f"{at}pool.", slice_pool(weights_of(stage.pool), largest.pool, stage_spec.pool))
        for number, block_spec in enumerate(stage_spec.blocks):
            weights = weights_of(stage.blocks[number])
            yield ComponentWeights(f"{at}blocks.{number}.", slice_block(weights, largest.blocks[number], block_spec))
    yield ComponentWeights("", last)


def groups(spec: PitSpec) -> tuple[WeightGroup, ...]:
    """The weights of a subnet's blocks by their roles; slices of equal shape differ where base_dim and num_heads do."""
    return tuple(
        group
        for index, stage in enumerate(spec.stages)
        for number, block in enumerate(stage.blocks)
        for group in transformer_block_groups(f"transformers.{index}.blocks.{number}.", (block.base_dim, block.num_heads))
    )


SHARING = Sharing(lower, PitNet, build_component, parts, groups)


def build_supernet(space: SearchSpace, task: Task) -> SlicedSupernet[PitSpec]:
    """A freshly initialised supernet of a PiT space, with the parameters of the largest net under ``net.``."""
    return SlicedSupernet(space, task, SHARING, {"net": PitNet(lower(space, space.extreme(largest=True)[0], task))})


__all__ = [
    "SHARING",
    "build_component",
    "build_supernet",
    "component_input_shape",
    "slice_block",
    "slice_pool",
]
