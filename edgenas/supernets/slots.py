"""Weights of modules by name, read and exchanged without walking through the modules again.

PyTorch's `named_parameters` and `torch.func.functional_call` find every weight by its path at each call, which takes a quarter of a
step of a small supernet. Here a module's paths are followed once; its submodules must stay the same afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

Slot = tuple[dict[str, Any], str]  # the dictionary in which a module keeps a tensor, and its name there

_kept: WeakKeyDictionary[nn.Module, dict[str, Slot]] = WeakKeyDictionary()
_kept_with_buffers: WeakKeyDictionary[nn.Module, dict[str, Slot]] = WeakKeyDictionary()


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """What ``dict(module.named_parameters())`` gives."""
    slots = _kept.get(module)
    if slots is None:
        slots = _kept[module] = _slots(module, buffers=False)
    return {name: owner[own] for name, (owner, own) in slots.items()}


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """`weights_of` and, by their names, all buffers."""
    slots = _kept_with_buffers.get(module)
    if slots is None:
        slots = _kept_with_buffers[module] = _slots(module, buffers=True)
    return {name: owner[own] for name, (owner, own) in slots.items()}


class Skeleton:
    """A module whose weights are given with every call, as with `torch.func.functional_call`.

    Args:
        module: what computes; holds its own weights again after every call. Calls must not overlap, so that
            threads need modules of their own.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._slots = _slots(module, buffers=True)
        self._own = {name: owner[own] for name, (owner, own) in self._slots.items()}

    def __call__(self, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """What the module answers with these weights and statistics, by name; those that are not given are its own."""
        try:
            for name, value in weights.items():
                owner, own = self._slots[name]
                owner[own] = value
            y: Tensor = self.module(x)
            return y
        finally:
            for name in weights:
                owner, own = self._slots[name]
                owner[own] = self._own[name]


def _slots(module: nn.Module, *, buffers: bool) -> dict[str, Slot]:
    slots: dict[str, Slot] = {}
    for path, part in module.named_modules():
        prefix = f"{path}." if path else ""
        slots |= {prefix + own: (part._parameters, own) for own, value in part._parameters.items() if value is not None}
        if buffers:
            slots |= {prefix + own: (part._buffers, own) for own, value in part._buffers.items() if value is not None}
    return slots
