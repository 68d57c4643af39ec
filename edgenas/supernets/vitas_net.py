"""Plain ViTAS nets built from a spec, with timm's parameter names.

Every component takes one tensor and gives one tensor, so that a net is a chain and any part of it can be timed alone. What is
around the blocks is AutoFormer's. Source: ViTAS (Su et al., ECCV 2022, arXiv:2106.13700).

Shapes: N images, L tokens (1 + grid²), C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Hashable

from torch import Tensor, nn

from edgenas.spaces.autoformer import EmbedSpec, HeadSpec
from edgenas.spaces.vitas import BlockSpec, VitasSpec
from edgenas.supernets.autoformer_net import Embed, Head, initialise, pooled, with_class_token
from edgenas.supernets.transformer import Block, SelfAttention

BLOCK_NORM_EPS = 1e-6  # the last norm has PyTorch's 1e-5, as in xiusu/ViTAS


def build_block(spec: BlockSpec) -> Block:
    """Tokens to tokens, (N, L, C) both."""
    attention = SelfAttention(spec.embed_dim, spec.qkv_dim, spec.num_heads)
    return Block(attention, embed_dim=spec.embed_dim, mlp_hidden=spec.mlp_hidden, eps=BLOCK_NORM_EPS)


class VitasNet(nn.Module):
    """A plain net that owns its weights: images (N, C, H, W) to logits (N, K). Identities are not part of it.

    Linear weights, tokens and position tables start as truncated normal of 0.02, the convolution as in PyTorch.
    """

    def __init__(self, spec: VitasSpec) -> None:
        super().__init__()
        self.spec = spec
        embed, head = Embed(spec.embed), Head(spec.head)
        self.cls_token, self.pos_embed, self.patch_embed = embed.cls_token, embed.pos_embed, embed.patch_embed
        self.blocks = nn.ModuleList(build_block(block) for block in spec.blocks)
        self.norm, self.head = head.norm, head.head
        initialise(self)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Logits of every image."""
        x_NLC = with_class_token(self.patch_embed(images_NCHW), self.cls_token) + self.pos_embed
        for block in self.blocks:
            x_NLC = block(x_NLC)
        logits_NK: Tensor = self.head(pooled(self.norm(x_NLC), self.spec.head.global_pool))
        return logits_NK


def build_component(component: Hashable) -> nn.Module:
    """One link of the chain as a module of its own, freshly initialised, in eval mode.

    Raises:
        ValueError: if it is no component of a ViTAS net.
    """
    module: nn.Module
    match component:
        case EmbedSpec():
            module = Embed(component)
        case BlockSpec():
            module = build_block(component)
        case HeadSpec():
            module = Head(component)
        case _:
            raise ValueError(f"{component} is no component of a ViTAS net")
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
        case BlockSpec() | HeadSpec():
            return (component.grid**2 + 1, component.embed_dim)
        case _:
            raise ValueError(f"{component} is no component of a ViTAS net")
