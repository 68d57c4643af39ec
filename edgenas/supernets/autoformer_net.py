"""Plain AutoFormer nets built from a spec, with timm's parameter names.

Every component takes one tensor and gives one tensor, so that a net is a chain and any part of it can be timed alone. Plain nets
and supernets compute with the same functions. Source: AutoFormer (Chen et al., ICCV 2021, arXiv:2107.00651).

Shapes: N images, L tokens (1 + grid²), C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgenas.spaces.autoformer import AutoFormerSpec, BlockSpec, Component, EmbedSpec, HeadSpec
from edgenas.supernets.autoformer_position import Layout, make_layout, relative_attention

NORM_EPS = 1e-5


def embed_forward(images_NCHW: Tensor, spec: EmbedSpec, weights: Mapping[str, Tensor]) -> Tensor:
    """The class token and the patches with their positions, shape (N, L, C)."""
    weight, bias = weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"]
    x_NLC = F.conv2d(images_NCHW, weight, bias, stride=spec.patch_size).flatten(2).transpose(1, 2)
    class_N1C = weights["cls_token"].expand(x_NLC.shape[0], -1, -1)
    return torch.cat([class_N1C, x_NLC], dim=1) + weights["pos_embed"]


def block_forward(x_NLC: Tensor, spec: BlockSpec, weights: Mapping[str, Tensor], layout: Layout) -> Tensor:
    """One block with weights of exactly ``spec``'s widths."""
    num, length, dim = x_NLC.shape
    normed = F.layer_norm(x_NLC, (dim,), weights["norm1.weight"], weights["norm1.bias"], NORM_EPS)
    qkv = F.linear(normed, weights["attn.qkv.weight"], weights["attn.qkv.bias"])
    q_NhLd, k_NhLd, v_NhLd = qkv.reshape(num, length, 3, spec.num_heads, spec.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
    tables = {name[5:]: tensor for name, tensor in weights.items() if name.startswith("attn.rel_pos")}
    y_NLC = relative_attention(q_NhLd, k_NhLd, v_NhLd, tables, layout).transpose(1, 2).reshape(num, length, spec.qkv_dim)
    x_NLC = x_NLC + F.linear(y_NLC, weights["attn.proj.weight"], weights["attn.proj.bias"])
    normed = F.layer_norm(x_NLC, (dim,), weights["norm2.weight"], weights["norm2.bias"], NORM_EPS)
    hidden = F.gelu(F.linear(normed, weights["mlp.fc1.weight"], weights["mlp.fc1.bias"]))
    return x_NLC + F.linear(hidden, weights["mlp.fc2.weight"], weights["mlp.fc2.bias"])


def head_forward(x_NLC: Tensor, spec: HeadSpec, weights: Mapping[str, Tensor]) -> Tensor:
    """Logits, shape (N, K)."""
    x_NLC = F.layer_norm(x_NLC, x_NLC.shape[-1:], weights["norm.weight"], weights["norm.bias"], NORM_EPS)
    x_NC = x_NLC[:, 0] if spec.global_pool == "token" else x_NLC[:, 1:].mean(dim=1)
    return F.linear(x_NC, weights["head.weight"], weights["head.bias"])


def net_forward(images_NCHW: Tensor, spec: AutoFormerSpec, weights: Mapping[str, Tensor], layout: Layout) -> Tensor:
    """Logits, shape (N, K), of a net whose weights of exactly ``spec``'s widths are given by name."""
    x_NLC = embed_forward(images_NCHW, spec.embed, weights)
    parts: list[dict[str, Tensor]] = [{} for _ in spec.blocks]
    for name, tensor in weights.items():
        if name.startswith("blocks."):
            _, index, rest = name.split(".", 2)
            parts[int(index)][rest] = tensor
    for block, part in zip(spec.blocks, parts, strict=True):
        x_NLC = block_forward(x_NLC, block, part, layout)
    return head_forward(x_NLC, spec.head, weights)


class _RelativePosition(nn.Module):
    """Two tables of vectors: row 0 for pairs with the class token, then distances from most negative to most positive."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.vertical = nn.Parameter(torch.zeros(2 * spec.max_distance + 2, spec.head_dim))
        self.horizontal = nn.Parameter(torch.zeros(2 * spec.max_distance + 2, spec.head_dim))


class _Attention(nn.Module):
    """Parameters of a block's attention; the rows of ``qkv`` are all of q, of k, of v, head by head."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.qkv = nn.Linear(spec.embed_dim, 3 * spec.qkv_dim)
        self.proj = nn.Linear(spec.qkv_dim, spec.embed_dim)
        self.rel_pos_k = _RelativePosition(spec)
        self.rel_pos_v = _RelativePosition(spec)


class _Mlp(nn.Module):
    """Parameters of a block's MLP."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.fc1 = nn.Linear(spec.embed_dim, spec.mlp_hidden)
        self.fc2 = nn.Linear(spec.mlp_hidden, spec.embed_dim)


class AutoFormerBlock(nn.Module):
    """Tokens to tokens, (N, L, C) both."""

    index_D: Tensor
    places_LE: Tensor

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.spec = spec
        self.norm1 = nn.LayerNorm(spec.embed_dim, eps=NORM_EPS)
        self.attn = _Attention(spec)
        self.norm2 = nn.LayerNorm(spec.embed_dim, eps=NORM_EPS)
        self.mlp = _Mlp(spec)
        self.register_layout(make_layout(spec.grid, spec.max_distance))

    def register_layout(self, layout: Layout) -> None:
        """Keep the layout as buffers, which no file of weights holds."""
        self.register_buffer("index_D", layout.index_D, persistent=False)
        self.register_buffer("places_LE", layout.places_LE, persistent=False)

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Apply the block."""
        return block_forward(x_NLC, self.spec, dict(self.named_parameters()), Layout(self.index_D, self.places_LE))


class Embed(nn.Module):
    """An image (N, C, H, W) to tokens (N, L, C)."""

    def __init__(self, spec: EmbedSpec) -> None:
        super().__init__()
        self.spec = spec
        convolution = nn.Conv2d(spec.in_channels, spec.embed_dim, spec.patch_size, stride=spec.patch_size)
        self.patch_embed = nn.ModuleDict({"proj": convolution})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, spec.embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, spec.grid**2 + 1, spec.embed_dim))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Apply the convolution, put the class token first, add positions."""
        return embed_forward(images_NCHW, self.spec, dict(self.named_parameters()))


class Head(nn.Module):
    """Tokens (N, L, C) to logits (N, K)."""

    def __init__(self, spec: HeadSpec) -> None:
        super().__init__()
        self.spec = spec
        self.norm = nn.LayerNorm(spec.embed_dim, eps=NORM_EPS)
        self.head = nn.Linear(spec.embed_dim, spec.num_classes)

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Apply the norm, the pooling and the linear layer."""
        return head_forward(x_NLC, self.spec, dict(self.named_parameters()))


