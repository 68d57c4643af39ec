"""Plain AutoFormer nets built from a spec, with timm's parameter names.

Every component takes one tensor and gives one tensor, so that a net is a chain and any part of it can be timed alone.
Source: AutoFormer (Chen et al., ICCV 2021, arXiv:2107.00651).

Shapes: N images, L tokens (1 + grid²), C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from edgenas.spaces.autoformer import AutoFormerSpec, BlockSpec, EmbedSpec, GlobalPool, HeadSpec
from edgenas.supernets.autoformer_position import RelativePosition, make_layout, relative_attention
from edgenas.supernets.transformer import Block

NORM_EPS = 1e-5


class BlockLike(Protocol):
    """The spec of a block of tokens."""

    @property
    def grid(self) -> int:
        """Rows and columns of patches."""
        ...

    @property
    def embed_dim(self) -> int:
        """Channels of a token."""
        ...


B = TypeVar("B", bound=BlockLike)


class Attention(nn.Module):
    """Attention with relative positions: tokens to tokens, (N, L, C) both; the rows of ``qkv`` are all of q, of k, of v."""

    index_D: Tensor
    places_LE: Tensor

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.spec = spec
        self.qkv = nn.Linear(spec.embed_dim, 3 * spec.qkv_dim)
        self.proj = nn.Linear(spec.qkv_dim, spec.embed_dim)
        self.rel_pos_k = RelativePosition(spec.max_distance, spec.head_dim)
        self.rel_pos_v = RelativePosition(spec.max_distance, spec.head_dim)
        self.reset_constants()

    def reset_constants(self, device: torch.device | None = None) -> None:
        """Compute where tokens are, buffers that no file of weights holds; on PyTorch's default device by default."""
        layout = make_layout(self.spec.grid, self.spec.max_distance)
        self.register_buffer("index_D", layout.index_D.to(device=device), persistent=False)
        self.register_buffer("places_LE", layout.places_LE.to(device=device), persistent=False)

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Apply the attention."""
        num, length, _ = x_NLC.shape
        spec = self.spec
        q, k, v = self.qkv(x_NLC).reshape(num, length, 3, spec.num_heads, spec.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        vectors_of_keys, vectors_of_values = self.rel_pos_k(self.index_D), self.rel_pos_v(self.index_D)
        y_NhLd = relative_attention((q, k, v), vectors_of_keys, vectors_of_values, self.places_LE, spec.grid)
        y_NLC: Tensor = self.proj(y_NhLd.transpose(1, 2).reshape(num, length, spec.qkv_dim))
        return y_NLC


class PatchEmbed(nn.Module):
    """A convolution that strides over its kernel: an image (N, C, H, W) to tokens (N, L, C)."""

    def __init__(self, spec: EmbedSpec) -> None:
        super().__init__()
        self.proj = nn.Conv2d(spec.in_channels, spec.embed_dim, spec.patch_size, stride=spec.patch_size)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Apply the convolution."""
        x_NCGG: Tensor = self.proj(images_NCHW)
        return x_NCGG.flatten(2).transpose(1, 2)


def with_class_token(x_NLC: Tensor, cls_token: Tensor) -> Tensor:
    """The class token, shape (1, 1, C), before the tokens of every image."""
    return torch.cat([cls_token.expand(x_NLC.shape[0], -1, -1), x_NLC], dim=1)


def pooled(x_NLC: Tensor, global_pool: GlobalPool) -> Tensor:
    """What the head reads of the tokens: the first, or the mean of the others; shape (N, C)."""
    return x_NLC[:, 0] if global_pool == "token" else x_NLC[:, 1:].mean(dim=1)


class Embed(nn.Module):
    """An image (N, C, H, W) to tokens (N, L, C)."""

    def __init__(self, spec: EmbedSpec) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(spec)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, spec.embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, spec.grid**2 + 1, spec.embed_dim))

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Apply the convolution, put the class token first, add positions."""
        return with_class_token(self.patch_embed(images_NCHW), self.cls_token) + self.pos_embed


class Head(nn.Module):
    """Tokens (N, L, C) to logits (N, K)."""

    def __init__(self, spec: HeadSpec) -> None:
        super().__init__()
        self.spec = spec
        self.norm = nn.LayerNorm(spec.embed_dim, eps=NORM_EPS)
        self.head = nn.Linear(spec.embed_dim, spec.num_classes)

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Apply the norm, the pooling and the linear layer."""
        logits_NK: Tensor = self.head(pooled(self.norm(x_NLC), self.spec.global_pool))
        return logits_NK


