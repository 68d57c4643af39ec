"""Components of mobile nets around star blocks: what one branch of a widening gives is multiplied with what the other one gives.

A star block is a depthwise convolution with batch norm, two 1x1 convolutions that widen its output, the product of both after a
ReLU6 on the first, a narrowing 1x1 convolution with batch norm, and another depthwise convolution, beside a shortcut. Its nets have
no activation between stages, biases before batch norms, and a batch norm before the mean. All of it is as in timm's
`timm.models.starnet`, so that its nets are points of spaces with these components.

Source: StarNet (Ma et al., Rewrite the Stars, CVPR 2024, arXiv:2403.19967), section 4.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StarStemSpec:
    """A 3x3 convolution, batch norm and ReLU6: an image to the first features, on half the grid or all of it."""

    in_channels: int
    embed_dim: int
    in_grid: int
    grid: int


@dataclass(frozen=True, slots=True)
class StarEntranceSpec:
    """A 3x3 convolution and batch norm at the entrance of a stage, which changes width and mostly the grid."""

    in_grid: int
    grid: int
    stride: int
    in_dim: int
    embed_dim: int


@dataclass(frozen=True, slots=True)
class StarBlockSpec:
    """A star block; ``kernel`` rows have both of its depthwise convolutions, ``mlp_hidden`` channels each of its branches."""

    grid: int
    embed_dim: int
    mlp_hidden: int
    kernel: int


@dataclass(frozen=True, slots=True)
class StarHeadSpec:
    """Batch norm, the means of all channels, and the logits."""

    grid: int
    embed_dim: int
    num_classes: int


StarComponent = StarStemSpec | StarEntranceSpec | StarBlockSpec | StarHeadSpec
