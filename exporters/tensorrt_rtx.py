"""TensorRT-RTX: engines built ahead of time for GPUs that this machine need not have, and the runtime for such a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgenas.deploy.contracts import ExportedFile, ExportSpec, Precision, Probe, Runner, SourceKind
from edgenas.errors import ArtefactError, ExportError, MissingBackendError, UsageError
from edgenas.graphs.heads import half_products, single_products
from edgenas.graphs.quantizing import SYMMETRIC
from edgenas.graphs.shares import SHARE_NOTES, shares_of

from . import _trt
from ._files import read_source, require_precision
from ._host import NO_GPU, Gpu, find_gpu
from ._probe import tiny_onnx, try_runner
from ._rebuilding import build_repeatedly
from .onnx import TypedGraph, float_graph, save, typed_graph
from .onnxruntime import runnable_in

if TYPE_CHECKING:
    from types import ModuleType

    import onnx
    from torch import nn

DEFAULT_TARGETS = ("sm86", "sm89", "sm120")
PORTABLE = "portable"  # one engine for every architecture from Ampere on
WITHOUT_SINGLE_PRODUCTS = frozenset({"sm75"})  # its compiler for Turing refuses float32 matrix products
INSTALL = "pip install 'edgenas[trt-rtx]'"


class TensorRtRtxExporter:
    """Writes one engine a GPU architecture; needs no GPU."""

    name = "trt-rtx"
    precisions: tuple[Precision, ...] = ("fp16", "fp32", "bf16", "int8")
    summary = "TensorRT-RTX engines, built without a GPU"
    builds_engines = True

    def require_targets(self, asked: Sequence[str]) -> None:
        """Refuse targets that TensorRT-RTX does not build for, before any work; none is refused where none is asked for.

        Raises:
            MissingBackendError: without TensorRT-RTX.
            UsageError: naming all unknown targets and the supported ones.
        """
        if asked:
            require_targets(load_package(), asked)

    def export(self, model: nn.Module, spec: ExportSpec, folder: Path) -> Sequence[ExportedFile]:
        """Build ``model-PRECISION-BATCH-TARGET.engine`` for every target (default: sm86, sm89, sm120).

        A target is an architecture (``sm86``), several in one engine (``sm86+sm89``), or ``portable``: one engine for every
        architecture from Ampere on. Beside fp16 engines lies the ONNX graph that emulates their rounding on a CPU; fp32 engines
        have the plain graph there.

        Raises:
            MissingBackendError: without TensorRT-RTX.
            UsageError: naming the supported targets.
            ExportError: if the model cannot be traced or built.
            PrecisionError: if the precision asked for does not happen.
        """
        trt = load_package()
        groups = require_targets(trt, spec.targets or spec.ahead or DEFAULT_TARGETS)
        typed = typed_for_engines(model, spec)
        sources: dict[bool, TypedSource] = {}
        files = []
        for label, targets in groups.items():
            half_head = needs_half_head(spec.precision, targets)
            if half_head not in sources:
                sources[half_head] = source_of(typed, spec, folder, half_head=half_head)
            source = sources[half_head]
            built = build_repeatedly(
                partial(build_for, trt, source, spec.precision, targets), spec, load=_loader(trt, spec, targets)
            )
            path = folder / f"{typed.stem}-{label}.engine"
            _trt.write(path, built.engine)
            notes = source.notes | built.notes
            files.append(
                ExportedFile(
                    *(path, "engine", TensorRtRtx.name, spec.precision, spec.batch_size, targets, source.emulation), notes=notes
                )
            )
        return files

    def graph(self, model: nn.Module, spec: ExportSpec) -> onnx.ModelProto:
        """The float32 graph that ``export`` converts."""
        return float_graph(model, spec, TensorRtRtx.name)[0]


@dataclass(frozen=True, slots=True)
class TypedSource:
    """A typed ONNX file's bytes, the graph that emulates it, and what is known of it."""

    data: bytes
    emulation: Path
    notes: dict[str, str | int | float]


