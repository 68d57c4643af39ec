"""OpenVINO: its own format, a model description (``.xml``) beside its weights (``.bin``), and its CPU plug-in.

The description is that of the ONNX graph that `edgenas.exporters.onnx` writes, converted by OpenVINO itself. Weights stay float32:
OpenVINO stores them as float16 by default, which changes them and not the precision that a CPU computes in. That is asked of the
runtime (``INFERENCE_PRECISION_HINT``), and the compiled model is asked what became of it.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import ExportedFile, ExportSpec, FileFacts, Precision, Probe, Runner, RunnerInfo, SourceKind
from edgenas.errors import ArtefactError, ExportError, MissingBackendError
from edgenas.graphs.shares import SHARE_NOTES
from edgenas.runs.outside import OutsideError, read_regular

from ._files import MAX_FILE_BYTES, read_source, require_file, require_precision
from ._host import cpu_name, usable_cores
from ._ir import METADATA, read_ir
from ._openvino_layers import has_free_batch, macs_of, of_images, shares_of_compiled
from ._probe import first_line, tiny_onnx, try_runner
from ._resizing import resize_as_pillow

if TYPE_CHECKING:
    from types import ModuleType

    from torch import nn

HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16"}  # INFERENCE_PRECISION_HINT; an int8 file says its own
MAX_XML_BYTES = 256 << 20
MAX_SIZES = 4  # batch sizes with a plan of their own: each holds the packed weights once more
_FULL_BYTES = 1 << 16  # a disk with less left is full
_ANY = 0  # the batch size that stands for all without one
_WEIGHTED = ("Convolution", "GroupConvolution", "FullyConnected", "MatMul")  # layers of a compiled model that hold its MACs
_REFUSED = (RuntimeError, TypeError, ValueError, AttributeError)  # what OpenVINO raises for files that it cannot read


class OpenVinoExporter:
    """Writes OpenVINO's format; fp32 and bf16 are computed from the same float32 weights, int8 is quantised by NNCF."""

    name = "openvino"
    precisions: tuple[Precision, ...] = ("fp32", "bf16", "int8")
    batch_sizes: tuple[int | None, ...] = (1, None)
    summary = "OpenVINO's .xml and .bin, for CPUs"

    def export(self, model: nn.Module, spec: ExportSpec, folder: Path) -> Sequence[ExportedFile]:
        """Write ``.xml`` and ``.bin``, named after precision and batch size, e.g. ``model-fp32-dynamic.xml``.

        ``spec.metadata`` goes into the description's ``rt_info``, section ``edgenas``.

        Raises:
            MissingBackendError: without OpenVINO, or without NNCF for int8.
            UsageError: for a precision that is not among them.
            ExportError: if the model cannot be traced, converted or quantised, or resizes as OpenVINO cannot.
            GateError: if int8 changes decisions on *calibrate* whatever stays float32.
            PrecisionError: if less than half of the work is in ``spec.precision`` as OpenVINO compiles it here.
        """
        from .onnx import typed_graph

        require_precision(self, spec.precision)
        package = package_of()
        typed = typed_graph(model, replace(spec, precision="fp32"), OpenVinoCpu.name)
        try:
            converted = package.Core().read_model(typed.graph.SerializeToString(), b"")
        except _REFUSED as error:
            raise ExportError(f"OpenVINO cannot convert the graph: {reason_of(error)}") from error
        resize_as_pillow(converted)
        notes = typed.notes
        if spec.precision == "int8":
            from ._int8_openvino import openvino_int8

            converted, said = openvino_int8(converted, spec)
        else:
            said = _shares(package, converted, spec.precision)
        notes = {key: note for key, note in notes.items() if not key.startswith(SHARE_NOTES)} | said
        try:
            for name, text in sorted(spec.metadata.items()):
                converted.set_rt_info(text, [METADATA, name])
        except _REFUSED as error:
            raise ExportError(f"OpenVINO cannot keep the metadata: {reason_of(error)}") from error
        stem = typed.stem.replace("fp32", spec.precision, 1)
        path = save(package, converted, folder / f"{stem}.xml")
        notes |= {"openvino": str(package.__version__), "num_layers": len(converted.get_ops())}
        weights = path.with_suffix(".bin")
        return [ExportedFile(path, "openvino", OpenVinoCpu.name, spec.precision, spec.batch_size, notes=notes, parts=(weights,))]


def _shares(package: ModuleType, model: Any, precision: Precision) -> dict[str, str | int | float]:
    """What the compiled model computes in; nothing where this processor does not compute in ``precision``: the runtime says so.

    Raises:
        PrecisionError: if less than half of the work is in it.
    """
    if precision == "bf16" and not computes_bf16():
        return {}
    one = of_images(model, 1) if has_free_batch(model) else model
    try:
        compiled = package.Core().compile_model(one, "CPU", {"INFERENCE_PRECISION_HINT": HINTS[precision]})
    except _REFUSED as error:
        raise ExportError(f"OpenVINO cannot run the graph: {reason_of(error)}") from error
    shares = shares_of_compiled(compiled, macs_of(one), precision)
    if shares.nodes:  # a net without products has none
        shares.require()
    return shares.as_notes()


