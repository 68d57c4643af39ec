"""Plain ViTAS nets built from a spec, with timm's parameter names.

Every component takes one tensor and gives one tensor, so that a net is a chain and any part of it can be timed alone. Plain nets
and supernets compute with the same functions; what is around the blocks is AutoFormer's. Source: ViTAS (Su et al., ECCV 2022,
arXiv:2106.13700).

Shapes: N images, L tokens (1 + grid²), C channels, h heads, d channels of one head, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from edgenas.spaces.autoformer import EmbedSpec, HeadSpec
from edgenas.spaces.vitas import BlockSpec, Component, VitasSpec
from edgenas.supernets.autoformer_net import Embed, Head, embed_forward, head_forward, initialise

BLOCK_NORM_EPS = 1e-6  # the last norm has PyTorch's 1e-5, as in xiusu/ViTAS


def block_forward(x_NLC: Tensor, spec: BlockSpec, weights: Mapping[str, Tensor]) -> Tensor:
    """One block with weights of exactly ``spec``'s widths."""
    num, length, dim = x_NLC.shape
    normed = F.layer_norm(x_NLC, (dim,), weights["norm1.weight"], weights["norm1.bias"], BLOCK_NORM_EPS)
    qkv = F.linear(normed, weights["attn.qkv.weight"], weights["attn.qkv.bias"])
    head_dim = spec.qkv_dim // spec.num_heads
    q_NhLd, k_NhLd, v_NhLd = qkv.reshape(num, length, 3, spec.num_heads, head_dim).permute(2, 0, 3, 1, 4).unbind(0)
    y_NhLd = F.scaled_dot_product_attention(q_NhLd, k_NhLd, v_NhLd)
    y_NLC = y_NhLd.transpose(1, 2).reshape(num, length, spec.qkv_dim)
    x_NLC = x_NLC + F.linear(y_NLC, weights["attn.proj.weight"], weights["attn.proj.bias"])
    normed = F.layer_norm(x_NLC, (dim,), weights["norm2.weight"], weights["norm2.bias"], BLOCK_NORM_EPS)
    hidden = F.gelu(F.linear(normed, weights["mlp.fc1.weight"], weights["mlp.fc1.bias"]))
    return x_NLC + F.linear(hidden, weights["mlp.fc2.weight"], weights["mlp.fc2.bias"])


class _Attention(nn.Module):
    """Parameters of a block's attention; the rows of ``qkv`` are all of q, of k, of v, head by head."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.qkv = nn.Linear(spec.embed_dim, 3 * spec.qkv_dim)
        self.proj = nn.Linear(spec.qkv_dim, spec.embed_dim)


class Mlp(nn.Module):
    """Parameters of a block's MLP."""

    def __init__(self, embed_dim: int, mlp_hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, mlp_hidden)
        self.fc2 = nn.Linear(mlp_hidden, embed_dim)


class VitasBlock(nn.Module):
    """Tokens to tokens, (N, L, C) both."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.spec = spec
        self.norm1 = nn.LayerNorm(spec.embed_dim, eps=BLOCK_NORM_EPS)
        self.attn = _Attention(spec)
        self.norm2 = nn.LayerNorm(spec.embed_dim, eps=BLOCK_NORM_EPS)
        self.mlp = Mlp(spec.embed_dim, spec.mlp_hidden)

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Apply the block."""
        return block_forward(x_NLC, self.spec, dict(self.named_parameters()))


class VitasNet(nn.Module):
    """A plain net that owns its weights: images (N, C, H, W) to logits (N, K). Identities are not part of it.

    Linear weights, tokens and position tables start as truncated normal of 0.02, the convolution as in PyTorch.
    """

    def __init__(self, spec: VitasSpec) -> None:
        super().__init__()
        self.spec = spec
        embed, head = Embed(spec.embed), Head(spec.head)
        self.cls_token, self.pos_embed, self.patch_embed = embed.cls_token, embed.pos_embed, embed.patch_embed
        self.blocks = nn.ModuleList(VitasBlock(block) for block in spec.blocks)
        self.norm, self.head = head.norm, head.head
        initialise(self)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Logits of every image."""
        weights = dict(self.named_parameters())
        x_NLC = embed_forward(images_NCHW, self.spec.embed, weights)
        for block in self.blocks:
            x_NLC = block(x_NLC)
        return head_forward(x_NLC, self.spec.head, weights)


def build_component(component: Component) -> nn.Module:
    """One link of the chain as a module of its own, freshly initialised, in eval mode."""
    module: nn.Module
    match component:
        case EmbedSpec():
            module = Embed(component)
        case BlockSpec():
            module = VitasBlock(component)
        case HeadSpec():
            module = Head(component)
    initialise(module)
    return module.eval()


def component_input_shape(component: Component) -> tuple[int, ...]:
    """Shape of what one image is at the entrance of a component, without the batch axis."""
    if isinstance(component, EmbedSpec):
        return (component.in_channels, component.image_px, component.image_px)
    return (component.grid**2 + 1, component.embed_dim)
