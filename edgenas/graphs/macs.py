"""Multiply-accumulates of an ONNX operator, counted from the shapes of its values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

PRODUCTS = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm", "Einsum", "Attention"})  # what has any, apart from `INTEGER`
INTEGER = {"QLinearConv": "Conv", "ConvInteger": "Conv", "QLinearMatMul": "MatMul", "MatMulInteger": "MatMul", "QGemm": "Gemm"}

Sizes = tuple[int, ...]


def macs_of(node: onnx.NodeProto, sizes: Mapping[str, Sizes]) -> int:
    """Multiply-accumulates of one operator; 0 of one that is no product.

    Args:
        node: of an opened or a whole graph.
        sizes: of values and weights by name, 1 where an axis may have any length; an unknown one counts as 1.
    """
    kind = INTEGER.get(node.op_type, node.op_type)
    if kind not in PRODUCTS:
        return 0
    out = sizes.get(node.output[0], ())
    if kind == "Attention":
        return _attention(node, sizes)
    if kind == "Einsum":
        return _einsum(node, sizes)
    first, second = (sizes.get(name, ()) for name in factors(node))
    if kind == "Conv":
        return prod(out) * prod(second[1:])
    if kind == "ConvTranspose":
        return prod(first) * prod(second[1:])
    if kind == "Gemm":
        is_turned = any(each.name == "transB" and each.i for each in node.attribute)
        return prod(out) * (second[1 if is_turned else 0] if second else 1)
    return prod(out) * (first[-1] if first else second[-2] if len(second) > 1 else 1)


def factors(node: onnx.NodeProto) -> Iterator[str]:
    """The inputs that a product multiplies."""
    if node.op_type.startswith("QLinear") or node.op_type == "QGemm":
        yield from (node.input[0], node.input[3])
    else:
        yield from node.input[: 3 if node.op_type == "Attention" else 2]


def _attention(node: onnx.NodeProto, sizes: Mapping[str, Sizes]) -> int:
    query, key, value = (sizes.get(name, ()) for name in node.input[:3])
    if not query or not key or not value:
        return 0
    queries = prod(query)  # tokens times width over all heads
    return queries * key[-2] + queries // query[-1] * value[-1] * value[-2]


def _einsum(node: onnx.NodeProto, sizes: Mapping[str, Sizes]) -> int:
    equation = next((each.s.decode() for each in node.attribute if each.name == "equation"), "")
    axes: dict[str, int] = {}
    for letters, name in zip(equation.replace(" ", "").split("->")[0].split(","), node.input, strict=False):
        axes |= dict(zip(letters, sizes.get(name, ()), strict=False))
    return prod(axes.values()) if axes else 0
