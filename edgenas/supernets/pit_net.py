"""Plain PiT nets built from a spec, with timm's parameter names.

Every component takes one tensor and gives one tensor, so that a net is a chain and any part of it can be timed alone. Plain nets
and supernets compute with the same functions. Source: PiT (Heo et al., ICCV 2021, arXiv:2103.16302).

Shapes: N images, L tokens (1 + grid²), C channels, G rows or columns of the grid, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgenas.spaces.pit import BlockSpec, Component, EmbedSpec, HeadSpec, PitSpec, PoolSpec, StageSpec

NORM_EPS = 1e-6


def embed_forward(images_NCHW: Tensor, spec: EmbedSpec, weights: Mapping[str, Tensor]) -> Tensor:
    """The class token and the patches with their positions, shape (N, L, C)."""
    weight, bias = weights["patch_embed.conv.weight"], weights["patch_embed.conv.bias"]
    x_NCGG = F.conv2d(images_NCHW, weight, bias, stride=spec.stride) + weights["pos_embed"]
    class_N1C = weights["cls_token"].expand(x_NCGG.shape[0], -1, -1)
    return torch.cat([class_N1C, x_NCGG.flatten(2).transpose(1, 2)], dim=1)


def pool_forward(x_NLC: Tensor, spec: PoolSpec, weights: Mapping[str, Tensor]) -> Tensor:
    """Patches through the convolution, the class token through the linear layer; weights of exactly ``spec``'s widths."""
    x_NCGG = x_NLC[:, 1:].transpose(1, 2).reshape(x_NLC.shape[0], spec.in_dim, spec.in_grid, spec.in_grid)
    groups = min(spec.in_dim, spec.embed_dim)
    x_NCGG = F.conv2d(x_NCGG, weights["conv.weight"], weights["conv.bias"], stride=2, padding=1, groups=groups)
    class_N1C = F.linear(x_NLC[:, :1], weights["fc.weight"], weights["fc.bias"])
    return torch.cat([class_N1C, x_NCGG.flatten(2).transpose(1, 2)], dim=1)


def block_forward(x_NLC: Tensor, spec: BlockSpec, weights: Mapping[str, Tensor]) -> Tensor:
    """One block with weights of exactly ``spec``'s widths."""
    num, length, dim = x_NLC.shape
    normed = F.layer_norm(x_NLC, (dim,), weights["norm1.weight"], weights["norm1.bias"], NORM_EPS)
    qkv = F.linear(normed, weights["attn.qkv.weight"], weights["attn.qkv.bias"])
    q_NhLd, k_NhLd, v_NhLd = qkv.reshape(num, length, 3, spec.num_heads, spec.base_dim).permute(2, 0, 3, 1, 4).unbind(0)
    y_NLC = F.scaled_dot_product_attention(q_NhLd, k_NhLd, v_NhLd).transpose(1, 2).reshape(num, length, dim)
    x_NLC = x_NLC + F.linear(y_NLC, weights["attn.proj.weight"], weights["attn.proj.bias"])
    normed = F.layer_norm(x_NLC, (dim,), weights["norm2.weight"], weights["norm2.bias"], NORM_EPS)
    hidden = F.gelu(F.linear(normed, weights["mlp.fc1.weight"], weights["mlp.fc1.bias"]))
    return x_NLC + F.linear(hidden, weights["mlp.fc2.weight"], weights["mlp.fc2.bias"])


