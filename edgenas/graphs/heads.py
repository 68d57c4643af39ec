"""Half-typed graphs for GPUs without float32 matrix products (Turing, in TensorRT-RTX): the layer of the logits is half as well.

`edgenas.graphs.half` keeps the layer that gives the logits in float32. Where that cannot be built, its factors are rounded to half
precision, and its result is cast back, so that outputs stay float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgenas.errors import ExportError

if TYPE_CHECKING:
    import onnx

_PRODUCTS = ("MatMul", "Gemm")


def single_products(typed: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the matrix products that a half-typed graph computes in float32, in the graph's order."""
    from onnx import TensorProto

    values = (*typed.graph.input, *typed.graph.value_info, *typed.graph.output)
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    products = (node for node in typed.graph.node if node.op_type in _PRODUCTS)
    return tuple(node.name for node in products if kinds.get(node.output[0]) == TensorProto.FLOAT)


def half_products(model: onnx.ModelProto, names: tuple[str, ...], *, emulate: bool = False) -> onnx.ModelProto:
    """A copy of ``model`` whose named matrix products are half; with ``emulate`` they stay float32 and are rounded so.

    Args:
        model: a half-typed graph, or the one that emulates it; both have the same names.
        names: from `single_products` of the half-typed one.
        emulate: whether ``model`` is the emulation.

    Raises:
        ExportError: if a named product is not in the graph.
    """
    import onnx

    result = onnx.ModelProto()
    result.CopyFrom(model)
    missing = set(names) - {node.name for node in result.graph.node}
    if missing:
        raise ExportError(f"the graph has no {', '.join(sorted(missing))} to be computed in half precision")
    nodes: list[onnx.NodeProto] = []
    for node in result.graph.node:
        if node.name not in names:
            nodes.append(node)
            continue
        for position, name in enumerate(node.input):
            node.input[position] = _rounded(nodes, name, f"{node.name}.in{position}", emulate=emulate)
        output, node.output[0] = node.output[0], f"{node.name}.half"
        nodes.append(node)
        if emulate:
            _cast(nodes, f"{node.name}.half", f"{node.name}.rounded", onnx.TensorProto.FLOAT16)
            _cast(nodes, f"{node.name}.rounded", output, onnx.TensorProto.FLOAT)
        else:
            _cast(nodes, f"{node.name}.half", output, onnx.TensorProto.FLOAT)
    _replace(result, nodes)
    inferred = onnx.shape_inference.infer_shapes(result, strict_mode=True)
    onnx.checker.check_model(inferred)
    return inferred


def _rounded(nodes: list[onnx.NodeProto], name: str, target: str, *, emulate: bool) -> str:
    from onnx import TensorProto

    _cast(nodes, name, target, TensorProto.FLOAT16)
    if not emulate:
        return target
    _cast(nodes, target, f"{target}.single", TensorProto.FLOAT)
    return f"{target}.single"


def _cast(nodes: list[onnx.NodeProto], source: str, target: str, kind: int) -> None:
    from onnx import helper

    nodes.append(helper.make_node("Cast", [source], [target], name=f"cast.{target}", to=kind))


def _replace(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    del model.graph.value_info[:]
    model.graph.node.extend(copies)
