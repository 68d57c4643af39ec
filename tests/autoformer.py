"""AutoFormer nets filled by the formula of ``dss_deterministic.json``, whatever the layout of their rows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from edgenas.supernets.autoformer_net import AutoFormerNet

OFFSETS = {
    "attn.proj.weight": 4,
    "mlp.fc1.weight": 5,
    "mlp.fc2.weight": 6,
    "attn.rel_pos_k.vertical": 7,
    "attn.rel_pos_k.horizontal": 8,
    "attn.rel_pos_v.vertical": 9,
    "attn.rel_pos_v.horizontal": 10,
}


def formula(number: int, rows: int, columns: int) -> Tensor:
    """The matrix of tensor ``number``."""
    r, c = np.arange(rows)[:, None].astype(np.float64), np.arange(columns)[None].astype(np.float64)
    return torch.from_numpy((0.02 * np.sin(0.5 * number + 0.37 * r + 0.23 * c + 0.011 * r * c)).astype(np.float32))


def formula_image() -> Tensor:
    """The image, shape (1, 3, 224, 224)."""
    channel, y, x = np.meshgrid(np.arange(3.0), np.arange(224.0), np.arange(224.0), indexing="ij")
    return torch.from_numpy(np.sin(0.1 * channel + 0.05 * y + 0.03 * x).astype(np.float32))[None]


@torch.no_grad()
def fill_by_formula(net: AutoFormerNet) -> AutoFormerNet:
    """Fill every weight of ``net`` and return it; biases 0, norms 1 and 0."""
    dim, tokens = net.cls_token.shape[-1], net.pos_embed.shape[1]
    for name, parameter in net.named_parameters():
        if parameter.dim() == 1:
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)
    conv = net.get_parameter("patch_embed.proj.weight")
    conv.copy_(formula(9001, dim, conv[0].numel()).reshape(conv.shape))
    net.pos_embed.copy_(formula(9002, tokens, dim)[None])
    net.cls_token.copy_(formula(9003, 1, dim)[None])
    net.head.weight.copy_(formula(9004, net.head.out_features, dim))
    for index, block in enumerate(net.blocks):
        first = 100 * index
        for name, offset in OFFSETS.items():
            parameter = block.get_parameter(name)
            parameter.copy_(formula(first + offset, *parameter.shape))
        qkv = block.get_parameter("attn.qkv.weight")
        qkv.copy_(torch.cat([formula(first + number, qkv.shape[0] // 3, dim) for number in (1, 2, 3)]))
    return net


def _normal(tensor: Tensor) -> Tensor:
    """Normal of 0.02 within [-2, 2] by the inverse error function, as older versions of PyTorch and timm draw it."""
    return tensor.uniform_(-1.0, 1.0).erfinv_().mul_(0.02 * 2**0.5).clamp_(-2.0, 2.0)


def ancestor_weights(seed: int) -> dict[str, Tensor]:
    """What microsoft/Cream's supernet-T holds after ``torch.manual_seed(seed)``, by its draws in their order, under its names."""
    state: dict[str, Tensor] = {}
    linear: list[Tensor] = []
    dim, depth, hidden = 256, 14, 1024

    def add_linear(name: str, inputs: int, outputs: int, *, twice: bool = True) -> None:
        layer = nn.Linear(inputs, outputs)  # draws its own start, which is drawn anew below
        if twice:
            nn.init.xavier_uniform_(layer.weight)
        linear.append(layer.weight.data)
        state.update({f"{name}.weight": layer.weight.data, f"{name}.bias": torch.zeros(outputs)})

    def add_norm(name: str) -> None:
        state.update({f"{name}.weight": torch.ones(dim), f"{name}.bias": torch.zeros(dim)})

    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        conv = nn.Conv2d(3, dim, 16, stride=16)
        state.update({f"patch_embed_super.proj.{name}": value.data for name, value in conv.named_parameters()})
        for block in (f"blocks.{index}" for index in range(depth)):
            add_linear(f"{block}.attn.qkv", dim, 3 * dim, twice=False)
            for kind in ("k", "v"):
                tables = [torch.randn(30, 64) for _ in range(2)]
                for axis, table in zip("vh", tables, strict=True):
                    state[f"{block}.attn.rel_pos_embed_{kind}.embeddings_table_{axis}"] = _normal(table)
            add_linear(f"{block}.attn.proj", dim, dim)
            add_norm(f"{block}.attn_layer_norm")
            add_norm(f"{block}.ffn_layer_norm")
            add_linear(f"{block}.fc1", dim, hidden)
            add_linear(f"{block}.fc2", hidden, dim)
        state["pos_embed"] = _normal(torch.zeros(1, 197, dim))
        state["cls_token"] = _normal(torch.zeros(1, 1, dim))
        add_norm("norm")
        add_linear("head", dim, 1000)
        for weight in linear:
            _normal(weight)
    return state