def head_forward(x_NLC: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """Logits, shape (N, K)."""
    x_NC = F.layer_norm(x_NLC[:, 0], x_NLC.shape[-1:], weights["norm.weight"], weights["norm.bias"], NORM_EPS)
    return F.linear(x_NC, weights["head.weight"], weights["head.bias"])


def net_forward(images_NCHW: Tensor, spec: PitSpec, weights: Mapping[str, Tensor]) -> Tensor:
    """Logits, shape (N, K), of a net whose weights of exactly ``spec``'s widths are given by name."""

    def under(prefix: str) -> dict[str, Tensor]:
        return {name[len(prefix) :]: tensor for name, tensor in weights.items() if name.startswith(prefix)}

    x_NLC = embed_forward(images_NCHW, spec.embed, weights)
    for index, stage in enumerate(spec.stages):
        if stage.pool is not None:
            x_NLC = pool_forward(x_NLC, stage.pool, under(f"transformers.{index}.pool."))
        for number, block in enumerate(stage.blocks):
            x_NLC = block_forward(x_NLC, block, under(f"transformers.{index}.blocks.{number}."))
    return head_forward(x_NLC, weights)


class _Attention(nn.Module):
    """Parameters of a block's attention; the rows of ``qkv`` are all of q, of k, of v, head by head."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.qkv = nn.Linear(spec.embed_dim, 3 * spec.embed_dim)
        self.proj = nn.Linear(spec.embed_dim, spec.embed_dim)


class _Mlp(nn.Module):
    """Parameters of a block's MLP."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.fc1 = nn.Linear(spec.embed_dim, spec.mlp_hidden)
        self.fc2 = nn.Linear(spec.mlp_hidden, spec.embed_dim)


class PitBlock(nn.Module):
    """Tokens to tokens, (N, L, C) both."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.spec = spec
        self.norm1 = nn.LayerNorm(spec.embed_dim, eps=NORM_EPS)
        self.attn = _Attention(spec)
        self.norm2 = nn.LayerNorm(spec.embed_dim, eps=NORM_EPS)
        self.mlp = _Mlp(spec)

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Apply the block."""
        return block_forward(x_NLC, self.spec, dict(self.named_parameters()))


class Pool(nn.Module):
    """Tokens of a stage to fewer tokens of the next."""

    def __init__(self, spec: PoolSpec) -> None:
        super().__init__()
        self.spec = spec
        groups = min(spec.in_dim, spec.embed_dim)
        self.conv = nn.Conv2d(spec.in_dim, spec.embed_dim, 3, stride=2, padding=1, groups=groups)
        self.fc = nn.Linear(spec.in_dim, spec.embed_dim)

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Apply the convolution and the linear layer."""
        return pool_forward(x_NLC, self.spec, dict(self.named_parameters()))


class Embed(nn.Module):
    """An image (N, C, H, W) to tokens (N, L, C)."""

    def __init__(self, spec: EmbedSpec) -> None:
        super().__init__()
        self.spec = spec
        convolution = nn.Conv2d(spec.in_channels, spec.embed_dim, spec.patch_size, stride=spec.stride)
        self.patch_embed = nn.ModuleDict({"conv": convolution})
        self.pos_embed = nn.Parameter(torch.zeros(1, spec.embed_dim, spec.grid, spec.grid))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, spec.embed_dim))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Apply the convolution, add positions, put the class token first."""
        return embed_forward(images_NCHW, self.spec, dict(self.named_parameters()))


class Head(nn.Module):
    """Tokens (N, L, C) to logits (N, K)."""

    def __init__(self, spec: HeadSpec) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(spec.embed_dim, eps=NORM_EPS)
        self.head = nn.Linear(spec.embed_dim, spec.num_classes)

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Apply the norm and the linear layer to the class token."""
        return head_forward(x_NLC, dict(self.named_parameters()))


class PitStage(nn.Module):
    """An optional pooling, then blocks of one resolution."""

    def __init__(self, spec: StageSpec) -> None:
        super().__init__()
        self.pool = None if spec.pool is None else Pool(spec.pool)
        self.blocks = nn.ModuleList(PitBlock(block) for block in spec.blocks)

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Tokens of the stage before (or of the entrance) to this stage's tokens."""
        if self.pool is not None:
            x_NLC = self.pool(x_NLC)
        for block in self.blocks:
            x_NLC = block(x_NLC)
        return x_NLC


class PitNet(nn.Module):
    """A plain net that owns its weights: images (N, C, H, W) to logits (N, K).

    Linear weights, the token and the positions start as normal of 0.02, convolutions as in PyTorch. (TF-TAS truncates the former at
    100 deviations, which changes nothing, and draws the latter from a normal of 1.)
    """

    def __init__(self, spec: PitSpec) -> None:
        super().__init__()
        self.spec = spec
        embed, head = Embed(spec.embed), Head(spec.head)
        self.patch_embed, self.pos_embed, self.cls_token = embed.patch_embed, embed.pos_embed, embed.cls_token
        self.transformers = nn.ModuleList(PitStage(stage) for stage in spec.stages)
        self.norm, self.head = head.norm, head.head
        initialise(self)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Logits of every image."""
        x_NLC = embed_forward(images_NCHW, self.spec.embed, dict(self.named_parameters()))
        for stage in self.transformers:
            x_NLC = stage(x_NLC)
        return head_forward(x_NLC, dict(self.named_parameters()))


def initialise(module: nn.Module) -> None:
    """Draw all weights but those of convolutions anew from PyTorch's global generator."""
    for name, parameter in module.named_parameters():
        if "conv." in name:
            continue
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.02)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)


def build_component(component: Component) -> nn.Module:
    """One link of the chain as a module of its own, freshly initialised, in eval mode."""
    module: nn.Module
    match component:
        case EmbedSpec():
            module = Embed(component)
        case PoolSpec():
            module = Pool(component)
        case BlockSpec():
            module = PitBlock(component)
        case HeadSpec():
            module = Head(component)
    initialise(module)
    return module.eval()


def component_input_shape(component: Component) -> tuple[int, ...]:
    """Shape of what one image is at the entrance of a component, without the batch axis."""
    match component:
        case EmbedSpec():
            return (component.in_channels, component.image_px, component.image_px)
        case PoolSpec():
            return (component.in_grid**2 + 1, component.in_dim)
        case BlockSpec() | HeadSpec():
            return (component.grid**2 + 1, component.embed_dim)
