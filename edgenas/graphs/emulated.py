"""What a graph that emulates a reduced precision rounds, read off it: a plain float32 graph does not pass for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgenas.graphs.blocks import node_macs
from edgenas.graphs.opening import named
from edgenas.graphs.precisions import Reduced
from edgenas.graphs.shares import shares_of
from edgenas.records import Precision

if TYPE_CHECKING:
    import onnx


def emulated_share(model: onnx.ModelProto, precision: Precision) -> float:
    """Share of the multiply-accumulates of an emulation whose results are as ``precision`` has them; of integers, their factors."""
    if precision in ("fp16", "bf16"):
        return _rounded_share(model, precision)
    return shares_of(model, precision).of_macs


def _rounded_share(model: onnx.ModelProto, precision: Reduced) -> float:
    """Share of the multiply-accumulates whose results nothing reads before they are cast to the precision."""
    import onnx

    kind = {"fp16": onnx.TensorProto.FLOAT16, "bf16": onnx.TensorProto.BFLOAT16}[precision]
    graph = onnx.shape_inference.infer_shapes(named(model))
    exact = {value.name for value in graph.graph.output}
    for node in graph.graph.node:
        is_rounding = node.op_type == "Cast" and any(each.name == "to" and each.i == kind for each in node.attribute)
        exact.update(() if is_rounding else node.input)
    work = node_macs(graph)
    rounded = [node.name for node in graph.graph.node if not exact.intersection(node.output)]
    return sum(work.get(name, 0) for name in rounded) / max(1, sum(work.values()))
