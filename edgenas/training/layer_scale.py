"""Layer scale for plain nets: what a block adds is scaled channel by channel, and the scales end up in the weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

_LAST = ("attn.proj", "mlp.fc2")  # the last linear layers of a block's branches, under timm's names


class _Scaled(nn.Module):
    """A weight or bias whose rows are scaled."""

    def __init__(self, gamma_C: nn.Parameter) -> None:
        super().__init__()
        self.gamma_C = gamma_C

    def forward(self, value: Tensor) -> Tensor:
        scaled: Tensor = value * self.gamma_C.view(-1, *[1] * (value.ndim - 1))
        return scaled


def add_layer_scale(net: nn.Module, initial: float) -> int:
    """Scale what attention and MLP of every block add, by learnt factors (Touvron et al., CaiT, arXiv:2103.17239, section 2).

    timm keeps such factors as parameters of the net. Here they belong to the last linear layer of each branch while it is trained,
    and `fold_layer_scale` multiplies them into it, so that the net that is exported has no more weights or operators than before.

    Args:
        net: changed in place; its blocks are the modules whose type's name ends in ``Block``.
        initial: factor of every channel at the start, e.g. 1e-5 for deep nets and 0.1 for shallow ones.

    Returns:
        How many layers are scaled.
    """
    layers = [layer for _, layer in _layers(net)]
    for layer in layers:
        gamma_C = nn.Parameter(torch.full((layer.out_features,), initial, device=layer.weight.device, dtype=layer.weight.dtype))
        scaled = _Scaled(gamma_C)
        for name in ("weight", "bias"):
            if getattr(layer, name) is not None:
                parametrize.register_parametrization(layer, name, scaled, unsafe=True)
    return len(layers)


def fold_layer_scale(net: nn.Module) -> None:
    """Multiply the factors into their layers, in place; the net answers what it did, and has its own parameters again."""
    for _, layer in _layers(net):
        for name in ("weight", "bias"):
            if parametrize.is_parametrized(layer, name):
                parametrize.remove_parametrizations(layer, name, leave_parametrized=True)


def _layers(net: nn.Module) -> list[tuple[str, nn.Linear]]:
    blocks = [(path, module) for path, module in net.named_modules() if type(module).__name__.endswith("Block")]
    layers = []
    for path, block in blocks:
        parts = dict(block.named_modules())
        layers += [(f"{path}.{name}", part) for name in _LAST if isinstance(part := parts.get(name), nn.Linear)]
    return layers
