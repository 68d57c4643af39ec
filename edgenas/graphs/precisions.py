"""The reduced precisions of ONNX graphs: their range, their rounding, what may hold them, and what stays float32 on request."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

Reduced = Literal["fp16", "bf16"]
LARGEST: dict[Reduced, float] = {"fp16": 65504.0, "bf16": float.fromhex("0x1.fep127")}  # finite values
FLUSHED: dict[Reduced, float] = {"fp16": 2.0**-25, "bf16": 2.0**-134}  # magnitudes up to which values become zero
TYPE_NAMES: dict[Reduced, str] = {"fp16": "float16", "bf16": "bfloat16"}
BF16_OPSET = 22  # the first in which convolutions and pooling take bfloat16


def is_half(model: onnx.ModelProto) -> bool:
    """Whether a graph holds float16 weights."""
    return reduced_precision(model) == "fp16"


def reduced_precision(model: onnx.ModelProto) -> Reduced | None:
    """The reduced precision that a graph holds weights of; None of a graph without any."""
    from onnx import TensorProto

    kinds = {tensor.data_type for tensor in model.graph.initializer}
    if TensorProto.FLOAT16 in kinds:
        return "fp16"
    return "bf16" if TensorProto.BFLOAT16 in kinds else None


def is_kept(name: str, op_type: str, kept: Collection[str]) -> bool:
    """Whether an operator is among ``kept``: by its type, its name, or what it lies in (``blocks.1``, not ``blocks.10``).

    An operator that is called by its type alone is named ``/MatMul``.
    """
    return any(each in (op_type, name, f"/{name}") or name.startswith((f"{each}.", f"{each}/")) for each in kept)


def round_to(exact: NDArray[np.float32], precision: Reduced) -> NDArray[Any]:
    """An array in float16 or bfloat16; what is too large becomes infinite."""
    import ml_dtypes

    with np.errstate(over="ignore"):
        return exact.astype(np.float16 if precision == "fp16" else ml_dtypes.bfloat16)


def element_type(precision: Reduced) -> int:
    """The number that ONNX has for it."""
    from onnx import TensorProto

    return int(TensorProto.FLOAT16 if precision == "fp16" else TensorProto.BFLOAT16)


def takes(op_type: str, opset: int, precision: Reduced) -> bool:
    """Whether the opset lets an operator of the standard have the precision wherever it has float32."""
    import onnx

    schema = onnx.defs.get_schema(op_type, opset)
    allowed = {each.type_param_str: each.allowed_type_strs for each in schema.type_constraints}
    kinds = [allowed.get(each.type_str, [each.type_str]) for each in (*schema.inputs, *schema.outputs)]
    return all(f"tensor({TYPE_NAMES[precision]})" in kind for kind in kinds if "tensor(float)" in kind)
