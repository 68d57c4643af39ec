"""Plain PiT nets built from a spec, with timm's parameter names.

Every component takes one tensor and gives one tensor, so that a net is a chain and any part of it can be timed alone.
Source: PiT (Heo et al., ICCV 2021, arXiv:2103.16302).

Shapes: N images, L tokens (1 + grid²), C channels, G rows or columns of the grid, K classes.
"""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor, nn

from edgenas.spaces.pit import BlockSpec, EmbedSpec, HeadSpec, PitSpec, PoolSpec, StageSpec
from edgenas.supernets.transformer import Block, SelfAttention

NORM_EPS = 1e-6


def with_class_token(x_NCGG: Tensor, class_N1C: Tensor) -> Tensor:
    """The class token of every image before its patches, shape (N, L, C)."""
    return torch.cat([class_N1C, x_NCGG.flatten(2).transpose(1, 2)], dim=1)


def build_block(spec: BlockSpec) -> Block:
    """Tokens to tokens, (N, L, C) both."""
    attention = SelfAttention(spec.embed_dim, spec.embed_dim, spec.num_heads)
    return Block(attention, embed_dim=spec.embed_dim, mlp_hidden=spec.mlp_hidden, eps=NORM_EPS)


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
        spec = self.spec
        x_NCGG = x_NLC[:, 1:].transpose(1, 2).reshape(x_NLC.shape[0], spec.in_dim, spec.in_grid, spec.in_grid)
        return with_class_token(self.conv(x_NCGG), self.fc(x_NLC[:, :1]))


class PatchEmbed(nn.Module):
    """A convolution of overlapping patches: an image (N, C, H, W) to a grid of them, (N, C, G, G)."""

    def __init__(self, spec: EmbedSpec) -> None:
        super().__init__()
        self.conv = nn.Conv2d(spec.in_channels, spec.embed_dim, spec.patch_size, stride=spec.stride)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Apply the convolution."""
        x_NCGG: Tensor = self.conv(images_NCHW)
        return x_NCGG


class Embed(nn.Module):
    """An image (N, C, H, W) to tokens (N, L, C)."""

    def __init__(self, spec: EmbedSpec) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(spec)
        self.pos_embed = nn.Parameter(torch.zeros(1, spec.embed_dim, spec.grid, spec.grid))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, spec.embed_dim))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Apply the convolution, add positions, put the class token first."""
        x_NCGG = self.patch_embed(images_NCHW) + self.pos_embed
        return with_class_token(x_NCGG, self.cls_token.expand(x_NCGG.shape[0], -1, -1))


class Head(nn.Module):
    """Tokens (N, L, C) to logits (N, K)."""

    def __init__(self, spec: HeadSpec) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(spec.embed_dim, eps=NORM_EPS)
        self.head = nn.Linear(spec.embed_dim, spec.num_classes)

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Apply the norm and the linear layer to the class token."""
        logits_NK: Tensor = self.head(self.norm(x_NLC[:, 0]))
        return logits_NK


class PitStage(nn.Module):
    """An optional pooling, then blocks of one resolution."""

    def __init__(self, spec: StageSpec) -> None:
        super().__init__()
        self.pool = None if spec.pool is None else Pool(spec.pool)
        self.blocks = nn.ModuleList(build_block(block) for block in spec.blocks)

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
        x_NCGG = self.patch_embed(images_NCHW) + self.pos_embed
        x_NLC = with_class_token(x_NCGG, self.cls_token.expand(x_NCGG.shape[0], -1, -1))
        for stage in self.transformers:
            x_NLC = stage(x_NLC)
        logits_NK: Tensor = self.head(self.norm(x_NLC[:, 0]))
        return logits_NK


def initialise(module: nn.Module) -> None:
    """Draw all weights but those of convolutions anew from PyTorch's global generator."""
    for name, parameter in module.named_parameters():
        if "conv." in name:
            continue
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.02)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)


def build_component(component: Hashable) -> nn.Module:
    """One link of the chain as a module of its own, freshly initialised, in eval mode.

    Raises:
        ValueError: if it is no component of a PiT net.
    """
    module: nn.Module
    match component:
        case EmbedSpec():
            module = Embed(component)
        case PoolSpec():
            module = Pool(component)
        case BlockSpec():
            module = build_block(component)
        case HeadSpec():
            module = Head(component)
        case _:
            raise ValueError(f"{component} is no component of a PiT net")
    initialise(module)
    return module.eval()


def component_input_shape(component: Hashable) -> tuple[int, ...]:
    """Shape of what one image is at the entrance of a component, without the batch axis.

    Raises:
        ValueError: as `build_component`.
    """
    match component:
        case EmbedSpec():
            return (component.in_channels, component.image_px, component.image_px)
        case PoolSpec():
            return (component.in_grid**2 + 1, component.in_dim)
        case BlockSpec() | HeadSpec():
            return (component.grid**2 + 1, component.embed_dim)
        case _:
            raise ValueError(f"{component} is no component of a PiT net")
