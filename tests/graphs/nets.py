"""Small nets with what rewrites are about: tokens beside images, attention, and what must stay as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

SIDE, DIM, HIDDEN, HEADS = 4, 8, 16, 2


class Block(nn.Module):
    """Attention of one projection and an MLP with a depthwise convolution, on (N, L, C) tokens of a square."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.qkv, self.proj = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)
        self.fc1, self.fc2 = nn.Linear(DIM, HIDDEN), nn.Linear(HIDDEN, DIM)
        self.dwconv = nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1, groups=HIDDEN)
        self.act = nn.GELU()

    def attend(self, x_NLC: torch.Tensor) -> torch.Tensor:
        num, length, dim = x_NLC.shape
        q, k, v = self.qkv(x_NLC).reshape(num, length, 3, HEADS, dim // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(num, length, dim))

    def mlp(self, x_NLC: torch.Tensor) -> torch.Tensor:
        num = x_NLC.shape[0]
        image_NCHW = self.fc1(x_NLC).transpose(1, 2).reshape(num, HIDDEN, SIDE, SIDE)
        return self.fc2(self.act(self.dwconv(image_NCHW).flatten(2).transpose(1, 2)))

    def forward(self, x_NLC: torch.Tensor) -> torch.Tensor:
        x_NLC = x_NLC + self.attend(self.norm1(x_NLC))
        return x_NLC + self.mlp(self.norm2(x_NLC))


class Net(nn.Module):
    """Patches, blocks and a head, on images of 8 px."""

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, DIM, 2, 2)
        self.blocks = nn.ModuleList([Block() for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(DIM), nn.Linear(DIM, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x_NLC = self.embed(image).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x_NLC = block(x_NLC)
        return self.head(self.norm(x_NLC).mean(1))


class OneHead(nn.Module):
    """Attention of one head over a reduced image, with a residual, on images of 8 px.

    Args:
        border: of the convolution that reduces; with one, it cannot take up what a normalisation adds.
        bias: of queries, keys and values.
        is_read: whether something else reads what attention gives.
    """

    def __init__(self, *, border: int = 0, bias: bool = True, is_read: bool = False) -> None:
        super().__init__()
        self.embed, self.norm1 = nn.Conv2d(3, DIM, 1), nn.LayerNorm(DIM)
        self.sr, self.norm = nn.Conv2d(DIM, DIM, 2, 2, padding=border), nn.LayerNorm(DIM)
        self.q, self.kv, self.proj = nn.Linear(DIM, DIM, bias=bias), nn.Linear(DIM, 2 * DIM, bias=bias), nn.Linear(DIM, DIM)
        self.head, self.is_read = nn.Linear(DIM, 3), is_read

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x_NLC = self.embed(image).flatten(2).transpose(1, 2)
        y_NLC = self.norm1(x_NLC)
        num, length, dim = x_NLC.shape
        reduced_NCHW = self.sr(y_NLC.transpose(1, 2).reshape(num, dim, image.shape[2], image.shape[3]))
        z_NMC = self.norm(reduced_NCHW.flatten(2).transpose(1, 2))
        q = self.q(y_NLC).reshape(num, length, 1, dim).transpose(1, 2)
        k, v = self.kv(z_NMC).reshape(num, -1, 2, 1, dim).permute(2, 0, 3, 1, 4).unbind(0)
        mixed_NLC = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(num, length, dim)
        result_NLC = x_NLC + self.proj(mixed_NLC)
        return self.head((result_NLC + mixed_NLC if self.is_read else result_NLC).mean(1))


class Convolutions(nn.Module):
    """A net without tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.GELU())

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.layers(image).mean((2, 3))


class BatchNormed(nn.Module):
    """A batch norm after a sum, before 1x1 convolutions of which one is behind a pool, and one before mean and classifier.

    Args:
        read: what else reads the first: nothing, a ``sum``, a convolution that ``adds`` a border, or one of ``groups``.
        pool: between the first and one of its readers.
    """

    def __init__(self, read: str = "nothing", pool: nn.Module | None = None) -> None:
        super().__init__()
        self.embed, self.norm1, self.norm2 = nn.Conv2d(3, DIM, 1), nn.BatchNorm2d(DIM), nn.BatchNorm2d(DIM)
        self.query, self.key = nn.Conv2d(DIM, DIM, 1), nn.Conv2d(DIM, DIM, 1, bias=False)
        self.pool, self.head, self.read = nn.AvgPool2d(2) if pool is None else pool, nn.Linear(DIM, 3), read
        self.other = nn.Conv2d(DIM, DIM, 3, padding=1, bias=False) if read == "border" else nn.Conv2d(DIM, DIM, 1, groups=2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x_NCHW = self.embed(image)
        x_NCHW = x_NCHW + x_NCHW.relu()
        y_NCHW = self.norm1(x_NCHW)
        gate_NC11 = self.key(self.pool(y_NCHW)).relu().mean((2, 3), keepdim=True)
        result_NCHW = x_NCHW + self.query(y_NCHW).relu() * gate_NC11
        if self.read == "sum":
            result_NCHW = result_NCHW + y_NCHW.relu()
        elif self.read != "nothing":
            result_NCHW = result_NCHW + self.other(y_NCHW)
        return self.head(self.norm2(result_NCHW).mean((2, 3)))


def drawn(net: nn.Module) -> nn.Module:
    """With weights and statistics of which no two tensors are equal."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
        for name, buffer in net.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.add_(torch.rand_like(buffer))
    return net.eval()


def outputs(model: onnx.ModelProto, batch: int = 1) -> NDArray[np.float32]:
    """Of seeded noise, by ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim][1:]
    noise = np.random.default_rng(0).standard_normal((batch, *shape)).astype(np.float32)
    result: NDArray[np.float32] = session.run(None, {model.graph.input[0].name: noise})[0]
    return result


def kinds(model: onnx.ModelProto) -> dict[str, int]:
    """Operators by type."""
    counts: dict[str, Any] = {}
    for node in model.graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return counts
