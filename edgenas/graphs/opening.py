"""Operators of several steps taken apart into operators of one step each, so that what happens between the steps can be seen.

The functions of the standard itself (`onnx.defs`) are not used: that of Attention is sixty nodes, which ship. Shapes: B images,
H heads, L queries, S keys, D width of a head.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

Shape = tuple[int | None, ...]


def named(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with the model's functions inlined and a name for every node: operator and position where it had none."""
    import onnx
    from onnx.inliner import inline_local_functions

    copy = inline_local_functions(model) if model.functions else model
    result = onnx.ModelProto()
    result.CopyFrom(copy)
    seen: set[str] = {node.name for node in result.graph.node}
    for position, node in enumerate(result.graph.node):
        if not node.name:
            node.name = f"{node.op_type}_{position}"
            while node.name in seen:
                node.name += "_"
            seen.add(node.name)
    return result


def opened(model: onnx.ModelProto) -> onnx.ModelProto:
    """A named copy in which Attention and Gelu are operators of one step, where they can be; constants are weights.

    A part is called after the operator that it comes from and after itself: ``blocks.0.attn/Attention/MatMul``.
    """
    import onnx
    from onnx import numpy_helper

    result = onnx.shape_inference.infer_shapes(named(model))
    graph = result.graph
    shapes = shapes_of(graph)
    nodes: list[Any] = []
    for node in graph.node:
        if node.op_type == "Constant" and len(node.attribute) == 1 and node.attribute[0].name == "value":
            tensor = onnx.TensorProto()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
            continue
        steps = _Steps(node)
        if node.domain == "" and node.op_type == "Gelu":
            _open_gelu(steps)
        elif node.domain == "" and node.op_type == "Attention":
            _open_attention(steps, shapes)
        nodes += steps.nodes or [node]
        graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in steps.weights.items())
    copies = [onnx.NodeProto() for _ in nodes]
    for copy, node in zip(copies, nodes, strict=True):
        copy.CopyFrom(node)
    del graph.node[:]
    graph.node.extend(copies)
    return onnx.shape_inference.infer_shapes(result)


class _Steps:
    """The parts of one node while they are made: nodes in order, and the weights that they need."""

    def __init__(self, node: Any) -> None:
        self.node = node
        self.nodes: list[Any] = []
        self.weights: dict[str, np.ndarray[Any, Any]] = {}

    def add(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        """One step; returns the name of what it gives."""
        from onnx import helper

        name = f"{self.node.name}/{op_type}"
        times = sum(each.op_type == op_type for each in self.nodes)
        name = f"{name}_{times}" if times else name
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], name=name, **attributes))
        return name

    def weight(self, label: str, value: float) -> str:
        name = f"{self.node.name}/{label}"
        self.weights[name] = np.array(value, dtype=np.float32)
        return name

    def close(self) -> None:
        """Let the last step give what the node gave."""
        self.nodes[-1].output[0] = self.node.output[0]

    def attribute(self, name: str, default: Any) -> Any:
        from onnx import helper

        return next((helper.get_attribute_value(each) for each in self.node.attribute if each.name == name), default)


def _open_gelu(steps: _Steps) -> None:
    if steps.attribute("approximate", b"none") != b"none":
        return
    x = steps.node.input[0]
    error = steps.add("Erf", [steps.add("Div", [x, steps.weight("root", math.sqrt(2))])])
    share = steps.add("Mul", [steps.weight("half", 0.5), steps.add("Add", [error, steps.weight("one", 1.0)])])
    steps.add("Mul", [x, share])
    steps.close()


def _open_attention(steps: _Steps, shapes: Mapping[str, Shape]) -> None:
    """Scale both factors by the root of the scale, as the standard does, so that the product is no larger than it must be."""
    node = steps.node
    query, key, value, *more = node.input
    sizes = [shapes.get(name, ()) for name in (query, key, value)]
    is_plain = not any(steps.attribute(name, 0) for name in ("is_causal", "softcap")) and not any(more) and not any(node.output[1:])
    heads = {size[1] if len(size) == 4 else None for size in sizes}
    width = sizes[0][3] if len(sizes[0]) == 4 else None
    if not is_plain or len(heads) != 1 or None in heads or width is None:
        return
    scale = float(steps.attribute("scale", 1 / math.sqrt(width)))
    if scale <= 0:
        return
    root = steps.weight("scale", math.sqrt(scale))
    scaled_BHLD = steps.add("Mul", [query, root])
    scaled_BHDS = steps.add("Mul", [steps.add("Transpose", [key], perm=[0, 1, 3, 2]), root])
    share_BHLS = steps.add("Softmax", [steps.add("MatMul", [scaled_BHLD, scaled_BHDS])], axis=-1)
    steps.add("MatMul", [share_BHLS, value])
    steps.close()


def shapes_of(graph: Any) -> dict[str, Shape]:
    """Known shapes by value; None for an axis of any length."""
    shapes: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            shapes[value.name] = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims)
    return shapes
