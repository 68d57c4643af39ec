"""TensorRT-RTX: engines built ahead of time for GPUs that this machine need not have, and the runtime for such a GPU."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgenas.deploy.contracts import ExportedFile, ExportSpec, Precision, Probe, Runner, SourceKind
from edgenas.errors import ArtefactError, MissingBackendError, UsageError

from . import _trt
from ._files import read_source, require_precision
from ._host import NO_GPU, Gpu, find_gpu
from ._probe import tiny_onnx, try_runner
from .onnx import float_graph, save, typed_graph
from .onnxruntime import in_precision

if TYPE_CHECKING:
    from types import ModuleType

    import onnx
    from torch import nn

DEFAULT_TARGETS = ("sm86", "sm89", "sm120")
INSTALL = "pip install 'edgenas[trt-rtx]'"


class TensorRtRtxExporter:
    """Writes one engine a GPU architecture; needs no GPU."""

    name = "trt-rtx"
    precisions: tuple[Precision, ...] = ("fp16", "fp32")

    def export(self, model: nn.Module, spec: ExportSpec, folder: Path) -> Sequence[ExportedFile]:
        """Build ``model-PRECISION-BATCH-TARGET.engine`` for every target (default: sm86, sm89, sm120).

        Beside fp16 engines lies the ONNX graph that emulates their rounding on a CPU; fp32 engines have the plain graph there.

        Raises:
            MissingBackendError: without TensorRT-RTX.
            UsageError: naming the supported targets.
            ExportError: if the model cannot be traced or built.
        """
        trt = load_package()
        targets = spec.targets or DEFAULT_TARGETS
        require_targets(trt, targets)
        typed = typed_graph(model, spec)
        emulation = folder / f"{typed.stem}.emulated.onnx"
        save(typed.graph if typed.emulation is None else typed.emulation, emulation)
        data: bytes = typed.graph.SerializeToString()
        files = []
        for target in targets:
            start = time.perf_counter()
            built = _trt.build(trt, data, precision=spec.precision, target=target)
            seconds = round(time.perf_counter() - start, 2)
            path = folder / f"{typed.stem}-{target}.engine"
            _trt.write(path, built.engine)
            notes = typed.notes | built.notes | {"build_seconds": seconds, "precision_proof": "types of the network"}
            files.append(
                ExportedFile(path, "engine", TensorRtRtx.name, spec.precision, spec.batch_size, (target,), emulation, notes)
            )
        return files

    def graph(self, model: nn.Module, spec: ExportSpec) -> onnx.ModelProto:
        """The float32 graph that ``export`` converts."""
        return float_graph(model, spec)


class TensorRtRtx:
    """Runs TensorRT-RTX engines, and ONNX files after building them for this GPU."""

    name = "tensorrt-rtx"
    device_kind: Literal["cpu", "cuda"] = "cuda"
    accepts: tuple[SourceKind, ...] = ("onnx", "engine")
    precisions: tuple[Precision, ...] = ("fp32", "fp16")

    def probe(self) -> Probe:
        """Build a tiny net and run it; without a GPU that it supports, only build it ahead of time."""

        def load() -> Runner:
            trt = load_package()
            if find_gpu() is None:
                _trt.build(trt, tiny_onnx().SerializeToString(), precision="fp32", target=DEFAULT_TARGETS[0])
                raise MissingBackendError(
                    f"{NO_GPU}; TensorRT-RTX {trt.__version__} built a tiny net ahead of time for {DEFAULT_TARGETS[0]}"
                )
            gpu = _require_gpu(trt)
            built = _trt.build(trt, tiny_onnx().SerializeToString(), precision="fp32", target=gpu.target)
            return _trt.EngineRunner(trt, built.engine, name=self.name, gpu=gpu, precision="fp32")

        return try_runner(load, what=self.name)

    def load(
        self, source: Path | nn.Module, *, precision: Precision = "fp32", threads: int | None = None, spinning: bool = True
    ) -> Runner:
        """Load an engine, or build one from an ONNX file (a float32 file asked for in fp16 is converted).

        Raises:
            MissingBackendError: without TensorRT-RTX or a GPU that it supports.
            ArtefactError: if the file cannot be loaded.
        """
        trt = load_package()
        gpu = _require_gpu(trt)
        require_precision(self, precision, hint="use torch-cuda-graph")
        data = read_source(source, self.name, "ONNX files and engines")
        if isinstance(source, Path) and source.suffix == ".onnx":
            data = _trt.build(trt, in_precision(data, precision), precision=precision, target=gpu.target).engine
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


def require_targets(trt: ModuleType, targets: Sequence[str]) -> None:
    """Raise `UsageError` naming all unknown targets and the supported ones."""
    supported = supported_targets(trt)
    unknown = [target for target in targets if target not in supported]
    if unknown:
        raise UsageError(
            f"TensorRT-RTX {trt.__version__} does not build for {', '.join(unknown)}",
            hint=f"supported are {', '.join(supported)}",
        )


def require_valid(trt: ModuleType, data: bytes, gpu: Gpu) -> None:
    """Ask the engine's header whether it was built for this GPU, version and driver.

    Raises:
        ArtefactError: if the bytes are no engine.
        MissingBackendError: if they are one for another machine, saying why.
    """
    runtime = trt.Runtime(_trt.make_logger(trt))
    validity, diagnostics = runtime.get_engine_validity(data[: runtime.engine_header_size])
    if validity != trt.EngineValidity.INVALID:
        return
    reasons = [name for name, bit in trt.EngineInvalidityDiagnostics.__members__.items() if int(diagnostics) & int(bit)]
    if "MALFORMED_ENGINE" in reasons:
        raise ArtefactError(f"the file is no engine of TensorRT-RTX {trt.__version__}")
    why = ", ".join(name.lower().replace("_", " ") for name in reasons) or "no reason given"
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
