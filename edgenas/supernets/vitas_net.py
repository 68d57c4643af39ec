"""Plain ViTAS nets built from a spec, with timm's parameter names.

Every component takes one tensor and gives one tensor, so that a net is a chain and any part of it can be timed alone. What is
around the blocks is AutoFormer's. Source: ViTAS (Su et al., ECCV 2022, arXiv:2106.13700).

Shapes: N images, L tokens (1 + grid²), C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Hashable

from torch import nn

from edgenas.spaces.vitas import BlockSpec, VitasSpec
from edgenas.supernets.autoformer_net import ClassTokenNet, component_of, input_shape_of
from edgenas.supernets.transformer import Block, SelfAttention

BLOCK_NORM_EPS = 1e-6  # the last norm has PyTorch's 1e-5, as in xiusu/ViTAS


def build_block(spec: BlockSpec) -> Block:
    """Tokens to tokens, (N, L, C) both."""
    attention = SelfAttention(spec.embed_dim, spec.qkv_dim, spec.num_heads)
    return Block(attention, embed_dim=spec.embed_dim, mlp_hidden=spec.mlp_hidden, eps=BLOCK_NORM_EPS)


class VitasNet(ClassTokenNet):
    """A plain ViTAS net; identities are not part of it."""

    def __init__(self, spec: VitasSpec) -> None:
        super().__init__(spec.embed, (build_block(block) for block in spec.blocks), spec.head)
        self.spec = spec


def build_component(component: Hashable) -> nn.Module:
    """One link of the chain as a module of its own, freshly initialised, in eval mode.

    Raises:
        ValueError: if it is no component of a ViTAS net.
    """
    return component_of("a ViTAS net", component, BlockSpec, build_block)


def component_input_shape(component: Hashable) -> tuple[int, ...]:
    """Shape of what one image is at the entrance of a component, without the batch axis.

    Raises:
        ValueError: as `build_component`.
    """
    return input_shape_of("a ViTAS net", component, BlockSpec)
