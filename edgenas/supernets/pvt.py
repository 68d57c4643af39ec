"""The PVT supernet: the largest net's weights, of which every subnet is a slice.

Sharing ("weight entanglement", Chen et al., AutoFormer, arXiv:2107.00651): a narrower q, k or v keeps the leading channels of
every head, weights and biases alike, so a row means the same at every width; a narrower MLP keeps the leading hidden channels of
both linear layers and of the depthwise convolution between them; a shallower stage keeps its first blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from edgenas.spaces import SearchSpace, Task
from edgenas.spaces.pvt import BlockSpec, PvtSpec, lower
from edgenas.supernets.pvt_functional import functional_subnet
from edgenas.supernets.pvt_net import (
    PvtBlock,
    PvtNet,
    PvtStage,
    block_forward,
    build_component,
    component_input_shape,
    pool_matrix,
)


def slice_block(weights: Mapping[str, Tensor], largest: BlockSpec, spec: BlockSpec) -> dict[str, Tensor]:
    """Views of a block's weights at the widths of ``spec``.

    Args:
        weights: of the largest block, by name.
        largest: its widths.
        spec: widths to cut to, none above the largest's; heads are the same.
    """
    heads, full, width = largest.num_heads, largest.qkv_dim // largest.num_heads, spec.qkv_dim // spec.num_heads
    hidden, dim = spec.mlp_hidden, spec.embed_dim

    def per_head(tensor: Tensor, groups: int) -> Tensor:
        """Leading rows of every head of ``groups`` stacked projections."""
        parts = tensor.reshape(groups, heads, full, *tensor.shape[1:])[:, :, :width]
        return parts.reshape(groups * heads * width, *tensor.shape[1:])

    result = dict(weights)
    if width != full:
        for name, groups in (("attn.q", 1), ("attn.kv", 2)):
            for kind in ("weight", "bias"):
                result[f"{name}.{kind}"] = per_head(weights[f"{name}.{kind}"], groups)
        proj = weights["attn.proj.weight"].reshape(dim, heads, full)[:, :, :width]
        result["attn.proj.weight"] = proj.reshape(dim, heads * width)
    if hidden != largest.mlp_hidden:
        for name in ("mlp.fc1.weight", "mlp.fc1.bias", "mlp.dwconv.weight", "mlp.dwconv.bias"):
            result[name] = weights[name][:hidden]
        result["mlp.fc2.weight"] = weights["mlp.fc2.weight"][:, :hidden]
    return result


class PvtSupernet(nn.Module):
    """One set of weights that runs every architecture of a PVT space.

    The parameters are those of `PvtNet` at the largest architecture, under the same names. No active subnet is kept: the
    architecture is an argument of `forward`.
    """

    def __init__(self, space: SearchSpace, task: Task) -> None:
        super().__init__()
        self.space = space
        self.task = task
        self.net = PvtNet(lower(space, space.extreme(largest=True)[0], task))
        self.spec = lru_cache(maxsize=65536)(self._spec)

    def _spec(self, genes: tuple[int, ...]) -> PvtSpec:
        return lower(self.space, np.asarray(genes, dtype=np.int16), self.task)

    def _stage(self, index: int) -> PvtStage:
        stage = self.net.stages[index]
        assert isinstance(stage, PvtStage)
        return stage

    def forward(self, images_NCHW: Tensor, genes: tuple[int, ...]) -> Tensor:
        """Logits, shape (N, classes), of the subnet that one row of genes stands for."""
        spec = self.spec(genes)
        x_NLC = self.net.patch_embed(images_NCHW)
        for index, stage_spec in enumerate(spec.stages):
            stage = self._stage(index)
            if stage.downsample is not None:
                x_NLC = stage.downsample(x_NLC)
            for block, block_spec in zip(stage.blocks, stage_spec.blocks, strict=False):
                assert isinstance(block, PvtBlock)
                weights = slice_block(dict(block.named_parameters()), block.spec, block_spec)
                x_NLC = block_forward(x_NLC, block_spec, weights, pool_matrix(block_spec, x_NLC.device, x_NLC.dtype))
            x_NLC = stage.norm(x_NLC)
        logits_NK: Tensor = self.net.head(self.net.pool(x_NLC))
        return logits_NK

    def slices(self, genes: tuple[int, ...]) -> dict[str, Tensor]:
        """The weights of one subnet by their names in its plain net; gradients flow through to the supernet's."""
        result: dict[str, Tensor] = {name: value for name, value in self.net.named_parameters() if ".blocks." not in name}
        for stage_index, stage_spec in enumerate(self.spec(genes).stages):
            stage = self._stage(stage_index)
            for block_index, block_spec in enumerate(stage_spec.blocks):
                block = stage.blocks[block_index]
                assert isinstance(block, PvtBlock)
                weights = slice_block(dict(block.named_parameters()), block.spec, block_spec)
                result |= {f"stages.{stage_index}.blocks.{block_index}.{name}": value for name, value in weights.items()}
        return result

    @torch.no_grad()
    def extract(self, genes: tuple[int, ...]) -> PvtNet:
        """A plain net that computes the same and owns a copy of exactly its weights, in this net's mode, on its device."""
        net = PvtNet(self.spec(genes)).to(next(self.parameters()).device)
        source = self.net.state_dict() | self.slices(genes)
        net.load_state_dict({name: source[name] for name in net.state_dict()})
        return net.train(self.training)


def build_supernet(space: SearchSpace, task: Task) -> PvtSupernet:
    """A freshly initialised supernet of a PVT space."""
    return PvtSupernet(space, task)


def build_net(space: SearchSpace, task: Task, genes: tuple[int, ...]) -> PvtNet:
    """A freshly initialised plain net."""
    return PvtNet(lower(space, np.asarray(genes, dtype=np.int16), task))


__all__ = [
    "PvtSupernet",
    "build_component",
    "build_net",
    "build_supernet",
    "component_input_shape",
    "functional_subnet",
    "slice_block",
]
