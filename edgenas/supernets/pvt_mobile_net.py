"""Plain mobile nets built from a spec: bottlenecks of convolutions, and attention between them.

Every component takes one image of features and gives one (the head gives logits), so that a net is a chain and any part of it can
be timed alone. Names inside blocks are timm's. Attention computes on (N, h, d, L), which is the layout of the convolutions around
it: nothing is copied from one layout to another. Sources as `edgenas.spaces.pvt_mobile`.

Shapes: N images, C channels, H and W rows and columns, L = HW queries, M keys, h heads, d channels of a head, K classes.
"""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor, nn

from edgenas.spaces.pvt_mobile import (
    AttentionBlockSpec,
    Block,
    ConvBlockSpec,
    DownsampleSpec,
    Entrance,
    Exit,
    HeadSpec,
    Kernels,
    MobileSpec,
    StageSpec,
    StarBlockSpec,
    StarEntranceSpec,
    StarHeadSpec,
    StarStemSpec,
    Stem,
    StemSpec,
    is_plain,
)
from edgenas.supernets.pvt_mobile_star_net import StarBlock, StarEntrance, StarHead, StarStem, initialise_star
from edgenas.supernets.resize import resized

torch.fx.wrap("resized")  # one call of a traced graph, since what it does depends on the images

BRANCH = 0.2  # of what a supernet's block adds, at first, beside the unit of a batch norm: nets of other depths then answer alike
LINEAR_STD = 0.5  # of the classifier's weights, over the root of its inputs; as of narrow PVTs


class ConvNorm(nn.Module):
    """A convolution that keeps the grid or strides over it, batch norm, and a ReLU unless it is linear."""

    def __init__(
        self, in_dim: int, out_dim: int, kernel: int, *, stride: int = 1, depthwise: bool = False, relu: bool = True
    ) -> None:
        super().__init__()
        groups = in_dim if depthwise else 1
        self.conv = nn.Conv2d(in_dim, out_dim, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_dim)
        self.act = nn.ReLU() if relu else nn.Identity()

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Apply the three."""
        y_NCHW: Tensor = self.act(self.bn(self.conv(x_NCHW)))
        return y_NCHW


class LayerScale(nn.Module):
    """A learnt factor for every channel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), 1e-5))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Apply the factors."""
        return x_NCHW * self.gamma.view(1, -1, 1, 1)


class Bottleneck(nn.Module):
    """A depthwise convolution or none, a widening one, a depthwise one or none, a narrowing one; the last wide one strides."""

    def __init__(
        self, in_dim: int, out_dim: int, hidden: int, kernels: Kernels, *, stride: int, relu: bool, layer_scale: bool
    ) -> None:
        super().__init__()
        start, expand, mid = kernels
        if stride > 1 and not (start or mid or expand > 1):
            raise ValueError(f"kernels {kernels} cannot stride: none has more than one row")
        of_expand = stride if not mid and expand > 1 else 1
        of_start = stride if not mid and expand == 1 else 1
        self.dw_start = ConvNorm(in_dim, in_dim, start, stride=of_start, depthwise=True, relu=False) if start else nn.Identity()
        self.pw_exp = ConvNorm(in_dim, hidden, expand, stride=of_expand)
        self.dw_mid = ConvNorm(hidden, hidden, mid, stride=stride, depthwise=True) if mid else nn.Identity()
        self.pw_proj = ConvNorm(hidden, out_dim, 1, relu=relu)
        self.layer_scale = LayerScale(out_dim) if layer_scale else nn.Identity()

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Apply the convolutions."""
        y_NCHW: Tensor = self.layer_scale(self.pw_proj(self.dw_mid(self.pw_exp(self.dw_start(x_NCHW)))))
        return y_NCHW


class Downsample(Bottleneck):
    """The entrance of a stage."""

    def __init__(self, spec: DownsampleSpec) -> None:
        super().__init__(
            spec.in_dim,
            spec.embed_dim,
            spec.mlp_hidden,
            spec.kernels,
            stride=spec.stride,
            relu=spec.relu,
            layer_scale=spec.layer_scale,
        )
        self.spec = spec


