"""Rewritten graphs, each proven: the graph is run before and after, on the same noise, and must give the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import ExportError, MissingBackendError
from edgenas.graphs.rewriting import Rewritten, known_rewrites, rewrite

if TYPE_CHECKING:
    import onnx

TOLERANCE = 1e-4  # largest difference of two outputs, as a share of the largest output: sums in another order give 1e-6 and less
SEEDS = (0, 1, 2)
FREE_BATCHES = (1, 2)

Rewriting = Callable[["onnx.ModelProto", Sequence[str]], Rewritten]
Notes = dict[str, str | int | float]


def rewritten(graph: onnx.ModelProto, names: Sequence[str], make: Rewriting = rewrite) -> tuple[onnx.ModelProto, Notes]:
    """``graph`` with the rewrites that are named and apply, and notes: how many places each changed, and the proof's figure.

    Args:
        graph: float32; its batch may be free.
        names: of `edgenas.graphs.rewriting.REWRITES`.
        make: makes them.

    Raises:
        ExportError: naming the rewrite after which the graph gives other numbers, and by how much; or for a net that rounding
            alone makes answer otherwise, or that gives no numbers.
        MissingBackendError: without ONNX Runtime, which the proof runs on.
    """
    wanted = known_rewrites(names)
    result = make(graph, wanted)
    if not result.counts:
        return graph, {}
    expected = _outputs(graph, result.model)
    if not all(np.isfinite(each).any() for each in expected):
        raise ExportError(
            "rewrites cannot be proven on this net: it answers noise with nothing that is a finite number",
            hint="train it, or export the graph as it was traced: --set export.rewrites=[]",
        )
    difference = _difference(expected, _outputs(result.model, graph))
    if not difference <= TOLERANCE:
        _require_steady(graph, expected)
        culprit, alone = _culprit(graph, wanted, make, expected)
        what = f"rewrite {culprit!r}" if culprit else f"rewrites {', '.join(wanted)} together"
        raise ExportError(
            f"{what} would change the net: outputs differ by {alone if culprit else difference:.2g} of the largest, "
            f"at most {TOLERANCE:g} is allowed",
            hint="export the graph as it was traced: --set export.rewrites=[]",
        )
    return result.model, {"rewrites": str(result), "rewrites_proof": float(f"{difference:.2g}")}


def _require_steady(graph: onnx.ModelProto, expected: Sequence[NDArray[np.float32]]) -> None:
    """Refuse a net that makes rounding so large that nothing can be proven of it.

    Raises:
        ExportError: if outputs differ by too much where inputs differ in their last digit, and by how much.
    """
    moved = _difference(expected, _outputs(graph, graph, last_digit=True))
    if not moved <= TOLERANCE:
        raise ExportError(
            "rewrites cannot be proven on this net, which makes rounding large: noise that differs in its last digit changes "
            f"outputs by {moved:.2g} of the largest, at most {TOLERANCE:g} is allowed",
            hint="train it, or export the graph as it was traced: --set export.rewrites=[]",
        )


def _culprit(
    graph: onnx.ModelProto, names: Sequence[str], make: Rewriting, expected: Sequence[NDArray[np.float32]]
) -> tuple[str, float]:
    """The first rewrite that alone changes the outputs, and by how much; empty where only several together do."""
    for name in names:
        difference = _difference(expected, _outputs(make(graph, [name]).model, graph))
        if not difference <= TOLERANCE:
            return name, difference
    return "", 0.0


def _difference(first: Sequence[NDArray[np.float32]], second: Sequence[NDArray[np.float32]]) -> float:
    """The largest difference as a share of the largest output; infinite where another one is not finite, or shapes differ."""
    worst = 0.0
    for one, other in zip(first, second, strict=True):
        finite = np.isfinite(one)
        if one.shape != other.shape or not np.array_equal(finite, np.isfinite(other)):
            return float("inf")
        if finite.any():
            largest = max(float(np.abs(one[finite]).max()), float(np.finfo(np.float32).tiny))
            worst = max(worst, float(np.abs(one[finite] - other[finite]).max()) / largest)
    return worst


def _outputs(graph: onnx.ModelProto, other: onnx.ModelProto, *, last_digit: bool = False) -> list[NDArray[np.float32]]:
    """What a graph gives for seeded noise, or for the next larger numbers; ``other`` is the graph that it is compared with."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingBackendError(
            "ONNX Runtime, which proves rewrites of graphs, is not installed", hint="pip install onnxruntime"
        ) from error
    dims = other.graph.input[0].type.tensor_type.shape.dim
    batches = FREE_BATCHES if dims[0].dim_param else (int(dims[0].dim_value),)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.inter_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (name,) = (value.name for value in session.get_inputs())
    outputs = []
    for batch in batches:
        for seed in SEEDS:
            shape = (batch, *(int(dim.dim_value) for dim in dims[1:]))
            noise = np.random.default_rng([seed, batch]).standard_normal(shape).astype(np.float32)
            noise = np.nextafter(noise, np.float32(np.inf)) if last_digit else noise
            outputs.append(np.asarray(session.run(None, {name: noise})[0]))
    return outputs
