"""Star blocks, and the stem, entrances and head of nets of them; names inside are timm's (`timm.models.starnet`).

Shapes as in `pvt_mobile_net`. Sources as `edgenas.spaces.pvt_mobile_star`.
"""

from __future__ import annotations

from torch import Tensor, nn

from edgenas.spaces.pvt_mobile_star import StarBlockSpec, StarEntranceSpec, StarHeadSpec, StarStemSpec

STAR_STD = 0.02  # of all weights at first; biases of convolutions begin as PyTorch draws them


class BiasedConv(nn.Module):
    """A convolution with biases that keeps the grid or strides over it, and batch norm where ``norm``."""

    def __init__(
        self, in_dim: int, out_dim: int, kernel: int, *, stride: int = 1, depthwise: bool = False, norm: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_dim, out_dim, kernel, stride, kernel // 2, groups=in_dim if depthwise else 1)
        self.bn = nn.BatchNorm2d(out_dim) if norm else nn.Identity()

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Apply the two."""
        y_NCHW: Tensor = self.bn(self.conv(x_NCHW))
        return y_NCHW


class StarStem(BiasedConv):
    """An image to the first features."""

    def __init__(self, spec: StarStemSpec) -> None:
        super().__init__(spec.in_channels, spec.embed_dim, 3, stride=1 if spec.grid == spec.in_grid else 2)
        self.act = nn.ReLU6()

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Apply convolution, norm and ReLU6."""
        y_NCHW: Tensor = self.act(super().forward(x_NCHW))
        return y_NCHW


class StarEntrance(BiasedConv):
    """The entrance of a stage."""

    def __init__(self, spec: StarEntranceSpec) -> None:
        super().__init__(spec.in_dim, spec.embed_dim, 3, stride=spec.stride)
        self.spec = spec


class StarBlock(nn.Module):
    """A depthwise convolution, the product of two branches of which one is cut to 0..6, a narrowing and a depthwise one."""

    def __init__(self, spec: StarBlockSpec) -> None:
        super().__init__()
        self.spec = spec
        dim, hidden, kernel = spec.embed_dim, spec.mlp_hidden, spec.kernel
        self.dwconv = BiasedConv(dim, dim, kernel, depthwise=True)
        self.f1 = BiasedConv(dim, hidden, 1, norm=False)
        self.f2 = BiasedConv(dim, hidden, 1, norm=False)
        self.act = nn.ReLU6()
        self.g = BiasedConv(hidden, dim, 1)
        self.dwconv2 = BiasedConv(dim, dim, kernel, depthwise=True, norm=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Apply the convolutions and add what was given."""
        read_NCHW = self.dwconv(x_NCHW)
        product_NCHW = self.act(self.f1(read_NCHW)) * self.f2(read_NCHW)
        y_NCHW: Tensor = x_NCHW + self.dwconv2(self.g(product_NCHW))
        return y_NCHW


class StarHead(nn.Module):
    """Features (N, C, H, W) to logits (N, K)."""

    def __init__(self, spec: StarHeadSpec) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(spec.embed_dim)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten(1)
        self.classifier = nn.Linear(spec.embed_dim, spec.num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Apply norm, mean and classifier."""
        logits_NK: Tensor = self.classifier(self.flatten(self.pool(self.norm(x_NCHW))))
        return logits_NK


def initialise_star(module: nn.Module) -> None:
    """Draw the weights of a component of star nets anew from PyTorch's global generator, as timm does; others are left alone."""
    if isinstance(module, (StarStem, StarEntrance, StarBlock, StarHead)):
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=STAR_STD)