def typed_for_engines(model: nn.Module, spec: ExportSpec) -> TypedGraph:
    """The graph that engines are built from, as `typed_graph`, which raises."""
    if spec.precision not in TensorRtRtxExporter.precisions:
        raise UsageError(f"engines are built in {', '.join(TensorRtRtxExporter.precisions)}, not in {spec.precision}")
    return typed_graph(model, spec, TensorRtRtx.name, int8=SYMMETRIC)


def needs_half_head(precision: Precision, targets: Sequence[str]) -> bool:
    """Whether the layer of the logits must be half because a target has no float32 matrix products."""
    return precision in ("fp16", "int8") and not WITHOUT_SINGLE_PRODUCTS.isdisjoint(targets)


def source_of(typed: TypedGraph, spec: ExportSpec, folder: Path, *, half_head: bool) -> TypedSource:
    """What engines are built from; with the logits' layer in half precision where a target has no other matrix products."""
    graph, emulation, notes, name = typed.graph, typed.emulation, typed.notes, typed.stem
    if half_head and emulation is not None:
        names = single_products(graph)
        graph, emulation = half_products(graph, names), half_products(emulation, names, emulate=True)
        notes = {key: value for key, value in notes.items() if not key.startswith(SHARE_NOTES)}
        notes, name = notes | shares_of(graph, spec.precision, kept=spec.kept).as_notes(), f"{name}.half-head"
    path = folder / f"{name}.emulated.onnx"
    save(graph if emulation is None else emulation, path)
    return TypedSource(graph.SerializeToString(), path, notes)


def build_for(trt: ModuleType, source: TypedSource, precision: Precision, targets: Sequence[str]) -> _trt.Built:
    """One engine for all of ``targets``.

    Raises:
        ExportError: in TensorRT-RTX' words.
        PrecisionError: if the network's types are not of ``precision``.
    """
    try:
        return _trt.build(trt, source.data, precision=precision, targets=targets)
    except ExportError as error:
        if precision in ("fp32", "bf16") and not WITHOUT_SINGLE_PRODUCTS.isdisjoint(targets):
            raise ExportError(error.message, problems=error.problems, hint="sm75 takes --precision fp16") from error
        raise


def _loader(trt: ModuleType, spec: ExportSpec, targets: Sequence[str]) -> Callable[[_trt.Built], Runner] | None:
    """What opens an engine here, if this machine's GPU is among its targets."""
    gpu = find_gpu()
    if gpu is None or gpu.target not in targets:
        return None
    return lambda built: _trt.EngineRunner(trt, built.engine, name=TensorRtRtx.name, gpu=gpu, precision=spec.precision, built=built)


class TensorRtRtx:
    """Runs TensorRT-RTX engines, and ONNX files after building them for this GPU."""

    name = "tensorrt-rtx"
    device_kind: Literal["cpu", "cuda"] = "cuda"
    accepts: tuple[SourceKind, ...] = ("onnx", "engine")
    precisions: tuple[Precision, ...] = ("fp32", "fp16", "bf16", "int8")

    def probe(self) -> Probe:
        """Build a tiny net and run it; without a GPU that it supports, only build it ahead of time."""

        def load() -> Runner:
            trt = load_package()
            if find_gpu() is None:
                _trt.build(trt, tiny_onnx().SerializeToString(), precision="fp32", targets=DEFAULT_TARGETS[:1])
                raise MissingBackendError(
                    f"{NO_GPU}; TensorRT-RTX {trt.__version__} built a tiny net ahead of time for {DEFAULT_TARGETS[0]}"
                )
            gpu = _require_gpu(trt)
            built = _trt.build(trt, tiny_onnx().SerializeToString(), precision="fp32", targets=(gpu.target,))
            return _trt.EngineRunner(trt, built.engine, name=self.name, gpu=gpu, precision="fp32", built=built)

        return try_runner(load, what=self.name)

    def load(
        self, source: Path | nn.Module, *, precision: Precision = "fp32", threads: int | None = None, spinning: bool = True
    ) -> Runner:
        """Load an engine, or build one from an ONNX file (a float32 file asked for in fp16 is converted).

        Raises:
            MissingBackendError: without TensorRT-RTX or a GPU that it supports.
            ArtefactError: if the file cannot be loaded, or holds no integers and is asked for in int8.
        """
        trt = load_package()
        gpu = _require_gpu(trt)
        require_precision(self, precision, hint="use torch-cuda-graph")
        data = read_source(source, self.name, "ONNX files and engines")
        if isinstance(source, Path) and source.suffix == ".onnx":
            built = _trt.build(trt, runnable_in(data, precision), precision=precision, targets=(gpu.target,))
            return _trt.EngineRunner(trt, built.engine, name=self.name, gpu=gpu, precision=precision, built=built)
        require_valid(trt, data, gpu)
        return _trt.EngineRunner(trt, data, name=self.name, gpu=gpu, precision=precision)


