"""Which layer of an ONNX file first gives numbers that are not finite."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgenas.deploy.contracts import ImageRows
from edgenas.graphs.half import ROUNDED


def first_not_finite(path: Path, images_NCHW: ImageRows) -> str | None:
    """The first operator, in the order of computation, with a result that is not finite on some images, by name and kind.

    Every result of the graph is asked for, in ONNX Runtime on the CPU without optimisations, which would merge operators. Meant for
    few images.

    Args:
        path: of an ONNX file.
        images_NCHW: as many as the file takes at once.

    Returns:
        E.g. ``blocks.0.mlp/MatMul (MatMul)``; None where all results are finite, or the packages or the file do not allow to look.
    """
    try:
        import onnx
        import onnxruntime
        from google.protobuf.message import DecodeError
        from onnxruntime.capi import onnxruntime_pybind11_state as states
    except ImportError:
        return None
    # ONNX Runtime's exceptions have no common base but Exception
    failures = tuple(each for each in vars(states).values() if isinstance(each, type) and issubclass(each, Exception))
    try:
        model = onnx.load_model_from_string(path.read_bytes())
        producers = _add_outputs(model)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        image = np.ascontiguousarray(images_NCHW, dtype=np.float32)
        results = session.run(list(producers), {session.get_inputs()[0].name: image})
    except (OSError, DecodeError, RuntimeError, ValueError, *failures):
        return None
    kinds = {node.name: node.op_type for node in model.graph.node}
    for node, values in zip(producers.values(), results, strict=True):
        if not np.isfinite(values.astype(np.float64)).all():
            return _named(node, kinds)
    return None


def _named(node: Any, kinds: Mapping[str, str]) -> str:
    """Name and kind of an operator; where it only rounds what another one gives, those of that one."""
    rounded = node.name.removesuffix(ROUNDED)
    if node.op_type == "Cast" and rounded != node.name and rounded in kinds:
        return f"{rounded} ({kinds[rounded]})"
    return f"{node.name or node.output[0]} ({node.op_type})"


def _add_outputs(model: Any) -> dict[str, Any]:
    """Make every float result an output of the graph; returns the operators by the name of their results, in order."""
    import onnx

    kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    graph = onnx.shape_inference.infer_shapes(model).graph
    known = {value.name: value for value in (*graph.value_info, *graph.output)}
    already = {value.name for value in model.graph.output}
    producers: dict[str, Any] = {}
    for node in model.graph.node:
        for name in node.output:
            value = known.get(name)
            if value is None or value.type.tensor_type.elem_type not in kinds:
                continue
            producers[name] = node
            if name not in already:
                model.graph.output.append(value)
    return producers