def save(package: ModuleType, model: Any, path: Path) -> Path:
    """Write a model as ``path`` and the ``.bin`` beside it, each moved to its place when it is whole; the ``.xml`` comes last."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".", suffix=".tmp") as folder:
        written = Path(folder, path.name)
        try:
            package.save_model(model, written, compress_to_fp16=False)
        except _REFUSED as error:
            if shutil.disk_usage(folder).free < _FULL_BYTES:  # OpenVINO says "iostream error" then
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
            raise ExportError(f"OpenVINO cannot write {path.name}: {reason_of(error)}") from error
        for suffix in (".bin", ".xml"):
            written.with_suffix(suffix).replace(path.with_suffix(suffix))
    return path


class OpenVinoCpu:
    """Runs OpenVINO and ONNX files with OpenVINO's CPU plug-in: one stream, tuned for latency."""

    name = "openvino-cpu"
    device_kind: Literal["cpu", "cuda"] = "cpu"
    accepts: tuple[SourceKind, ...] = ("onnx", "openvino")
    precisions: tuple[Precision, ...] = ("fp32", "bf16", "int8")

    def probe(self) -> Probe:
        """Try a tiny net."""
        data = tiny_onnx().SerializeToString()
        return try_runner(lambda: _Runner(package_of(), data, b"", "fp32", None), what=self.name)

    def load(
        self, source: Path | nn.Module, *, precision: Precision = "fp32", threads: int | None = None, spinning: bool = True
    ) -> Runner:
        """Compile a file for ``threads`` threads (default: every usable core); its threads never spin.

        Raises:
            MissingBackendError: without OpenVINO, or if the compiled model does not compute in ``precision`` on this CPU.
            ArtefactError: if the file cannot be loaded, or its own layers compute in another precision.
            UsageError: for a module, or a precision that is not among them.
        """
        require_precision(self, precision, hint="use onnxruntime-cuda or tensorrt")
        package = package_of()
        model, weights, around = _read(source, self.name)
        return _Runner(package, model, weights, precision, threads, around)

    def facts(self, path: Path) -> FileFacts:
        """What an OpenVINO file says of itself, read without OpenVINO.

        Raises:
            ArtefactError: if it cannot be read.
        """
        try:
            found = read_ir(read_regular(path, MAX_XML_BYTES))
        except OutsideError as error:
            raise ArtefactError(f"{path.name} {error}") from error
        precisions: tuple[Precision, ...] = ("int8",) if found.is_quantized else ("fp32", "bf16") if found.is_float32 else ()
        return FileFacts(precisions, found.words, found.metadata)

    def import_packages(self) -> None:
        """Import what `load` needs, as far as it is there."""
        package_of()