def load_package() -> ModuleType:
    """The package `tensorrt_rtx`.

    Raises:
        MissingBackendError: if it is missing.
    """
    try:
        import tensorrt_rtx
    except (ImportError, OSError) as error:
        raise MissingBackendError("TensorRT-RTX is not installed", hint=INSTALL) from error
    package: ModuleType = tensorrt_rtx
    return package


def supported_targets(trt: ModuleType) -> tuple[str, ...]:
    """GPU architectures that the package builds for, e.g. ``sm86``, oldest first."""
    names = [name for name in trt.ComputeCapability.__members__ if name.startswith("SM")]
    return tuple(sorted((name.lower() for name in names), key=lambda name: int(name[2:])))


def require_targets(trt: ModuleType, asked: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The architectures of each engine that is asked for, oldest first: ``sm86``, ``sm86+sm89`` or ``portable``.

    Raises:
        UsageError: naming all unknown targets and the supported ones.
    """
    supported = supported_targets(trt)
    groups = {}
    for label in asked:
        names = {name for name in supported if name not in WITHOUT_SINGLE_PRODUCTS} if label == PORTABLE else {*label.split("+")}
        groups[label] = tuple(sorted(names, key=lambda name: (supported.index(name) if name in supported else -1, name)))
    unknown = [
        label if name in ("", PORTABLE) else name for label, targets in groups.items() for name in targets if name not in supported
    ]
    if unknown:
        raise UsageError(
            f"TensorRT-RTX {trt.__version__} does not build for {', '.join(dict.fromkeys(unknown))}",
            hint=f"supported are {', '.join(supported)}, several in one engine ({supported[-2]}+{supported[-1]}) and {PORTABLE}",
        )
    return groups


def require_valid(trt: ModuleType, data: bytes, gpu: Gpu) -> None:
    """Ask the engine's header whether it was built for this GPU, version and driver.

    Raises:
        ArtefactError: if the bytes are no engine.
        MissingBackendError: if they are one for another machine, saying why.
    """
    logger = _trt.make_logger(trt)
    runtime = trt.Runtime(logger)
    validity, diagnostics = runtime.get_engine_validity(data[: runtime.engine_header_size])
    if validity != trt.EngineValidity.INVALID:
        return
    reasons = [name for name, bit in trt.EngineInvalidityDiagnostics.__members__.items() if int(diagnostics) & int(bit)]
    if "MALFORMED_ENGINE" in reasons:
        raise ArtefactError(f"the file is no engine of TensorRT-RTX {trt.__version__}")
    why = ", ".join(name.lower().replace("_", " ") for name in reasons) or _trt.first_words(logger)
    raise MissingBackendError(f"the engine was not built for {gpu.name} ({gpu.target}): {why}", hint=f"build for {gpu.target}")


def _require_gpu(trt: ModuleType) -> Gpu:
    gpu = find_gpu()
    if gpu is None:
        raise MissingBackendError(f"{NO_GPU}; engines can be built ahead of time, but not run")
    supported = supported_targets(trt)
    if gpu.target not in supported:
        raise MissingBackendError(
            f"TensorRT-RTX {trt.__version__} does not support {gpu.name} ({gpu.target}), only {', '.join(supported)}",
            hint="pip install 'edgenas[trt]'",
        )
    return gpu
