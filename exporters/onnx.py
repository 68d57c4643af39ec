"""ONNX: one input ``image``, one output ``logits``, static or dynamic batch, float32 or typed float16.

Graphs come from `torch.onnx.export` (the exporter that traces with `torch.export`). What it records about the exporting
machine (stack traces with source paths) is removed: it is half the file of a small net and nobody else's business.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgenas import __version__
from edgenas.deploy.contracts import ExportedFile, ExportSpec, Precision
from edgenas.errors import ExportError
from edgenas.graphs import half
from edgenas.graphs.naming import name_nodes
from edgenas.graphs.precisions import BF16_OPSET, Reduced
from edgenas.graphs.quantizing import ASYMMETRIC, SYMMETRIC, Scheme
from edgenas.graphs.rewriting import rewrites_for
from edgenas.graphs.shares import shares_of
from edgenas.runs import atomic_path

from ._files import require_precision
from ._int8 import Int8Graph, int8_graph
from ._native import quiet
from ._probe import first_line
from ._rewriting import rewritten
from ._slices import split_asked_at_slices
from .onnxruntime import in_precision

if TYPE_CHECKING:
    import onnx
    from torch import nn

MIN_OPSET = 18
HALF_SCALES = 19  # the opset from which integers may stand for float16
_RUNTIMES = {"fp16": "onnxruntime-cuda", "bf16": "tensorrt"}  # that are meant to run a file; every other is for ONNX Runtime's CPU
_CHATTY = ("torch.onnx", "torch.export", "torch._dynamo", "torch.fx", "onnxscript", "onnx_ir")
_CHATTY_MODULES = r"(torch|onnxscript|onnx_ir|copyreg|enum)(\..*)?$"  # whose warnings are the exporter's


class OnnxExporter:
    """Writes ONNX files; ``fp16`` and ``bf16`` also write the graph that emulates their rounding on a CPU."""

    name = "onnx"
    precisions: tuple[Precision, ...] = ("fp32", "fp16", "bf16", "int8")
    batch_sizes: tuple[int | None, ...] = (1, None)
    summary = "ONNX, for ONNX Runtime and most others"

    def export(self, model: nn.Module, spec: ExportSpec, folder: Path) -> Sequence[ExportedFile]:
        """Write one file, named after precision and batch size, e.g. ``model-fp16-dynamic.onnx``.

        ``spec.metadata`` goes into its ``metadata_props``, the emulation has none.

        Raises:
            UsageError: for a precision that is not among them.
            ExportError: if the model cannot be traced, or holds values outside the range of float16.
            PrecisionError: if too little of it computes in the precision asked for.
        """
        import onnx

        require_precision(self, spec.precision)
        runtime = _RUNTIMES.get(spec.precision, "onnxruntime-cpu")
        typed = typed_graph(model, spec, runtime)
        path = folder / f"{typed.stem}.onnx"
        emulation = None
        if typed.emulation is not None:
            emulation = path.with_suffix(".emulated.onnx")
            save(typed.emulation, emulation)
        onnx.helper.set_model_props(typed.graph, dict(sorted(spec.metadata.items())))
        save(typed.graph, path)
        return [ExportedFile(path, "onnx", runtime, spec.precision, spec.batch_size, emulation=emulation, notes=typed.notes)]

    def graph(self, model: nn.Module, spec: ExportSpec) -> onnx.ModelProto:
        """The float32 graph that ``export`` converts."""
        return float_graph(model, spec, _RUNTIMES.get(spec.precision, "onnxruntime-cpu"))[0]

    def in_precision(self, data: bytes, precision: Precision) -> bytes:
        """The bytes of a float32 file, converted to typed float16 if that is asked for.

        Raises:
            ArtefactError: if it is not ONNX, or float16 and asked for in fp32.
        """
        return in_precision(data, precision)


@dataclass(frozen=True, slots=True)
class TypedGraph:
    """A graph in the precision asked for.

    Attributes:
        stem: of file names, e.g. ``model-fp16-b1``.
        emulation: float32 graph with the same rounding, None for float32.
        notes: facts for the manifest.
    """

    graph: onnx.ModelProto
    emulation: onnx.ModelProto | None
    stem: str
    notes: dict[str, str | int | float]


def typed_graph(model: nn.Module, spec: ExportSpec, runtime: str = "onnxruntime-cpu", *, int8: Scheme = ASYMMETRIC) -> TypedGraph:
    """Trace ``model``, rewrite and type it as ``spec`` asks; what is around integers of TensorRT's kind is float16.

    Args:
        model: in eval mode.
        spec: what is to be written.
        runtime: that the file is for, whose rewrites are made where ``spec`` names none.
        int8: how the runtime that the file is for wants its integers.

    Raises:
        ExportError: if it cannot be traced, holds values outside the range of its precision, or cannot be calibrated; or if a
            rewrite would change what it computes.
        PrecisionError: if too little of it computes in the precision asked for, naming what does not.
        GateError: if int8 changes decisions whichever layers stay float.
    """
    graph, changes = float_graph(model, spec, runtime, int8=int8)
    batch = "dynamic" if spec.batch_size is None else f"b{spec.batch_size}"
    stem = f"model-{spec.precision}-{batch}"
    notes: dict[str, str | int | float] = {"opset": opset_of(spec, int8), "num_nodes": len(graph.graph.node), **changes}
    if spec.precision == "fp32":
        return TypedGraph(graph, None, stem, notes)
    found = int8_graph(graph, spec, int8) if spec.precision == "int8" else Int8Graph(graph, {})
    graph, notes = found.model, notes | found.notes
    if spec.precision == "int8" and int8 is ASYMMETRIC:
        ships = found.adjusted(graph)
        shares = shares_of(ships, "int8", kept=spec.kept)
        shares.require()
        return TypedGraph(ships, None, stem, notes | shares.as_notes())
    # around integers is float16, wherever nothing was left out
    around: Reduced = "bf16" if spec.precision == "bf16" else "fp16"
    kept = () if spec.precision == "int8" else spec.kept
    typed = half.to_half(graph, precision=around, kept=kept)
    ships = found.adjusted(typed.model)  # once it is typed: what gives the logits stays float32
    shares = shares_of(ships, spec.precision, kept=spec.kept)
    shares.require()
    emulation = found.adjusted(half.emulate_half(graph, precision=around, kept=kept))
    return TypedGraph(ships, emulation, stem, notes | typed.notes | shares.as_notes())


def float_graph(
    model: nn.Module, spec: ExportSpec, runtime: str, *, int8: Scheme = ASYMMETRIC
) -> tuple[onnx.ModelProto, dict[str, str | int | float]]:
    """The float32 graph of ``model`` that is converted to the precision of ``spec``, and what was rewritten in it.

    Raises:
        ExportError: if it cannot be traced, or if a rewrite would change what it computes.
    """
    traced = export_graph(model, spec.input_shape, batch_size=spec.batch_size, opset=opset_of(spec, int8))
    graph, changes = rewritten(traced, rewrites_for(runtime, spec.rewrites))
    return graph, dict(changes)


def opset_of(spec: ExportSpec, int8: Scheme = ASYMMETRIC) -> int:
    """The opset that is written: bfloat16 needs one that has it in convolutions, integers one where they stand for float16."""
    if spec.precision == "bf16":
        return max(spec.opset, BF16_OPSET)
    return max(spec.opset, HALF_SCALES) if spec.precision == "int8" and int8 is SYMMETRIC else spec.opset


def export_graph(
    model: nn.Module, sample_shape: Sequence[int], *, batch_size: int | None = 1, opset: int = MIN_OPSET
) -> onnx.ModelProto:
    """Trace ``model`` into a checked ONNX graph with one input ``image`` and one output ``logits``.

    A copy is traced, on the CPU, in eval mode and float32; ``model`` stays as it is. Nodes are named after the modules that they
    come from.

    Args:
        model: one tensor in, one tensor out.
        sample_shape: shape of one sample without the batch: (C, H, W) of an image, (L, C) of tokens.
        batch_size: samples a call; None makes the first axis dynamic.
        opset: 18 or later.

    Raises:
        ExportError: if the model cannot be traced or the graph is not valid ONNX.
    """
    import torch

    if opset < MIN_OPSET:
        raise ExportError(f"opset {opset} is too old, edgenas writes {MIN_OPSET} and later")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size {batch_size} is less than 1")
    traced = copy.deepcopy(model).cpu().float().eval().requires_grad_(False)
    sample = torch.zeros(2 if batch_size is None else batch_size, *sample_shape)
    options: dict[str, Any] = {"input_names": ["image"], "output_names": ["logits"], "opset_version": opset}
    if batch_size is None:
        options["dynamic_shapes"] = ({0: torch.export.Dim("batch", min=1)},)
    try:
        with quiet(*_CHATTY, only=_CHATTY_MODULES), split_asked_at_slices(), torch.no_grad():
            program = torch.onnx.export(traced, (sample,), dynamo=True, verbose=False, **options)
    except (torch.onnx.OnnxExporterError, RuntimeError, ValueError, TypeError) as error:
        raise ExportError(f"{type(model).__name__} cannot be traced to ONNX: {first_line(_root(error))}") from error
    assert program is not None  # None is the answer of the older exporter
    graph = program.model_proto
    name_nodes(graph)
    _strip(graph)
    _check(graph, sample_shape, batch_size)
    return graph


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def save(graph: onnx.ModelProto, path: Path) -> None:
    """Write a graph as one file, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(graph.SerializeToString(deterministic=True))