class ConvBlock(Bottleneck):
    """A bottleneck beside a shortcut."""

    def __init__(self, spec: ConvBlockSpec) -> None:
        dim = spec.embed_dim
        super().__init__(dim, dim, spec.mlp_hidden, spec.kernels, stride=1, relu=False, layer_scale=spec.layer_scale)
        self.spec = spec

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Apply the convolutions and add what was given."""
        return x_NCHW + super().forward(x_NCHW)


class PlainDownsample(ConvNorm):
    """The entrance of a stage as one convolution."""

    def __init__(self, spec: DownsampleSpec) -> None:
        super().__init__(spec.in_dim, spec.embed_dim, spec.kernels[2], stride=spec.stride)
        self.spec = spec


class PlainBlock(ConvNorm):
    """A convolution beside a shortcut, and a ReLU after both (He et al., arXiv:1512.03385), which runtimes compute as one."""

    def __init__(self, spec: ConvBlockSpec) -> None:
        super().__init__(spec.embed_dim, spec.embed_dim, spec.kernels[2])
        self.spec = spec

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Apply the convolution, add what was given, and cut off below 0."""
        y_NCHW: Tensor = self.act(x_NCHW + self.bn(self.conv(x_NCHW)))
        return y_NCHW


class Projection(nn.Module):
    """A 1x1 convolution, after a strided depthwise one with batch norm where ``stride`` is above 1."""

    def __init__(self, in_dim: int, out_dim: int, *, stride: int = 1) -> None:
        super().__init__()
        strided = stride > 1
        self.down_conv = nn.Conv2d(in_dim, in_dim, 3, stride, 1, groups=in_dim, bias=False) if strided else nn.Identity()
        self.norm = nn.BatchNorm2d(in_dim) if strided else nn.Identity()
        self.proj = nn.Conv2d(in_dim, out_dim, 1, bias=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Apply the layers."""
        y_NCHW: Tensor = self.proj(self.norm(self.down_conv(x_NCHW)))
        return y_NCHW


class Attention(nn.Module):
    """Queries of every position, fewer keys and values: an image of features to one of the same shape."""

    def __init__(self, spec: AttentionBlockSpec) -> None:
        super().__init__()
        self.spec = spec
        dim, stride, multi_query = spec.embed_dim, spec.kv_stride, spec.kind == "mqa"
        own = stride if multi_query else 1
        averaged = stride > 1 and not multi_query
        odd = spec.grid % stride != 0
        self.pool = nn.AvgPool2d(stride, ceil_mode=odd, count_include_pad=False) if averaged else nn.Identity()
        self.query = Projection(dim, spec.qkv_dim)
        self.key = Projection(dim, spec.kv_dim, stride=own)
        self.value = Projection(dim, spec.kv_dim, stride=own)
        self.output = Projection(spec.qkv_dim, dim)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Apply the attention."""
        spec, num, width = self.spec, x_NCHW.shape[0], self.spec.head_dim
        fewer_NCHW = self.pool(x_NCHW)
        q_NhdL = self.query(x_NCHW).reshape(num, spec.num_heads, width, spec.grid**2)
        k_NhdM = self.key(fewer_NCHW).reshape(num, -1, width, spec.key_grid**2) * width**-0.5
        v_NhdM = self.value(fewer_NCHW).reshape(num, -1, width, spec.key_grid**2)
        shares_NhLM = torch.matmul(q_NhdL.transpose(2, 3), k_NhdM).softmax(dim=-1)
        y_NhdL = torch.matmul(v_NhdM, shares_NhLM.transpose(2, 3))
        y_NCHW: Tensor = self.output(y_NhdL.reshape(num, spec.qkv_dim, spec.grid, spec.grid))
        return y_NCHW


class AttentionBlock(nn.Module):
    """Batch norm and attention beside a shortcut."""

    def __init__(self, spec: AttentionBlockSpec) -> None:
        super().__init__()
        self.spec = spec
        self.norm = nn.BatchNorm2d(spec.embed_dim)
        self.attn = Attention(spec)
        self.layer_scale = LayerScale(spec.embed_dim) if spec.layer_scale else nn.Identity()

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Apply the block."""
        y_NCHW: Tensor = x_NCHW + self.layer_scale(self.attn(self.norm(x_NCHW)))
        return y_NCHW


class Head(nn.Module):
    """Features (N, C, H, W) to logits (N, K)."""

    def __init__(self, spec: HeadSpec) -> None:
        super().__init__()
        self.neck = ConvNorm(spec.embed_dim, spec.neck_dim, 1) if spec.neck_dim else nn.Identity()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.hidden = ConvNorm(spec.pooled_dim, spec.hidden_dim, 1) if spec.hidden_dim else nn.Identity()
        self.flatten = nn.Flatten(1)
        self.classifier = nn.Linear(spec.last_dim, spec.num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Apply neck, mean, hidden layer and classifier."""
        logits_NK: Tensor = self.classifier(self.flatten(self.hidden(self.pool(self.neck(x_NCHW)))))
        return logits_NK


def build_stem(spec: Stem) -> nn.Module:
    """An image to features (N, C, H, W)."""
    if isinstance(spec, StarStemSpec):
        return StarStem(spec)
    return ConvNorm(spec.in_channels, spec.embed_dim, 3, stride=1 if spec.grid == spec.in_grid else 2)


def build_downsample(spec: Entrance) -> nn.Module:
    """Features of one stage to those of the next."""
    if isinstance(spec, StarEntranceSpec):
        return StarEntrance(spec)
    return PlainDownsample(spec) if is_plain(spec.kernels) else Downsample(spec)


def build_block(spec: Block) -> nn.Module:
    """Features to features of the same shape."""
    if isinstance(spec, StarBlockSpec):
        return StarBlock(spec)
    if isinstance(spec, AttentionBlockSpec):
        return AttentionBlock(spec)
    return PlainBlock(spec) if is_plain(spec.kernels) else ConvBlock(spec)


def build_head(spec: Exit) -> nn.Module:
    """Features to logits (N, K)."""
    return StarHead(spec) if isinstance(spec, StarHeadSpec) else Head(spec)


class MobileStage(nn.Module):
    """The entrance of a stage and its blocks."""

    def __init__(self, spec: StageSpec) -> None:
        super().__init__()
        self.downsample = build_downsample(spec.downsample)
        self.blocks = nn.ModuleList(build_block(block) for block in spec.blocks)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Features of the stage before (or of the stem) to this stage's."""
        x_NCHW = self.downsample(x_NCHW)
        for block in self.blocks:
            x_NCHW = block(x_NCHW)
        return x_NCHW


class MobileNet(nn.Module):
    """A plain net that owns its weights: images (N, C, H, W) to logits (N, K).

    Convolutions start as normal of sqrt(2 / fan-out), the classifier as truncated normal, components of star nets as timm's. What
    other blocks add begins as loud as what it is added to: quieter, as in a supernet, a net alone learns late
    (docs/measurements/plain-gap_fashion-mnist_202611.md).
    """

    def __init__(self, spec: MobileSpec) -> None:
        super().__init__()
        self.spec = spec
        self.stem = build_stem(spec.stem)
        self.stages = nn.ModuleList(MobileStage(stage) for stage in spec.stages)
        self.head = build_head(spec.head)
        self.apply(initialise)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Logits of every image; images of another size are resized first, which no graph of the net's own size shows."""
        x_NCHW = self.stem(resized(images_NCHW, self.spec.task.image_px))
        for stage in self.stages:
            x_NCHW = stage(x_NCHW)
        logits_NK: Tensor = self.head(x_NCHW)
        return logits_NK


def initialise(module: nn.Module) -> None:
    """Draw the weights of one layer anew from PyTorch's global generator, after those inside it; others are left alone."""
    initialise_star(module)
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=LINEAR_STD / module.in_features**0.5)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=(2.0 / fan_out) ** 0.5)


