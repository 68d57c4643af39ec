"""What the plain Transformers of several families are made of, under timm's names.

Shapes: N images, L tokens, C channels, h heads, d channels of a head.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class Mlp(nn.Module):
    """Linear, GELU, linear: tokens to tokens, (N, L, C) both."""

    def __init__(self, embed_dim: int, mlp_hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, mlp_hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(mlp_hidden, embed_dim)

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Apply the MLP."""
        y_NLC: Tensor = self.fc2(self.act(self.fc1(x_NLC)))
        return y_NLC


class SelfAttention(nn.Module):
    """Attention of tokens to each other, (N, L, C) both; the rows of ``qkv`` are all of q, of k, of v, head by head."""

    def __init__(self, embed_dim: int, qkv_dim: int, num_heads: int) -> None:
        super().__init__()
        self.qkv_dim, self.num_heads = qkv_dim, num_heads
        self.qkv = nn.Linear(embed_dim, 3 * qkv_dim)
        self.proj = nn.Linear(qkv_dim, embed_dim)

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Apply the attention."""
        num, length, _ = x_NLC.shape
        qkv = self.qkv(x_NLC).reshape(num, length, 3, self.num_heads, self.qkv_dim // self.num_heads)
        q_NhLd, k_NhLd, v_NhLd = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        y_NhLd = F.scaled_dot_product_attention(q_NhLd, k_NhLd, v_NhLd)
        y_NLC: Tensor = self.proj(y_NhLd.transpose(1, 2).reshape(num, length, self.qkv_dim))
        return y_NLC


class Block(nn.Module):
    """Attention, then an MLP, each after a norm and beside a shortcut: tokens to tokens, (N, L, C) both.

    Args:
        attention: tokens to tokens.
        embed_dim: channels of a token.
        mlp_hidden: channels inside the MLP.
        eps: what norms add to the variance.
    """

    def __init__(self, attention: nn.Module, *, embed_dim: int, mlp_hidden: int, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim, eps=eps)
        self.attn = attention
        self.norm2 = nn.LayerNorm(embed_dim, eps=eps)
        self.mlp = Mlp(embed_dim, mlp_hidden)

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Apply the block."""
        x_NLC = x_NLC + self.attn(self.norm1(x_NLC))
        y_NLC: Tensor = x_NLC + self.mlp(self.norm2(x_NLC))
        return y_NLC
