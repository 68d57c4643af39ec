"""The AutoFormer supernet: the largest net's weights, of which every subnet is a slice.

Sharing ("weight entanglement", Chen et al., AutoFormer, arXiv:2107.00651, section 3.2): a narrower net keeps the leading channels
of the embedding, the leading heads of q, of k and of v, weights and biases alike, and the leading hidden channels of its MLPs; a
shallower one keeps its first blocks. So a row of q means the same head at every width. Deviations from microsoft/Cream: its rows
of q, k and v are interleaved while their biases are not, so that a bias serves q at one width and k or v at another; and its
largest embedding (256 of Tiny, 640 of Base) is wider than any that is drawn, so that the surplus never learns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from edgenas.spaces import SearchSpace, Task
from edgenas.spaces.autoformer import GEOMETRIES, AutoFormerSpec, BlockSpec, GlobalPool, assemble, lower
from edgenas.supernets.autoformer_net import AutoFormerBlock, AutoFormerNet, build_component, component_input_shape, net_forward
from edgenas.supernets.autoformer_position import Layout, make_layout
from edgenas.supernets.functional import FunctionalSubnet, transformer_block_groups


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


@lru_cache(maxsize=64)
def layout_on(grid: int, max_distance: int, device: torch.device) -> Layout:
    """The layout of a grid on a device, kept."""
    with torch.inference_mode(mode=False):  # what is kept must be fit for training too
        return Layout(*(tensor.to(device) for tensor in make_layout(grid, max_distance)))


class AutoFormerSupernet(nn.Module):
    """One set of weights that runs every architecture of an AutoFormer space.

    The parameters are those of `AutoFormerNet` at the largest architecture, under the same names. No active subnet is kept: the
    architecture is an argument of `forward`.
    """

    def __init__(self, space: SearchSpace, task: Task, *, global_pool: GlobalPool | None = None) -> None:
        super().__init__()
        self.space = space
        self.task = task
        geometry = GEOMETRIES[space.base_name]
        self.geometry = geometry if global_pool is None else replace(geometry, global_pool=global_pool)
        self.spec = lru_cache(maxsize=65536)(self._spec)
        self.net = AutoFormerNet(self._spec(tuple(space.extreme(largest=True)[0].tolist())))

    def _spec(self, genes: tuple[int, ...]) -> AutoFormerSpec:
        return assemble(self.geometry, self.task, self.space.to_json(np.asarray(genes, dtype=np.int16)))

    def slices(self, genes: tuple[int, ...]) -> dict[str, Tensor]:
        """The weights of one subnet by their names in its plain net; gradients flow through to the supernet's."""
        spec = self.spec(genes)
        result = slice_frame(dict(self.net.named_parameters()), spec.embed.embed_dim)
        for index, block_spec in enumerate(spec.blocks):
            block = self.net.blocks[index]
            assert isinstance(block, AutoFormerBlock)
            weights = slice_block(dict(block.named_parameters()), block.spec, block_spec)
            result |= {f"blocks.{index}.{name}": tensor for name, tensor in weights.items()}
        return result

    def layout(self) -> Layout:
        """Where tokens are, on this net's device."""
        return layout_on(self.geometry.grid(self.task.image_px), self.geometry.max_distance, self.net.pos_embed.device)

    def forward(self, images_NCHW: Tensor, genes: tuple[int, ...]) -> Tensor:
        """Logits, shape (N, classes), of the subnet that one row of genes stands for."""
        return net_forward(images_NCHW, self.spec(genes), self.slices(genes), self.layout())

    @torch.no_grad()
    def extract(self, genes: tuple[int, ...]) -> AutoFormerNet:
        """A plain net that computes the same and owns a copy of exactly its weights, in this net's mode, on its device."""
        with torch.device("meta"):  # nothing is drawn that the slices replace
            net = AutoFormerNet(self.spec(genes))
        copies = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in self.slices(genes).items()}
        net.load_state_dict(copies, assign=True)
        for block in net.blocks:
            assert isinstance(block, AutoFormerBlock)
            block.register_layout(Layout(*(tensor.clone() for tensor in self.layout())))
        return net.train(self.training)


def build_supernet(space: SearchSpace, task: Task, *, global_pool: GlobalPool | None = None) -> AutoFormerSupernet:
    """A freshly initialised supernet of an AutoFormer space; ``global_pool`` is the space's unless given."""
    return AutoFormerSupernet(space, task, global_pool=global_pool)


def build_net(space: SearchSpace, task: Task, genes: tuple[int, ...]) -> AutoFormerNet:
    """A freshly initialised plain net."""
    return AutoFormerNet(lower(space, np.asarray(genes, dtype=np.int16), task))


def functional_subnet(supernet: AutoFormerSupernet, genes: tuple[int, ...]) -> FunctionalSubnet:
    """One subnet as a function of its weights."""
    spec, layout = supernet.spec(genes), supernet.layout()
    groups = [group for index in range(len(spec.blocks)) for group in transformer_block_groups(f"blocks.{index}.")]

    def logits(images_NCHW: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        return net_forward(images_NCHW, spec, weights, layout)

    return FunctionalSubnet(supernet.slices(genes), logits, tuple(groups))


__all__ = [
    "AutoFormerSupernet",
    "build_component",
    "build_net",
    "build_supernet",
    "component_input_shape",
    "functional_subnet",
    "slice_block",
]