class AutoFormerNet(nn.Module):
    """A plain net that owns its weights: images (N, C, H, W) to logits (N, K).

    Linear weights, tokens and position tables start as in AutoFormer, truncated normal of 0.02; the convolution as in PyTorch.
    """

    def __init__(self, spec: AutoFormerSpec) -> None:
        super().__init__()
        self.spec = spec
        embed, head = Embed(spec.embed), Head(spec.head)
        self.cls_token, self.pos_embed, self.patch_embed = embed.cls_token, embed.pos_embed, embed.patch_embed
        self.blocks = nn.ModuleList(AutoFormerBlock(block) for block in spec.blocks)
        self.norm, self.head = head.norm, head.head
        initialise(self)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Logits of every image."""
        x_NLC = embed_forward(images_NCHW, self.spec.embed, dict(self.named_parameters()))
        for block in self.blocks:
            x_NLC = block(x_NLC)
        return head_forward(x_NLC, self.spec.head, dict(self.named_parameters()))


def initialise(module: nn.Module) -> None:
    """Draw all weights anew from PyTorch's global generator."""
    for name, parameter in module.named_parameters():
        if parameter.dim() > 1 and "patch_embed" not in name:
            nn.init.trunc_normal_(parameter, std=0.02)
        elif name.endswith("bias") and "patch_embed" not in name:
            nn.init.zeros_(parameter)


def build_component(component: Component) -> nn.Module:
    """One link of the chain as a module of its own, freshly initialised, in eval mode."""
    module: nn.Module
    match component:
        case EmbedSpec():
            module = Embed(component)
        case BlockSpec():
            module = AutoFormerBlock(component)
        case HeadSpec():
            module = Head(component)
    initialise(module)
    return module.eval()


def component_input_shape(component: Component) -> tuple[int, ...]:
    """Shape of what one image is at the entrance of a component, without the batch axis."""
    if isinstance(component, EmbedSpec):
        return (component.in_channels, component.image_px, component.image_px)
    return (component.grid**2 + 1, component.embed_dim)
