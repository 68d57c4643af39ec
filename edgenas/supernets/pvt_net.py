"""Plain Pyramid Vision Transformers built from a spec, with timm's parameter names.

Every component takes one tensor and gives one tensor, so that a net is a chain and any part of it can be timed alone. Grids are
fixed by the spec: exported graphs hold no shape arithmetic. Source: PVT v2 (Wang et al., arXiv:2106.13797).

Shapes: N images, L tokens (grid²), C channels, H and W rows and columns, P cells along one side of the pooled grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgenas.spaces.pvt import BlockSpec, Component, HeadSpec, PatchEmbedSpec, PvtSpec, StageNormSpec, StageSpec

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


@lru_cache(maxsize=1024)
def pool_matrix(spec: BlockSpec, device: torch.device, dtype: torch.dtype) -> Tensor | None:
    """The averaging matrix of a block, kept; None where its keys are not pooled or the grid is no larger than the pool."""
    if spec.reduction != "pool" or spec.reduction_size == spec.grid:
        return None
    with torch.inference_mode(mode=False):  # what is kept must be fit for training too
        return averaging_matrix(spec.grid, spec.reduction_size).to(device, dtype)


def resized(images_NCHW: Tensor, image_px: int) -> Tensor:
    """Images at another resolution, bilinear with antialias as Pillow does it; the same tensor where they have it already."""
    if images_NCHW.shape[-2:] == (image_px, image_px):
        return images_NCHW
    return F.interpolate(images_NCHW, (image_px, image_px), mode="bilinear", antialias=True, align_corners=False)


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


def attention(x_NLC: Tensor, spec: BlockSpec, weights: Mapping[str, Tensor], pool_PH: Tensor | None) -> Tensor:
    """Spatial-reduction attention of one block, shape (N, L, C).

    Args:
        x_NLC: normalised tokens.
        spec: widths of this call.
        weights: ``attn.*`` tensors of exactly these widths.
        pool_PH: averaging matrix, for pooled keys on a grid of another size.
    """
    num, length, dim = x_NLC.shape
    heads = spec.num_heads
    q_NhLd = F.linear(x_NLC, weights["attn.q.weight"], weights["attn.q.bias"])
    q_NhLd = q_NhLd.reshape(num, length, heads, -1).transpose(1, 2)
    if spec.reduction != "none":
        if spec.reduction == "conv":
            size = spec.reduction_size
            x_NCHW = to_grid(x_NLC, spec.grid)
            x_NLC = to_tokens(F.conv2d(x_NCHW, weights["attn.sr.weight"], weights["attn.sr.bias"], stride=size))
        else:
            weight_CC, bias_C = weights["attn.sr.weight"].flatten(1), weights["attn.sr.bias"]
            if pool_PH is None:
                x_NLC = F.linear(x_NLC, weight_CC, bias_C)
            elif spec.reduction_size > spec.grid:  # averages and a linear layer commute: fewer tokens go through it first
                x_NLC = average_pool(F.linear(x_NLC, weight_CC, bias_C), pool_PH)
            else:
                x_NLC = F.linear(average_pool(x_NLC, pool_PH), weight_CC, bias_C)
        x_NLC = F.layer_norm(x_NLC, (dim,), weights["attn.norm.weight"], weights["attn.norm.bias"])
        if spec.reduction == "pool":
            x_NLC = F.gelu(x_NLC)
    kv = F.linear(x_NLC, weights["attn.kv.weight"], weights["attn.kv.bias"])
    k_NhMd, v_NhMd = kv.reshape(num, -1, 2, heads, spec.qkv_dim // heads).permute(2, 0, 3, 1, 4).unbind(0)
    y_NhLd = F.scaled_dot_product_attention(q_NhLd, k_NhMd, v_NhMd)
    y_NLC = y_NhLd.transpose(1, 2).reshape(num, length, spec.qkv_dim)
    return F.linear(y_NLC, weights["attn.proj.weight"], weights["attn.proj.bias"])


def mlp(x_NLC: Tensor, spec: BlockSpec, weights: Mapping[str, Tensor]) -> Tensor:
    """Linear, (ReLU,) depthwise 3x3 convolution, GELU, linear; shape (N, L, C)."""
    x_NLF = F.linear(x_NLC, weights["mlp.fc1.weight"], weights["mlp.fc1.bias"])
    x_NFHW = to_grid(x_NLF, spec.grid)
    if spec.relu:
        x_NFHW = F.relu(x_NFHW)
    x_NFHW = F.conv2d(x_NFHW, weights["mlp.dwconv.weight"], weights["mlp.dwconv.bias"], padding=1, groups=x_NFHW.shape[1])
    return F.linear(F.gelu(to_tokens(x_NFHW)), weights["mlp.fc2.weight"], weights["mlp.fc2.bias"])


def patch_embed_forward(x: Tensor, spec: PatchEmbedSpec, weights: Mapping[str, Tensor]) -> Tensor:
    """Tokens (N, L, C) of an image (N, C, H, W), or of the stage before, with weights of exactly ``spec``'s widths."""
    x_NCHW = x if spec.reads_image else to_grid(x, spec.in_grid)
    weight, bias = weights["proj.weight"], weights["proj.bias"]
    y_NLC = to_tokens(F.conv2d(x_NCHW, weight, bias, stride=spec.stride, padding=spec.kernel_size // 2))
    return F.layer_norm(y_NLC, (spec.embed_dim,), weights["norm.weight"], weights["norm.bias"])


def block_forward(x_NLC: Tensor, spec: BlockSpec, weights: Mapping[str, Tensor], pool_PH: Tensor | None) -> Tensor:
    """One block with weights of exactly ``spec``'s widths; plain nets and supernets both compute with this."""
    channels = (x_NLC.shape[2],)
    normed = F.layer_norm(x_NLC, channels, weights["norm1.weight"], weights["norm1.bias"], NORM_EPS)
    x_NLC = x_NLC + attention(normed, spec, weights, pool_PH)
    normed = F.layer_norm(x_NLC, channels, weights["norm2.weight"], weights["norm2.bias"], NORM_EPS)
    return x_NLC + mlp(normed, spec, weights)


class _Attention(nn.Module):
    """Parameters of a block's attention, under timm's names."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        dim = spec.embed_dim
        self.q = nn.Linear(dim, spec.qkv_dim)
        self.kv = nn.Linear(dim, 2 * spec.qkv_dim)
        self.proj = nn.Linear(spec.qkv_dim, dim)
        if spec.reduction != "none":
            size = spec.reduction_size if spec.reduction == "conv" else 1
            self.sr = nn.Conv2d(dim, dim, size, stride=size)
            self.norm = nn.LayerNorm(dim)


class _Mlp(nn.Module):
    """Parameters of a block's MLP, under timm's names."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.fc1 = nn.Linear(spec.embed_dim, spec.mlp_hidden)
        self.dwconv = nn.Conv2d(spec.mlp_hidden, spec.mlp_hidden, 3, padding=1, groups=spec.mlp_hidden)
        self.fc2 = nn.Linear(spec.mlp_hidden, spec.embed_dim)


class PvtBlock(nn.Module):
    """Tokens to tokens, (N, L, C) both."""

    pool_PH: Tensor | None

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.spec = spec
        self.norm1 = nn.LayerNorm(spec.embed_dim, eps=NORM_EPS)
        self.attn = _Attention(spec)
        self.norm2 = nn.LayerNorm(spec.embed_dim, eps=NORM_EPS)
        self.mlp = _Mlp(spec)
        self.register_pool(None)

    def register_pool(self, device: torch.device | None) -> None:
        """Keep the averaging matrix as a buffer, which no file of weights holds; on PyTorch's default device by default."""
        pooled = self.spec.reduction == "pool" and self.spec.reduction_size != self.spec.grid
        matrix = averaging_matrix(self.spec.grid, self.spec.reduction_size).to(device=device) if pooled else None
        self.register_buffer("pool_PH", matrix, persistent=False)

    def forward(self, x_NLC: Tensor) -> Tensor:
        """Apply the block."""
        return block_forward(x_NLC, self.spec, dict(self.named_parameters()), self.pool_PH)


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
        return patch_embed_forward(x, self.spec, dict(self.named_parameters()))


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


def build_component(component: Component) -> nn.Module:
    """One link of the chain as a module of its own, freshly initialised, in eval mode."""
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
    return module.apply(initialise).eval()


def component_input_shape(component: Component) -> tuple[int, ...]:
    """Shape of what one image is at the entrance of a component, without the batch axis."""
    match component:
        case PatchEmbedSpec(reads_image=True):
            return (component.in_channels, component.in_grid, component.in_grid)
        case PatchEmbedSpec():
            return (component.in_grid**2, component.in_channels)
        case BlockSpec() | StageNormSpec() | HeadSpec():
            return (component.grid**2, component.embed_dim)
