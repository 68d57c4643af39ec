"""Tracing many small nets to ONNX in one process."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def read_operators_once() -> None:
    """Keep what PyTorch's exporter does anew for every net: collect all operators, and give each a kernel for each device.

    Nothing here adds an operator. A third of the time of tracing a component; where a later PyTorch keeps these elsewhere, tests
    only take longer.
    """
    try:
        import torch._export.utils as operators
        import torch._ops as overloads
        from torch.onnx._internal.exporter import _registration
    except ImportError:
        return
    if hasattr(_registration, "ONNXRegistry"):
        _registration.ONNXRegistry.from_torchlib = staticmethod(functools.cache(_registration.ONNXRegistry.from_torchlib))
    if hasattr(operators, "_materialize_cpp_cia_ops"):
        operators._materialize_cpp_cia_ops = functools.cache(operators._materialize_cpp_cia_ops)
    if hasattr(overloads, "OperatorBase") and hasattr(overloads, "DispatchKey"):
        overloads.OperatorBase.py_impl = _without_annotations(overloads.OperatorBase.py_impl, overloads.DispatchKey)


def _without_annotations(py_impl: Callable[..., Any], keys: Any) -> Callable[..., Any]:
    """PyTorch's decorator, which specialises `Callable` four times for each of 11,000 kernels a trace, without these types."""

    def quick(operator: Any, key: Any) -> Callable[[Any], Any]:
        if not isinstance(key, keys) or key == keys.Python or key in operator.py_kernels:
            return py_impl(operator, key)

        def register(kernel: Any) -> Any:
            operator.py_kernels[key] = kernel
            operator._dispatch_cache.clear()
            return kernel

        return register

    return quick
