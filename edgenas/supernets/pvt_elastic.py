"""The elastic PVT supernet: the largest net's weights, of which every subnet is a slice at its own resolution.

Sharing ("weight entanglement", Chen et al., AutoFormer, arXiv:2107.00651): a narrower net keeps the leading channels of every
embedding, the leading heads of q, of k and of v, weights and biases alike, and the leading hidden channels of an MLP, its depthwise
convolution included; a shallower stage keeps its first blocks. Only reductions have weights of their own: one set for each stride
of a convolution, one for pooling to any size. Which subnet runs is an argument of `forward`; no active one is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgenas.spaces import SearchSpace, Task
from edgenas.spaces.pvt import BlockSpec, PatchEmbedSpec, PvtSpec
from edgenas.spaces.pvt_elastic import GEOMETRIES, NUM_STAGES, lower
from edgenas.supernets.pvt_functional import functional_subnet
from edgenas.supernets.pvt_net import (
    NORM_EPS,
    PvtBlock,
    PvtNet,
    PvtStage,
    block_forward,
    build_component,
    component_input_shape,
    initialise,
    patch_embed_forward,
    pool_matrix,
    resized,
)

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


class PvtElasticSupernet(nn.Module):
    """One set of weights that runs every architecture of an elastic PVT space.

    The parameters are those of `PvtNet` at the largest widths under the same names, and ``attn.reductions`` of every block.
    """

    def __init__(self, space: SearchSpace, task: Task) -> None:
        super().__init__()
        self.space = space
        self.task = task
        self.geometry = GEOMETRIES[space.base_name]
        self.spec = lru_cache(maxsize=65536)(self._spec)
        largest = self._spec(tuple(space.extreme(largest=True)[0].tolist()))
        self.net = PvtNet(_without_reductions(largest))
        for index in range(NUM_STAGES):
            options = space.choices[space.index[f"stages[{index}].reduction"]].options
            kernels = {reduction_key(*option): _kernel(*option) for option in options if option[0] != "none"}  # type: ignore[index, misc]  # pairs
            for block in self.stage(index).blocks:
                assert isinstance(block, PvtBlock)
                block.attn.add_module("reductions", _reductions(block.spec.embed_dim, kernels))

    def _spec(self, genes: tuple[int, ...]) -> PvtSpec:
        return lower(self.space, np.asarray(genes, dtype=np.int16), self.task)

    def stage(self, index: int) -> PvtStage:
        """A stage of the largest net."""
        stage = self.net.stages[index]
        assert isinstance(stage, PvtStage)
        return stage

    def block_weights(self, stage: int, spec: PvtSpec) -> Iterator[tuple[BlockSpec, dict[str, Tensor]]]:
        """Spec and weights of every block of a subnet's stage, as `cut_block` gives them."""
        for block, block_spec in zip(self.stage(stage).blocks, spec.stages[stage].blocks, strict=False):
            yield block_spec, cut_block(dict(block.named_parameters()), block_spec)

    def patch_embed_weights(self, stage: int, spec: PvtSpec) -> dict[str, Tensor]:
        """Weights at the entrance of a subnet's stage."""
        module = self.net.patch_embed if stage == 0 else self.stage(stage).downsample
        assert module is not None
        return cut_patch_embed(dict(module.named_parameters()), spec.stages[stage].patch_embed)

    def forward(self, images_NCHW: Tensor, genes: tuple[int, ...]) -> Tensor:
        """Logits, shape (N, classes), of the subnet that one row of genes stands for; images are resized to its resolution."""
        spec = self.spec(genes)
        x = resized(images_NCHW, spec.task.image_px)
        for index, stage_spec in enumerate(spec.stages):
            x = patch_embed_forward(x, stage_spec.patch_embed, self.patch_embed_weights(index, spec))
            for block_spec, weights in self.block_weights(index, spec):
                x = block_forward(x, block_spec, joined(weights), pool_matrix(block_spec, x.device, x.dtype))
            dim, norm = stage_spec.norm.embed_dim, self.stage(index).norm
            x = F.layer_norm(x, (dim,), norm.weight[:dim], norm.bias[:dim], NORM_EPS)
        head = self.net.head
        assert isinstance(head, nn.Linear)
        return F.linear(x.mean(dim=1), head.weight[:, : spec.head.embed_dim], head.bias)

    def views(self, genes: tuple[int, ...]) -> dict[str, Tensor]:
        """A subnet's weights as views of the supernet's, by their names in its plain net; k and v are an axis of their own."""
        spec = self.spec(genes)
        result: dict[str, Tensor] = {}
        for index, stage_spec in enumerate(spec.stages):
            entrance = "patch_embed." if index == 0 else f"stages.{index}.downsample."
            result |= {entrance + name: value for name, value in self.patch_embed_weights(index, spec).items()}
            for number, (_, weights) in enumerate(self.block_weights(index, spec)):
                result |= {f"stages.{index}.blocks.{number}.{name}": value for name, value in weights.items()}
            norm = dict(self.stage(index).norm.named_parameters())
            result |= {f"stages.{index}.norm.{name}": norm[name][: stage_spec.norm.embed_dim] for name in ("weight", "bias")}
        head = dict(self.net.head.named_parameters())
        return result | {"head.weight": head["weight"][:, : spec.head.embed_dim], "head.bias": head["bias"]}

    def slices(self, genes: tuple[int, ...]) -> dict[str, Tensor]:
        """`views` in the shapes that the plain net has; gradients flow through to the supernet's."""
        with torch.device("meta"):
            shapes = PvtNet(self.spec(genes)).state_dict()
        return {name: value.reshape(shapes[name].shape) for name, value in self.views(genes).items()}

    @torch.no_grad()
    def extract(self, genes: tuple[int, ...]) -> PvtNet:
        """A plain net that computes the same and owns a copy of exactly its weights, in this net's mode, on its device."""
        with torch.device("meta"):  # nothing is drawn that the slices replace
            net = PvtNet(self.spec(genes))
        shapes = net.state_dict()
        copies = {name: value.reshape(shapes[name].shape) for name, value in self.views(genes).items()}
        contiguous = {name: value.clone(memory_format=torch.contiguous_format) for name, value in copies.items()}
        net.load_state_dict(contiguous, assign=True)
        for module in net.modules():
            if isinstance(module, PvtBlock):
                module.register_pool(self.net.head.weight.device)  # type: ignore[arg-type]  # a tensor's
        return net.requires_grad_().train(self.training)


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


def build_supernet(space: SearchSpace, task: Task) -> PvtElasticSupernet:
    """A freshly initialised supernet of an elastic PVT space."""
    return PvtElasticSupernet(space, task)


def build_net(space: SearchSpace, task: Task, genes: tuple[int, ...]) -> PvtNet:
    """A freshly initialised plain net."""
    return PvtNet(lower(space, np.asarray(genes, dtype=np.int16), task))


__all__ = [
    "PvtElasticSupernet",
    "build_component",
    "build_net",
    "build_supernet",
    "component_input_shape",
    "cut_block",
    "functional_subnet",
]