def begin_quietly(module: nn.Module) -> None:
    """Let what a freshly initialised block adds begin at `BRANCH`; others are left alone."""
    if isinstance(module, PlainBlock):
        nn.init.constant_(module.bn.weight, BRANCH)
    elif isinstance(module, ConvBlock):
        nn.init.constant_(module.pw_proj.bn.weight, BRANCH)
    elif isinstance(module, Attention):
        with torch.no_grad():
            module.output.proj.weight.mul_(BRANCH)


def build_component(component: Hashable) -> nn.Module:
    """One link of the chain as a module of its own, freshly initialised as a supernet's, in eval mode.

    Raises:
        ValueError: if it is no component of a mobile net.
    """
    module: nn.Module
    match component:
        case StemSpec() | StarStemSpec():
            module = build_stem(component)
        case DownsampleSpec() | StarEntranceSpec():
            module = build_downsample(component)
        case ConvBlockSpec() | AttentionBlockSpec() | StarBlockSpec():
            module = build_block(component)
        case HeadSpec() | StarHeadSpec():
            module = build_head(component)
        case _:
            raise ValueError(f"{component} is no component of a mobile net")
    return module.apply(initialise).apply(begin_quietly).eval()


def component_input_shape(component: Hashable) -> tuple[int, ...]:
    """Shape of what one image is at the entrance of a component, without the batch axis.

    Raises:
        ValueError: as `build_component`.
    """
    match component:
        case StemSpec() | StarStemSpec():
            return (component.in_channels, component.in_grid, component.in_grid)
        case DownsampleSpec() | StarEntranceSpec():
            return (component.in_dim, component.in_grid, component.in_grid)
        case ConvBlockSpec() | AttentionBlockSpec() | StarBlockSpec() | HeadSpec() | StarHeadSpec():
            return (component.embed_dim, component.grid, component.grid)
        case _:
            raise ValueError(f"{component} is no component of a mobile net")