def build_block(spec: BlockSpec) -> Block:
    """Tokens to tokens, (N, L, C) both."""
    return Block(Attention(spec), embed_dim=spec.embed_dim, mlp_hidden=spec.mlp_hidden, eps=NORM_EPS)


class ClassTokenNet(nn.Module):
    """A plain net that owns its weights: images (N, C, H, W) to logits (N, K); an entrance, blocks one after the other, a head.

    Linear weights, tokens and position tables start as in AutoFormer, truncated normal of 0.02; the convolution as in PyTorch.

    Args:
        embed, head: before and after the blocks.
        blocks: tokens to tokens, freshly initialised; made after the entrance and the head.
    """

    def __init__(self, embed: EmbedSpec, blocks: Iterable[nn.Module], head: HeadSpec) -> None:
        super().__init__()
        entrance, end = Embed(embed), Head(head)
        self.cls_token, self.pos_embed, self.patch_embed = entrance.cls_token, entrance.pos_embed, entrance.patch_embed
        self.blocks = nn.ModuleList(blocks)
        self.norm, self.head = end.norm, end.head
        self.global_pool = head.global_pool
        initialise(self)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Logits of every image."""
        x_NLC = with_class_token(self.patch_embed(images_NCHW), self.cls_token) + self.pos_embed
        for block in self.blocks:
            x_NLC = block(x_NLC)
        logits_NK: Tensor = self.head(pooled(self.norm(x_NLC), self.global_pool))
        return logits_NK


class AutoFormerNet(ClassTokenNet):
    """A plain AutoFormer net."""

    def __init__(self, spec: AutoFormerSpec) -> None:
        super().__init__(spec.embed, (build_block(block) for block in spec.blocks), spec.head)
        self.spec = spec


def initialise(module: nn.Module) -> None:
    """Draw all weights anew from PyTorch's global generator."""
    for name, parameter in module.named_parameters():
        if parameter.dim() > 1 and "patch_embed" not in name:
            nn.init.trunc_normal_(parameter, std=0.02)
        elif name.endswith("bias") and "patch_embed" not in name:
            nn.init.zeros_(parameter)


def build_component(component: Hashable) -> nn.Module:
    """One link of the chain as a module of its own, freshly initialised, in eval mode.

    Raises:
        ValueError: if it is no component of an AutoFormer net.
    """
    return component_of("an AutoFormer net", component, BlockSpec, build_block)


def component_of(net: str, component: Hashable, block: type[B], build_block: Callable[[B], nn.Module]) -> nn.Module:
    """As `build_component`, for a `ClassTokenNet` with other blocks.

    Args:
        net: for messages.
        component: entrance, block or head.
        block: the spec of its blocks.
        build_block: from their spec.
    """
    module: nn.Module
    if isinstance(component, EmbedSpec):
        module = Embed(component)
    elif isinstance(component, block):
        module = build_block(component)
    elif isinstance(component, HeadSpec):
        module = Head(component)
    else:
        raise ValueError(f"{component} is no component of {net}")
    initialise(module)
    return module.eval()


def component_input_shape(component: Hashable) -> tuple[int, ...]:
    """Shape of what one image is at the entrance of a component, without the batch axis.

    Raises:
        ValueError: as `build_component`.
    """
    return input_shape_of("an AutoFormer net", component, BlockSpec)


def input_shape_of(net: str, component: Hashable, block: type[BlockLike]) -> tuple[int, ...]:
    """As `component_input_shape`, for a `ClassTokenNet` with other blocks; arguments as `component_of`."""
    if isinstance(component, EmbedSpec):
        return (component.in_channels, component.image_px, component.image_px)
    if isinstance(component, (block, HeadSpec)):
        return (component.grid**2 + 1, component.embed_dim)
    raise ValueError(f"{component} is no component of {net}")