def _strip(graph: onnx.ModelProto) -> None:
    graph.producer_name, graph.producer_version = "edgenas", __version__
    del graph.metadata_props[:]
    del graph.graph.metadata_props[:]
    graph.graph.ClearField("doc_string")
    inner = graph.graph
    for group in (inner.node, inner.value_info, inner.input, inner.output, inner.initializer):
        for item in group:
            item.ClearField("doc_string")
            del item.metadata_props[:]


def _check(graph: onnx.ModelProto, sample_shape: Sequence[int], batch_size: int | None) -> None:
    import onnx

    inner = graph.graph
    if [i.name for i in inner.input] != ["image"] or [o.name for o in inner.output] != ["logits"]:
        raise ExportError(
            f"the graph has inputs {[i.name for i in inner.input]} and outputs {[o.name for o in inner.output]}, "
            "expected ['image'] and ['logits']"
        )
    dims = inner.input[0].type.tensor_type.shape.dim
    if batch_size is None and not dims[0].dim_param:
        raise ExportError(f"the batch axis of the graph is fixed to {dims[0].dim_value}, asked for was a dynamic one")
    if [dim.dim_value for dim in dims[1:]] != list(sample_shape):
        raise ExportError(f"the graph reads {[dim.dim_value for dim in dims[1:]]}, expected {list(sample_shape)}")
    rows = inner.output[0].type.tensor_type.shape.dim
    if not rows or (rows[0].dim_param, rows[0].dim_value) != (dims[0].dim_param, dims[0].dim_value):
        got = (rows[0].dim_param or rows[0].dim_value) if rows else "none"
        expected = dims[0].dim_param or dims[0].dim_value
        raise ExportError(f"the model must give one row a sample; for a batch of {expected} it gives {got}")
    try:
        onnx.checker.check_model(graph)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"the graph is not valid ONNX: {first_line(error)}") from error
