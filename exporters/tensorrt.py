"""TensorRT 10.13 and later, and 11: engines for the GPU of this machine.

Without a GPU, ``--format trt`` builds TensorRT-RTX engines ahead of time instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgenas.deploy.contracts import ExportedFile, ExportSpec, Precision, Probe, Runner, SourceKind
from edgenas.errors import MissingBackendError
from edgenas.graphs.quantizing import SYMMETRIC

from . import _trt, tensorrt_rtx
from ._files import read_source, require_precision
from ._host import NO_GPU, Gpu, find_gpu
from ._probe import tiny_onnx, try_runner
from ._rebuilding import build_repeatedly
from .onnx import float_graph, save, typed_graph
from .onnxruntime import runnable_in

if TYPE_CHECKING:
    from types import ModuleType

    import onnx
    from torch import nn

INSTALL = "pip install 'edgenas[trt]'"


class TensorRtExporter:
    """What ``--format trt`` calls: a TensorRT engine where a GPU is, else TensorRT-RTX engines ahead of time."""

    name = "trt"
    precisions: tuple[Precision, ...] = ("fp16", "fp32", "bf16", "int8")
    summary = "TensorRT engines, for NVIDIA GPUs"
    builds_engines = True

    def require_targets(self, asked: Sequence[str]) -> None:
        """Refuse targets that are neither this machine's GPU nor known to TensorRT-RTX, before any work.

        Raises:
            MissingBackendError: without TensorRT-RTX, where it must build.
            UsageError: naming all unknown targets and the supported ones.
        """
        gpu = find_gpu() if asked else None
        if asked and (gpu is None or tuple(asked) != (gpu.target,) or not is_installed()):
            tensorrt_rtx.TensorRtRtxExporter().require_targets(asked)

    def export(self, model: nn.Module, spec: ExportSpec, folder: Path) -> Sequence[ExportedFile]:
        """Build with the first of TensorRT on this GPU, and TensorRT-RTX for ``spec.targets`` or, without a GPU, ``spec.ahead``.

        Targets named explicitly that are not this machine's GPU go to TensorRT-RTX.

        Raises:
            MissingBackendError: if neither package can build; says what to install, or which GPUs are supported.
            UsageError: if TensorRT-RTX does not know a target.
            ExportError: if the model cannot be traced or built.
        """
        gpu = find_gpu()
        here = gpu is not None and spec.targets in ((), (gpu.target,))
        if here and gpu is not None and is_installed():
            return _build_here(model, spec, folder, gpu)
        targets = spec.targets
        if here and gpu is not None:
            targets = (_rtx_target(gpu),)
        return tensorrt_rtx.TensorRtRtxExporter().export(model, replace(spec, targets=targets), folder)

    def graph(self, model: nn.Module, spec: ExportSpec) -> onnx.ModelProto:
        """The float32 graph that ``export`` converts."""
        return float_graph(model, spec, TensorRt.name)[0]


class TensorRt:
    """Runs TensorRT engines, and ONNX files after building them for this GPU."""

    name = "tensorrt"
    device_kind: Literal["cpu", "cuda"] = "cuda"
    accepts: tuple[SourceKind, ...] = ("onnx", "engine")
    precisions: tuple[Precision, ...] = ("fp32", "fp16", "bf16", "int8")

    def __init__(self) -> None:
        self._timing_cache = b""  # makes the second of several similar nets build faster

    def probe(self) -> Probe:
        """Build a tiny net and run it."""

        def load() -> Runner:
            gpu, trt = _require_gpu(), _package()
            built = _trt.build(trt, tiny_onnx().SerializeToString(), precision="fp32")
            return _trt.EngineRunner(trt, built.engine, name=self.name, gpu=gpu, precision="fp32", built=built)

        return try_runner(load, what=self.name)

    def load(
        self, source: Path | nn.Module, *, precision: Precision = "fp32", threads: int | None = None, spinning: bool = True
    ) -> Runner:
        """Load an engine, or build one from an ONNX file (a float32 file asked for in fp16 is converted).

        Raises:
            MissingBackendError: without TensorRT or a GPU.
            ArtefactError: if the file cannot be loaded, or holds no integers and is asked for in int8.
        """
        gpu, trt = _require_gpu(), _package()
        require_precision(self, precision, hint="use torch-cuda-graph")
        data = read_source(source, self.name, "ONNX files and engines")
        if isinstance(source, Path) and source.suffix == ".onnx":
            typed = runnable_in(data, precision)
            built = _trt.build(trt, typed, precision=precision, timing_cache=self._timing_cache)
            self._timing_cache = built.timing_cache
            return _trt.EngineRunner(trt, built.engine, name=self.name, gpu=gpu, precision=precision, built=built)
        return _trt.EngineRunner(trt, data, name=self.name, gpu=gpu, precision=precision)


def is_installed() -> bool:
    """Whether the package `tensorrt` can be imported."""
    try:
        _package()
    except MissingBackendError:
        return False
    return True


def _package() -> ModuleType:
    try:
        package = import_module("tensorrt")  # not there on most machines
    except (ImportError, OSError) as error:
        raise MissingBackendError("TensorRT is not installed", hint=INSTALL) from error
    if not hasattr(package, "Builder"):  # a folder of that name, as type stubs or a broken installation leave it
        raise MissingBackendError("TensorRT is not installed: its folder holds no package", hint=INSTALL)
    return package


def _require_gpu() -> Gpu:
    gpu = find_gpu()
    if gpu is None:
        raise MissingBackendError(NO_GPU)
    return gpu


def _rtx_target(gpu: Gpu) -> str:
    """This GPU's architecture, if TensorRT-RTX knows it."""
    try:
        trt = tensorrt_rtx.load_package()
    except MissingBackendError as error:
        raise MissingBackendError(f"neither TensorRT nor TensorRT-RTX is installed for {gpu.name}", hint=INSTALL) from error
    supported = tensorrt_rtx.supported_targets(trt)
    if gpu.target not in supported:
        raise MissingBackendError(
            f"TensorRT is not installed, and TensorRT-RTX {trt.__version__} does not support {gpu.name} ({gpu.target}), "
            f"only {', '.join(supported)}",
            hint=INSTALL,
        )
    return gpu.target


def _build_here(model: nn.Module, spec: ExportSpec, folder: Path, gpu: Gpu) -> Sequence[ExportedFile]:
    trt = _package()
    typed = typed_graph(model, spec, TensorRt.name, int8=SYMMETRIC)
    emulation = folder / f"{typed.stem}.emulated.onnx"
    save(typed.graph if typed.emulation is None else typed.emulation, emulation)
    data = typed.graph.SerializeToString()
    timing_file = folder / f"timing-{gpu.target}.cache"
    timings = (
        timing_file.read_bytes() if timing_file.exists() and spec.rebuilds == 1 else b""
    )  # else every build times its kernels anew

    def load(built: _trt.Built) -> _trt.EngineRunner:
        return _trt.EngineRunner(trt, built.engine, name=TensorRt.name, gpu=gpu, precision=spec.precision, built=built)

    built = build_repeatedly(partial(_trt.build, trt, data, precision=spec.precision, timing_cache=timings), spec, load=load)
    _trt.write(timing_file, built.timing_cache)
    runner = load(built)
    notes = typed.notes | built.notes | runner.proof
    runner.close()
    path = folder / f"{typed.stem}-{gpu.target}.engine"
    _trt.write(path, built.engine)
    return [ExportedFile(path, "engine", TensorRt.name, spec.precision, spec.batch_size, (gpu.target,), emulation, notes)]
