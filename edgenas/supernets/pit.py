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

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from edgenas.spaces import SearchSpace, Task
from edgenas.spaces.pit import BlockSpec, PitSpec, PoolSpec, lower
from edgenas.supernets.functional import FunctionalSubnet, transformer_block_groups
from edgenas.supernets.pit_net import PitBlock, PitNet, PitStage, Pool, build_component, component_input_shape, net_forward


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


class PitSupernet(nn.Module):
    """One set of weights that runs every architecture of a PiT space.

    The parameters are those of `PitNet` at the largest architecture, under the same names. No active subnet is kept: the
    architecture is an argument of `forward`.
    """

    def __init__(self, space: SearchSpace, task: Task) -> None:
        super().__init__()
        self.space = space
        self.task = task
        self.spec = lru_cache(maxsize=16384)(self._spec)
        self.net = PitNet(self._spec(tuple(space.extreme(largest=True)[0].tolist())))

    def _spec(self, genes: tuple[int, ...]) -> PitSpec:
        return lower(self.space, np.asarray(genes, dtype=np.int16), self.task)

    def _frame(self, spec: PitSpec) -> dict[str, Tensor]:
        """The weights before the first and after the last stage."""
        weights, largest, base = dict(self.net.named_parameters()), self.net.spec.embed, spec.embed.base_dim
        table = Table(largest.base_dim, largest.num_heads)
        axes = {"patch_embed.conv.weight": 0, "patch_embed.conv.bias": 0, "pos_embed": 1, "cls_token": 2}
        result = {name: table.slice(weights[name], axis, base, spec.embed.num_heads) for name, axis in axes.items()}
        axes = {"norm.weight": 0, "norm.bias": 0, "head.weight": 1}
        result |= {name: table.slice(weights[name], axis, base, spec.head.num_heads) for name, axis in axes.items()}
        return result | {"head.bias": weights["head.bias"]}

    def slices(self, genes: tuple[int, ...]) -> dict[str, Tensor]:
        """The weights of one subnet by their names in its plain net; gradients flow through to the supernet's."""
        spec = self.spec(genes)
        result = self._frame(spec)
        for index, stage_spec in enumerate(spec.stages):
            stage = self.net.transformers[index]
            assert isinstance(stage, PitStage)
            if stage_spec.pool is not None:
                assert isinstance(stage.pool, Pool)
                weights = slice_pool(dict(stage.pool.named_parameters()), stage.pool.spec, stage_spec.pool)
                result |= {f"transformers.{index}.pool.{name}": tensor for name, tensor in weights.items()}
            for number, block_spec in enumerate(stage_spec.blocks):
                block = stage.blocks[number]
                assert isinstance(block, PitBlock)
                weights = slice_block(dict(block.named_parameters()), block.spec, block_spec)
                result |= {f"transformers.{index}.blocks.{number}.{name}": tensor for name, tensor in weights.items()}
        return result

    def forward(self, images_NCHW: Tensor, genes: tuple[int, ...]) -> Tensor:
        """Logits, shape (N, classes), of the subnet that one row of genes stands for."""
        return net_forward(images_NCHW, self.spec(genes), self.slices(genes))

    @torch.no_grad()
    def extract(self, genes: tuple[int, ...]) -> PitNet:
        """A plain net that computes the same and owns a copy of exactly its weights, in this net's mode, on its device."""
        with torch.device("meta"):  # nothing is drawn that the slices replace
            net = PitNet(self.spec(genes))
        copies = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in self.slices(genes).items()}
        net.load_state_dict(copies, assign=True)
        return net.train(self.training)


def build_supernet(space: SearchSpace, task: Task) -> PitSupernet:
    """A freshly initialised supernet of a PiT space."""
    return PitSupernet(space, task)


def build_net(space: SearchSpace, task: Task, genes: tuple[int, ...]) -> PitNet:
    """A freshly initialised plain net."""
    return PitNet(lower(space, np.asarray(genes, dtype=np.int16), task))


def functional_subnet(supernet: PitSupernet, genes: tuple[int, ...]) -> FunctionalSubnet:
    """One subnet as a function of its weights; slices of equal shape differ where base_dim and num_heads do."""
    spec = supernet.spec(genes)
    groups = [
        group
        for index, stage in enumerate(spec.stages)
        for number, block in enumerate(stage.blocks)
        for group in transformer_block_groups(f"transformers.{index}.blocks.{number}.", (block.base_dim, block.num_heads))
    ]

    def logits(images_NCHW: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        return net_forward(images_NCHW, spec, weights)

    return FunctionalSubnet(supernet.slices(genes), logits, tuple(groups))


__all__ = [
    "PitSupernet",
    "build_component",
    "build_net",
    "build_supernet",
    "component_input_shape",
    "functional_subnet",
    "slice_block",
    "slice_pool",
]
