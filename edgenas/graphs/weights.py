"""Initialisers made of others. Where the numbers lie in a file of drawn ones beside the graph, only shapes change."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

Change = Callable[[NDArray[Any]], NDArray[Any]]


def is_outside(tensor: onnx.TensorProto) -> bool:
    """Whether the numbers of an initialiser are in another file."""
    import onnx

    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def derived(tensor: onnx.TensorProto, name: str, shape: Sequence[int], change: Change) -> onnx.TensorProto:
    """A float initialiser that ``change`` makes of another, of the shape that it gives.

    What lies in another file was drawn for a clock: it stays a run of drawn numbers, of another length.
    """
    import onnx

    if not is_outside(tensor):
        values = np.ascontiguousarray(change(onnx.numpy_helper.to_array(tensor)).reshape(shape))
        return onnx.numpy_helper.from_array(values.astype(np.float32, copy=False), name)
    outside = onnx.TensorProto(name=name, data_type=tensor.data_type, data_location=tensor.data_location, dims=shape)
    for entry in tensor.external_data:
        value = str(4 * math.prod(shape)) if entry.key == "length" else entry.value
        outside.external_data.add(key=entry.key, value=value)
    return outside


def combined(tensors: Sequence[onnx.TensorProto], name: str, shape: Sequence[int], change: Callable[..., Any]) -> onnx.TensorProto:
    """A float initialiser that ``change`` makes of the arrays of several, of the shape that it gives; see `derived`."""
    import onnx

    outside = next((tensor for tensor in tensors if is_outside(tensor)), None)
    if outside is not None:
        return derived(outside, name, shape, lambda values: values)
    others = [onnx.numpy_helper.to_array(tensor) for tensor in tensors[1:]]
    return derived(tensors[0], name, shape, lambda values: change(values, *others))


def scalar(tensor: onnx.TensorProto | None) -> float | None:
    """The number of a float initialiser that holds one; None for others."""
    import onnx

    if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT or math.prod(tensor.dims) != 1 or is_outside(tensor):
        return None
    return float(onnx.numpy_helper.to_array(tensor).reshape(()))


def integers(tensor: onnx.TensorProto | None) -> list[int] | None:
    """The numbers of an integer initialiser; None for others."""
    import onnx

    if tensor is None or tensor.data_type not in (onnx.TensorProto.INT64, onnx.TensorProto.INT32) or is_outside(tensor):
        return None
    return [int(value) for value in onnx.numpy_helper.to_array(tensor).reshape(-1)]
