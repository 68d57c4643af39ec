"""Modules without weights: built on the meta device, to be given weights later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_FILLING = frozenset(
    ("uniform_", "normal_", "trunc_normal_", "kaiming_uniform_", "constant_", "erfinv_", "mul_", "add_", "clamp_", "fill_", "zero_")
)


class _Unfilled(TorchFunctionMode):
    """Fills no tensor: it has no numbers, and pretending takes most of the time that building takes."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__ in _FILLING:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def weightless(build: Callable[[], nn.Module], device: torch.device, dtype: torch.dtype) -> nn.Module:
    """What ``build`` builds, with weights on the meta device and constants on ``device``; no random number is drawn.

    Constants are buffers that a spec decides and no file holds: a module that has some computes them in ``reset_constants``.
    """
    with torch.inference_mode(mode=False):  # what is kept must be fit for training too
        with torch.device("meta"), _Unfilled():
            net = build()
        for module in net.modules():
            reset: Callable[[torch.device], None] | None = getattr(module, "reset_constants", None)
            if reset is not None:
                reset(device)
        return net if dtype == torch.get_default_dtype() else net.to(dtype)
