"""Small graphs made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator


def graph_of(
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, NDArray[Any]],
    *,
    image: Sequence[int | str] = ("batch", 4),
    logits: Sequence[int | str] = ("batch", 4),
    opset: int = 20,
) -> onnx.ModelProto:
    """A graph from ``image`` to ``logits``."""
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, list(image))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, list(logits))],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model: onnx.ModelProto, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """What ONNX Runtime answers on the CPU, in the order of the graph's operators."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {"image": image})[0]
    return result


def refer(model: onnx.ModelProto, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """What onnx's own reference evaluator answers, in the types that the graph says."""
    with np.errstate(over="ignore", invalid="ignore"):
        result: NDArray[np.float32] = ReferenceEvaluator(model).run(None, {"image": image})[0]
    return result


def node(op_type: str, inputs: Sequence[str], outputs: Sequence[str], name: str = "", **attributes: Any) -> onnx.NodeProto:
    """An operator."""
    made: onnx.NodeProto = helper.make_node(op_type, list(inputs), list(outputs), name=name or outputs[0], **attributes)
    return made
