"""Weights that were drawn for tracing: what they are does not matter to a clock, so nets may share one run of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

INLINE_BYTES = 1024  # smaller tensors stay in the graph: shapes, biases, constants
LOWEST, HIGHEST = 0.0099, 0.0501  # weights of traced components, rounded to half precision or not
SPREAD = (HIGHEST / LOWEST) ** 2.5  # the largest by the smallest, where those of a batch norm (one a root) went into them
DISTINCT = 64  # different values that drawn weights have at least; averaging matrices have a few


def drawn_kind(tensor: onnx.TensorProto) -> str | None:
    """``f4``, ``f2`` or ``i1`` for large weights that were drawn for tracing, None for what must stay as it is.

    Weights that were quantised by channel reach from a fifth of the largest integer to it, as they did before.
    """
    import onnx

    kinds: dict[int, str] = {onnx.TensorProto.FLOAT: "f4", onnx.TensorProto.FLOAT16: "f2", onnx.TensorProto.INT8: "i1"}
    kind, data = kinds.get(tensor.data_type), tensor.raw_data
    if kind is None or len(data) < INLINE_BYTES:
        return None
    values: NDArray[Any] = np.frombuffer(data, dtype=f"<{kind}")
    lowest, highest = float(values.min()), float(values.max())
    most = (lowest + (kind == "i1")) * SPREAD  # an integer was rounded
    if not 0 < lowest <= highest <= most:
        return None
    return kind if len(np.unique(values[: 64 * DISTINCT])) >= min(DISTINCT, len(values) // 2) else None
