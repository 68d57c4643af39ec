"""Results inside an ONNX graph: which layer first gives numbers that are not finite, and what any of them gives.

Graphs run in ONNX Runtime on the CPU without optimisations, which would merge operators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import ImageRows
from edgenas.graphs.half import ROUNDED

if TYPE_CHECKING:
    import onnx


def first_not_finite(path: Path, images_NCHW: ImageRows) -> str | None:
    """The first operator, in the order of computation, with a result that is not finite on some images, by name and kind.

    Every result of the graph is asked for. Meant for few images.

    Args:
        path: of an ONNX file.
        images_NCHW: as many as the file takes at once.

    Returns:
        E.g. ``blocks.0.mlp/MatMul (MatMul)``; None where all results are finite, or the packages or the file do not allow to look.
    """
    model = read_graph(path)
    if model is None:
        return None
    producers, kinds = float_results(model), {node.name: node.op_type for node in model.graph.node}
    results = results_of(model, np.ascontiguousarray(images_NCHW, dtype=np.float32), list(producers))
    for node, values in zip(producers.values(), results if results is not None else (), strict=results is not None):
        if not np.isfinite(values.astype(np.float64)).all():
            return _named(node, kinds)
    return None


def _named(node: onnx.NodeProto, kinds: Mapping[str, str]) -> str:
    """Name and kind of an operator; where it only rounds what another one gives, those of that one."""
    rounded = node.name.removesuffix(ROUNDED)
    if node.op_type == "Cast" and rounded != node.name and rounded in kinds:
        return f"{rounded} ({kinds[rounded]})"
    return f"{node.name or node.output[0]} ({node.op_type})"


def read_graph(path: Path) -> onnx.ModelProto | None:
    """An ONNX graph; None where the package or the file does not allow to read it."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        return None
    try:
        return onnx.load_model_from_string(path.read_bytes())
    except (OSError, DecodeError, ValueError):
        return None


def float_results(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """The operators of a graph by the names of their float results, in the order of computation."""
    import onnx

    kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    known = _values(model)
    return {
        name: node
        for node in model.graph.node
        for name in node.output
        if name in known and known[name].type.tensor_type.elem_type in kinds
    }


def results_of(model: onnx.ModelProto, images_NCHW: NDArray[np.float32], names: Sequence[str]) -> list[NDArray[Any]] | None:
    """Some results of a graph on as many images as it takes at once; None where it cannot be run here."""
    try:
        import onnx
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as states
    except ImportError:
        return None
    # ONNX Runtime's exceptions have no common base but Exception
    own = (each for each in vars(states).values() if isinstance(each, type) and issubclass(each, Exception))
    failures: tuple[type[Exception], ...] = (OSError, RuntimeError, ValueError, *own)
    known, asked = _values(model), onnx.ModelProto()
    asked.CopyFrom(model)
    already = {value.name for value in model.graph.output}
    asked.graph.output.extend(known[name] for name in names if name not in already)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(asked.SerializeToString(), options, providers=["CPUExecutionProvider"])
        results: list[NDArray[Any]] = session.run(list(names), {session.get_inputs()[0].name: images_NCHW})
    except failures:
        return None
    return results


def _values(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """Types and shapes of a graph's values by their names, as far as they can be inferred."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    return {value.name: value for value in (*graph.value_info, *graph.output)}
