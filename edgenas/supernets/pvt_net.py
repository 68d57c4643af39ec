"""Plain Pyramid Vision Transformers built from a spec, with timm's parameter names.

Every component takes one tensor and gives one tensor, so that a net is a chain and any part of it can be timed alone. Grids are
fixed by the spec: exported graphs hold no shape arithmetic. Source: PVT v2 (Wang et al., arXiv:2106.13797).

Shapes: N images, L tokens (grid²), C channels, H and W rows and columns, P cells along one side of the pooled grid.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgenas.spaces.pvt import BlockSpec, HeadSpec, PatchEmbedSpec, PvtSpec, StageNormSpec, StageSpec
from edgenas.supernets.resize import resized

torch.fx.wrap("resized")  # one call of a traced graph, since what it does depends on the images

NORM_EPS = 1e-6  # of blocks and stages; patch embeddings and reductions keep PyTorch's 1e-5, as PVT v2's code does
NARROW_STD = 0.5


@lru_cache(maxsize=256)
def _averaging_rows(size: int, cells: int) -> tuple[tuple[float, ...], ...]:
    rows = []
    for cell in range(cells):
        start, stop = cell * size // cells, -(-(cell + 1) * size // cells)
        rows.append(tuple(1.0 / (stop - start) if start <= i < stop else 0.0 for i in range(size)))
    return tuple(rows)


def averaging_matrix(size: int, cells: int) -> Tensor:
    """The matrix, shape (cells, size), whose product averages as `torch.nn.functional.adaptive_avg_pool1d` does.

    Adaptive pooling to sizes that do not divide the grid has no ONNX operator; two products with this constant do the same for
    both axes, also for more cells than positions.
    """
    return torch.tensor(_averaging_rows(size, cells), dtype=torch.float32)


def average_pool(x_NLC: Tensor, matrix_PH: Tensor) -> Tensor:
    """Average a square grid of tokens to P x P cells, shape (N, P², C), without leaving the token layout."""
    num, _, channels = x_NLC.shape
    cells, grid = matrix_PH.shape
    x_NPx = torch.matmul(matrix_PH, x_NLC.reshape(num, grid, grid * channels))
    x_NPPC = torch.matmul(matrix_PH, x_NPx.reshape(num, cells, grid, channels))
    return x_NPPC.reshape(num, cells * cells, channels)


def to_grid(x_NLC: Tensor, grid: int) -> Tensor:
    """Tokens as an image, shape (N, C, H, W)."""
    return x_NLC.transpose(1, 2).reshape(x_NLC.shape[0], x_NLC.shape[2], grid, grid)


def to_tokens(x_NCHW: Tensor) -> Tensor:
    """An image as tokens, shape (N, L, C)."""
    return x_NCHW.flatten(2).transpose(1, 2)


class AveragePool(nn.Module):
    """Averages of a square grid of tokens over P x P cells, shape (N, P², C)."""

    matrix_PH: Tensor

    def __init__(self, grid: int, cells: int) -> None:
        super().__init__()
        self.grid, self.cells = grid, cells
        self.reset_constants()

    def reset_constants(self, device: torch.device | None = None) -> None:
        """Compute the averaging matrix, a buffer that no file of weights holds; on PyTorch's default device by default."""
        self.register_buffer("matrix_PH", averaging_matrix(self.grid, self.cells).to(device=device), persistent=False)

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Apply the averages."""
        return average_pool(x_NLC, self.matrix_PH)


class TokenConv(nn.Conv2d):
    """A 1x1 convolution of tokens (N, L, C), computed as the linear layer that it is; its weight has a convolution's shape."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Apply the layer to every token."""
        return F.linear(x_NLC, self.weight.flatten(1), self.bias)