class _Runner:
    def __init__(
        self,
        package: ModuleType,
        model: bytes,
        weights: bytes,
        precision: Precision,
        threads: int | None,
        around: str = "f32",
    ) -> None:
        self._asked = HINTS.get(precision, around)
        settings = {
            "INFERENCE_PRECISION_HINT": self._asked,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(usable_cores() if threads is None else threads),
        }
        self._plans = _Plans(package.Core(), model, weights, settings)
        self._version: str = package.__version__
        self._compiled = self._plans.first
        self._layers = weighted_layers(self._compiled)
        self._require(precision)

    def _require(self, precision: Precision) -> None:
        """Check what the compiled model computes in; OpenVINO takes another precision without a word where a CPU lacks one."""
        live = self._live()
        if live == precision or (not self._layers and self._hint() == self._asked):
            return
        layers = ", ".join(f"{count} in {name}" for name, count in sorted(self._layers.items()))
        what = (
            f"OpenVINO computes in {live} on {cpu_name()}, asked for was {precision} (convolutions and matrix products: {layers})"
        )
        if "int8" in (live, precision):
            raise ArtefactError(f"{what}: the file is {'' if live == 'int8' else 'not '}quantised")
        raise MissingBackendError(what, hint="use --precision fp32" if precision == "bf16" else "")

    def _hint(self) -> str:
        return str(self._compiled.get_property("INFERENCE_PRECISION_HINT").to_string())

    def _live(self) -> Precision:
        """The lowest precision that a convolution or a matrix product computes in; of none, what the plug-in chose for all."""
        if self._layers["i8"] or self._layers["u8"]:
            return "int8"
        names: dict[str, Precision] = {"f32": "fp32", "bf16": "bf16", "f16": "fp16"}
        lower = [names[name] for name in ("bf16", "f16") if self._layers[name]]
        return lower[0] if lower else "fp32" if self._layers else names[self._hint()]

    @property
    def info(self) -> RunnerInfo:
        live = self._compiled.get_property
        num = sum(self._layers.values())
        shares = {f"share_{name}": round(count / num, 4) for name, count in sorted(self._layers.items())}
        return RunnerInfo(
            device=cpu_name(),
            device_kind="cpu",
            runtime=OpenVinoCpu.name,
            runtime_version=self._version,
            precision=self._live(),
            threads=int(live("INFERENCE_NUM_THREADS")),
            spinning=False,
            details={"streams": int(live("NUM_STREAMS")), "hint": "latency", "weighted_layers": num, **shares},
        )

    def __call__(self, images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        outputs = self._plans.request_for(len(images_NCHW)).infer([images_NCHW])
        result: NDArray[np.float32] = np.array(outputs[0])
        return result

    def compute_ms(self, images_NCHW: NDArray[np.float32]) -> float | None:
        return None

    def close(self) -> None:
        self._plans.close()
        self._compiled = None


class _Plans:
    """A model compiled once a batch size: with a free batch OpenVINO takes longer for the same images.

    The first `MAX_SIZES` sizes that are called, one image among them, get a plan of their own; all others share that of the free
    batch, which is compiled when it is needed. A model with a fixed batch has one plan.

    Attributes:
        first: what was compiled first: for one image where the batch is free.
    """

    def __init__(self, core: Any, model: bytes, weights: bytes, settings: Mapping[str, str]) -> None:
        self._core, self._settings = core, settings
        self._requests: dict[int, Any] = {}
        try:
            self._model = core.read_model(model, weights)
            self._is_free = has_free_batch(self._model)
        except _REFUSED as error:
            raise ArtefactError(f"OpenVINO cannot load the file: {reason_of(error)}") from error
        try:
            resize_as_pillow(self._model)  # ONNX files, and descriptions that others wrote
        except ExportError as error:
            raise ArtefactError(error.message, hint=error.hint) from error
        self.first = self._compile(1 if self._is_free else _ANY)
        self._requests[1 if self._is_free else _ANY] = self.first.create_infer_request()
        if not self._is_free:
            self._model = None  # the compiled one has its own weights

    def request_for(self, batch_size: int) -> Any:
        """The request of the plan for so many images, compiled if it is new."""
        size = batch_size
        if not self._is_free or batch_size < 1 or (batch_size not in self._requests and self._num_own() >= MAX_SIZES):
            size = _ANY
        if size not in self._requests:
            self._requests[size] = self._compile(size).create_infer_request()
        return self._requests[size]

    def close(self) -> None:
        self._requests.clear()
        self.first = self._model = None

    def _num_own(self) -> int:
        return sum(size != _ANY for size in self._requests)

    def _compile(self, size: int) -> Any:
        try:
            model = self._model if size == _ANY else of_images(self._model, size)
            return self._core.compile_model(model, "CPU", self._settings)
        except _REFUSED as error:
            raise ArtefactError(f"OpenVINO cannot load the file: {reason_of(error)}") from error


def weighted_layers(compiled: Any) -> Counter[str]:
    """How many convolutions and matrix products of a compiled model compute in which type, as ``f32``, ``bf16``, ``i8``."""
    found: Counter[str] = Counter()
    for layer in compiled.get_runtime_model().get_ops():
        about: Mapping[str, Any] = layer.get_rt_info()
        if "layerType" in about and about["layerType"].astype(str) in _WEIGHTED:
            found[about["runtimePrecision"].astype(str)] += 1
    return found


def reason_of(error: BaseException) -> str:
    """What OpenVINO says is wrong; its first lines name places of its own source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("Exception from ")]
    said = [line for line in lines if not (line.startswith("Check '") and len(lines) > 1)]
    return said[0] if said else first_line(error)


def _read(source: Path | nn.Module, name: str) -> tuple[bytes, bytes, str]:
    """A model, its weights, and what an int8 one computes in beside integers; an ONNX file holds both."""
    path = require_file(source, name, "OpenVINO and ONNX files")
    if path.suffix != ".xml":
        return read_source(path, name), b"", "f32"
    try:
        model = read_regular(path, MAX_XML_BYTES)
        around = read_ir(model).around
        return model, read_regular(path.with_suffix(".bin"), MAX_FILE_BYTES), around
    except OutsideError as error:
        raise ArtefactError(f"{path} with {path.with_suffix('.bin').name} {error}") from error
    except ArtefactError as error:
        raise ArtefactError(f"{path}: {error.message}") from error


def computes_bf16() -> bool:
    """Whether OpenVINO's CPU plug-in computes in bfloat16 here."""
    return "BF16" in package_of().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def package_of() -> ModuleType:
    """OpenVINO.

    Raises:
        MissingBackendError: if it is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise MissingBackendError("OpenVINO is not installed", hint="pip install 'edgenas[openvino]'") from error
    package: ModuleType = openvino
    return package
