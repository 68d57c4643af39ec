"""Operators by what they do to numbers, and what a node says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

MOVES = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity"})
EACH = frozenset(
    {
        "Gelu",
        "Relu",
        "LeakyRelu",
        "Elu",
        "Erf",
        "Sigmoid",
        "Tanh",
        "HardSwish",
        "HardSigmoid",
        "Softplus",
        "Exp",
        "Sqrt",
        "Neg",
        "Abs",
    }
)
PAIRS = frozenset({"Add", "Mul", "Sub", "Div"})


def attribute_of(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """An attribute of a node, or ``default`` where it has none of that name."""
    import onnx

    return next((onnx.helper.get_attribute_value(item) for item in node.attribute if item.name == name), default)