class Attention(nn.Module):
    """Spatial-reduction attention: tokens to tokens, (N, L, C) both, with fewer keys and values than queries."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.spec = spec
        dim, size = spec.embed_dim, spec.reduction_size
        self.q = nn.Linear(dim, spec.qkv_dim)
        self.kv = nn.Linear(dim, 2 * spec.qkv_dim)
        self.proj = nn.Linear(spec.qkv_dim, dim)
        if spec.reduction != "none":
            self.sr = nn.Conv2d(dim, dim, size, stride=size) if spec.reduction == "conv" else TokenConv(dim, dim)
            self.norm = nn.LayerNorm(dim)
        if spec.reduction == "pool":
            self.pool = nn.Identity() if size == spec.grid else AveragePool(spec.grid, size)
            self.act = nn.GELU()

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Apply the attention."""
        num, length, _ = x_NLC.shape
        heads, qkv_dim = self.spec.num_heads, self.spec.qkv_dim
        q_NhLd = self.q(x_NLC).reshape(num, length, heads, -1).transpose(1, 2)
        kv = self.kv(self.reduced(x_NLC)).reshape(num, -1, 2, heads, qkv_dim // heads)
        k_NhMd, v_NhMd = kv.permute(2, 0, 3, 1, 4).unbind(0)
        y_NhLd = F.scaled_dot_product_attention(q_NhLd, k_NhMd, v_NhMd)
        y_NLC: Tensor = self.proj(y_NhLd.transpose(1, 2).reshape(num, length, qkv_dim))
        return y_NLC

    def reduced(self, x_NLC: Tensor) -> Tensor:
        """The tokens that keys and values are made from, shape (N, M, C)."""
        if self.spec.reduction == "none":
            return x_NLC
        if self.spec.reduction == "conv":
            x_NMC = to_tokens(self.sr(to_grid(x_NLC, self.spec.grid)))
        elif self.spec.reduction_size > self.spec.grid:  # averages and a linear layer commute: fewer tokens go through it first
            x_NMC = self.pool(self.sr(x_NLC))
        else:
            x_NMC = self.sr(self.pool(x_NLC))
        y_NMC: Tensor = self.norm(x_NMC)
        return self.act(y_NMC) if self.spec.reduction == "pool" else y_NMC


class Mlp(nn.Module):
    """Linear, (ReLU,) depthwise 3x3 convolution, GELU, linear: tokens to tokens, (N, L, C) both."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.grid = spec.grid
        self.fc1 = nn.Linear(spec.embed_dim, spec.mlp_hidden)
        self.relu = nn.ReLU() if spec.relu else nn.Identity()
        self.dwconv = nn.Conv2d(spec.mlp_hidden, spec.mlp_hidden, 3, padding=1, groups=spec.mlp_hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(spec.mlp_hidden, spec.embed_dim)

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Apply the MLP."""
        x_NFHW = self.dwconv(self.relu(to_grid(self.fc1(x_NLC), self.grid)))
        y_NLC: Tensor = self.fc2(self.act(to_tokens(x_NFHW)))
        return y_NLC


class PvtBlock(nn.Module):
    """Tokens to tokens, (N, L, C) both."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.spec = spec
        self.norm1 = nn.LayerNorm(spec.embed_dim, eps=NORM_EPS)
        self.attn = Attention(spec)
        self.norm2 = nn.LayerNorm(spec.embed_dim, eps=NORM_EPS)
        self.mlp = Mlp(spec)

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Apply the block."""
        x_NLC = x_NLC + self.attn(self.norm1(x_NLC))
        y_NLC: Tensor = x_NLC + self.mlp(self.norm2(x_NLC))
        return y_NLC


class PatchEmbed(nn.Module):
    """An image (N, C, H, W), or the tokens of the stage before, to tokens (N, L, C)."""

    def __init__(self, spec: PatchEmbedSpec) -> None:
        super().__init__()
        self.spec = spec
        size = spec.kernel_size
        self.proj = nn.Conv2d(spec.in_channels, spec.embed_dim, size, stride=spec.stride, padding=size // 2)
        self.norm = nn.LayerNorm(spec.embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the convolution and the norm."""
        x_NCHW = x if self.spec.reads_image else to_grid(x, self.spec.in_grid)
        y_NLC: Tensor = self.norm(to_tokens(self.proj(x_NCHW)))
        return y_NLC


class TokenMean(nn.Module):
    """Mean over tokens: (N, L, C) to (N, C)."""

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Apply the mean."""
        return x_NLC.mean(dim=1)


def build_head(spec: HeadSpec) -> nn.Module:
    """Features (N, C) to logits (N, classes)."""
    if not spec.hidden_dims:
        return nn.Linear(spec.embed_dim, spec.num_classes)
    layers: list[nn.Module] = []
    dims = (spec.embed_dim, *spec.hidden_dims)
    for first, second, dropout in zip(dims[:-1], dims[1:], spec.dropouts, strict=True):
        layers += [nn.Linear(first, second), nn.GELU(), nn.BatchNorm1d(second), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(dims[-1], spec.num_classes))


class PvtStage(nn.Module):
    """Blocks of one resolution between an optional patch embedding and a norm."""

    def __init__(self, spec: StageSpec) -> None:
        super().__init__()
        self.downsample = None if spec.patch_embed.reads_image else PatchEmbed(spec.patch_embed)
        self.blocks = nn.ModuleList(PvtBlock(block) for block in spec.blocks)
        self.norm = nn.LayerNorm(spec.norm.embed_dim, eps=NORM_EPS)

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Tokens of the stage before (or of the first patch embedding) to this stage's tokens."""
        if self.downsample is not None:
            x_NLC = self.downsample(x_NLC)
        for block in self.blocks:
            x_NLC = block(x_NLC)
        y_NLC: Tensor = self.norm(x_NLC)
        return y_NLC


class PvtNet(nn.Module):
    """A plain net that owns its weights: images (N, C, H, W) to logits (N, classes).

    Convolution weights start as in PVT v2, normal of sqrt(2 / fan-out), linear ones as truncated normal. PVT v2's deviation of 0.02
    suits widths of 512 and more; narrower layers start at `NARROW_STD` / sqrt(fan-in), or they learn slowly: on
    Fashion-MNIST a net of widths 16 to 64 had 85.8 instead of 85.1 % after 20 epochs (one seed, 8,000 images that it did not see).
    """

    def __init__(self, spec: PvtSpec) -> None:
        super().__init__()
        self.spec = spec
        self.patch_embed = PatchEmbed(spec.stages[0].patch_embed)
        self.stages = nn.ModuleList(PvtStage(stage) for stage in spec.stages)
        self.pool = TokenMean()
        self.head = build_head(spec.head)
        self.apply(initialise)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Logits of every image; images of another size are resized first, which no graph of the net's own size shows."""
        x_NLC = self.patch_embed(resized(images_NCHW, self.spec.task.image_px))
        for stage in self.stages:
            x_NLC = stage(x_NLC)
        logits_NK: Tensor = self.head(self.pool(x_NLC))
        return logits_NK


def initialise(module: nn.Module) -> None:
    """Draw the weights of one layer anew from PyTorch's global generator; others are left alone."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=max(0.02, NARROW_STD / module.in_features**0.5))
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=(2.0 / fan_out) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build_component(component: Hashable) -> nn.Module:
    """One link of the chain as a module of its own, freshly initialised, in eval mode.

    Raises:
        ValueError: if it is no component of a PVT.
    """
    module: nn.Module
    match component:
        case PatchEmbedSpec():
            module = PatchEmbed(component)
        case BlockSpec():
            module = PvtBlock(component)
        case StageNormSpec():
            module = nn.LayerNorm(component.embed_dim, eps=NORM_EPS)
        case HeadSpec():
            module = nn.Sequential(TokenMean(), build_head(component))
        case _:
            raise ValueError(f"{component} is no component of a PVT")
    return module.apply(initialise).eval()


def component_input_shape(component: Hashable) -> tuple[int, ...]:
    """Shape of what one image is at the entrance of a component, without the batch axis.

    Raises:
        ValueError: as `build_component`.
    """
    match component:
        case PatchEmbedSpec(reads_image=True):
            return (component.in_channels, component.in_grid, component.in_grid)
        case PatchEmbedSpec():
            return (component.in_grid**2, component.in_channels)
        case BlockSpec() | StageNormSpec() | HeadSpec():
            return (component.grid**2, component.embed_dim)
        case _:
            raise ValueError(f"{component} is no component of a PVT")
