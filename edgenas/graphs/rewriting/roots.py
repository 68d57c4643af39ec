"""Normalisations of rows whose mean is 0, as the steps that they then are: a row by the root of the mean of its squares."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from edgenas.graphs.naming import joined, module_of
from edgenas.graphs.rewriting.kinds import attribute_of

if TYPE_CHECKING:
    import onnx

CENTRED = ":centred"  # how a value is called without the mean of its rows
ONES = ":ones"  # how factors are called that readers have taken up
ZEROS = ":zeros"  # how a bias is called that readers have taken up


def with_roots(model: onnx.ModelProto, centred: Collection[str]) -> int:
    """Replace, in ``model``, the normalisations that give ``centred`` by steps; how many divide by a root.

    Those whose result is called `CENTRED` only subtract the mean. The others become the steps that ONNX Runtime and OpenVINO
    compute as one: a square by Pow, its mean, the root, a quotient, a product.
    """
    nodes: list[onnx.NodeProto] = []
    names, num = {node.name for node in model.graph.node}, 0
    made: dict[str, onnx.TensorProto] = {}
    for node in model.graph.node:
        if node.op_type == "LayerNormalization" and node.output[0] in centred:
            nodes += _steps(node, made, names)
            num += not node.output[0].endswith(CENTRED)
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    known = {tensor.name for tensor in model.graph.initializer}
    model.graph.initializer.extend(tensor for name, tensor in made.items() if name not in known)
    read = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return num


def _steps(node: onnx.NodeProto, made: dict[str, onnx.TensorProto], names: set[str]) -> Iterator[onnx.NodeProto]:
    import onnx

    rows, factors, *others = node.input
    epsilon, output, module = attribute_of(node, "epsilon", 1e-5), node.output[0], module_of(node.name)

    def constant(name: str, values: object, kind: type) -> str:
        made.setdefault(name, onnx.numpy_helper.from_array(np.array(values, dtype=kind), name))
        return name

    def step(kind: str, inputs: list[str], result: str, **attributes: Any) -> onnx.NodeProto:
        return onnx.helper.make_node(kind, inputs, [result], name=_free_name(joined(module, kind), names), **attributes)

    axes = constant("axes:last", [-1], np.int64)
    if output.endswith(CENTRED):
        yield step("ReduceMean", [rows, axes], f"{output}:mean", keepdims=1)
        yield step("Sub", [rows, f"{output}:mean"], output)
        return
    two, least, (shifts,) = constant("two", 2, np.float32), f"epsilon:{epsilon:g}", others
    yield step("Pow", [rows, two], f"{output}:squares")
    yield step("ReduceMean", [f"{output}:squares", axes], f"{output}:mean", keepdims=1)
    yield step("Add", [f"{output}:mean", constant(least, epsilon, np.float32)], f"{output}:above")
    yield step("Sqrt", [f"{output}:above"], f"{output}:root")
    yield step("Div", [rows, f"{output}:root"], f"{output}:rows")
    is_last = shifts.endswith(ZEROS)
    yield step("Mul", [f"{output}:rows", factors], output if is_last else f"{output}:scaled")
    if not is_last:
        yield step("Add", [f"{output}:scaled", shifts], output)


def _free_name(name: str, names: set[str]) -> str:
    """``name``, or with the first number behind it that no other node has; it is added to ``names``."""
    free = next(each for each in (name, *(f"{name}_{num}" for num in range(2, len(names) + 3))) if each not in names)
    names.add(free)
    return free
