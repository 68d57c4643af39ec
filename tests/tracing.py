"""Tracing many small nets to ONNX in one process."""

from __future__ import annotations

import functools


def read_operators_once() -> None:
    """Keep the operators that PyTorch's exporter collects anew for every net; nothing here adds one.

    Where a later PyTorch keeps them elsewhere, tests only take longer.
    """
    try:
        from torch.onnx._internal.exporter import _registration
    except ImportError:
        return
    if hasattr(_registration, "ONNXRegistry"):
        _registration.ONNXRegistry.from_torchlib = staticmethod(functools.cache(_registration.ONNXRegistry.from_torchlib))
