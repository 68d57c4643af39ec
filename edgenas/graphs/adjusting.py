"""ONNX graphs whose logits are moved by constants: in the bias of the layer that gives them, or by one addition behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgenas.graphs.weights import is_outside

if TYPE_CHECKING:
    import onnx

_CONSTANTS = {"Gemm": (2,), "Conv": (2,), "Add": (0, 1)}  # inputs that are added to what the operator gives
NAME = "logit_adjustment"


def with_added_logits(model: onnx.ModelProto, added_K: NDArray[np.float32]) -> onnx.ModelProto:
    """A copy of ``model`` that adds constants to its logits.

    They go into the bias of the operator that gives the logits, if that is a float32 constant that nothing else reads. Else, as
    where the bias is integers, an ``Add`` takes the place of the graph's output; what gave the logits has another name then.

    Args:
        model: of one float32 output (N, K), for a fixed or any number of images.
        added_K: one number a class.
    """
    import onnx

    result = onnx.ModelProto()
    result.CopyFrom(model)
    (output,) = result.graph.output
    bias = _own_bias(result.graph, output.name)
    if bias is None:
        _add(result.graph, output, added_K)
    else:
        bias.CopyFrom(onnx.numpy_helper.from_array((onnx.numpy_helper.to_array(bias) + added_K).astype(np.float32), bias.name))
    onnx.checker.check_model(result)
    return result


def _own_bias(graph: onnx.GraphProto, output: str) -> onnx.TensorProto | None:
    """The constant that the operator of the logits alone adds; None where there is none, or it is no float32."""
    import onnx

    node = next(each for each in graph.node if output in each.output)
    reads = [name for each in graph.node for name in each.input]
    if node.domain or any(each.name == "beta" and each.f != 1 for each in node.attribute) or reads.count(output):
        return None
    names = [node.input[at] for at in _CONSTANTS.get(node.op_type, ()) if at < len(node.input)]
    tensor: onnx.TensorProto | None = next((each for each in graph.initializer if each.name in names), None)
    if tensor is None or reads.count(tensor.name) > 1 or tensor.data_type != onnx.TensorProto.FLOAT or is_outside(tensor):
        return None
    return tensor


def _add(graph: onnx.GraphProto, output: onnx.ValueInfoProto, added_K: NDArray[np.float32]) -> None:
    """Put an ``Add`` before the output, in place."""
    import onnx

    plain = f"{output.name}.unadjusted"
    for node in graph.node:
        for names in (node.input, node.output):
            for at, name in enumerate(names):
                names[at] = plain if name == output.name else name
    value = onnx.ValueInfoProto()
    value.CopyFrom(output)
    value.name = plain
    graph.value_info.append(value)
    graph.initializer.append(onnx.numpy_helper.from_array(added_K[None], NAME))
    graph.node.append(onnx.helper.make_node("Add", [plain, NAME], [output.name], name=f"{NAME}/Add"))
