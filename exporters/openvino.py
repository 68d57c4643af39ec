"""OpenVINO on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import Precision, Probe, Runner, RunnerInfo, SourceKind
from edgenas.errors import ArtefactError, MissingBackendError

from ._files import read_source, require_precision
from ._host import cpu_name, usable_cores
from ._probe import first_line, tiny_onnx, try_runner

if TYPE_CHECKING:
    from types import ModuleType

    from torch import nn


class OpenVinoCpu:
    """Runs ONNX files with OpenVINO's CPU plug-in: float32, one stream, tuned for latency."""

    name = "openvino-cpu"
    device_kind: Literal["cpu", "cuda"] = "cpu"
    accepts: tuple[SourceKind, ...] = ("onnx",)
    precisions: tuple[Precision, ...] = ("fp32",)

    def probe(self) -> Probe:
        """Try a tiny net."""
        return try_runner(lambda: _Runner(_package(), tiny_onnx().SerializeToString(), None), what=self.name)

    def load(
        self, source: Path | nn.Module, *, precision: Precision = "fp32", threads: int | None = None, spinning: bool = True
    ) -> Runner:
        """Compile a file for ``threads`` threads (default: every usable core); its threads never spin.

        Raises:
            MissingBackendError: without OpenVINO.
            ArtefactError: if the file cannot be loaded.
            UsageError: for a module, or a precision other than fp32.
        """
        require_precision(self, precision, hint="use onnxruntime-cuda or tensorrt")
        return _Runner(_package(), read_source(source, self.name), threads)


class _Runner:
    def __init__(self, package: ModuleType, data: bytes, threads: int | None) -> None:
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(usable_cores() if threads is None else threads),
        }
        core = package.Core()
        try:
            self._compiled = core.compile_model(core.read_model(data, b""), "CPU", settings)
        except RuntimeError as error:
            raise ArtefactError(f"OpenVINO cannot load the file: {first_line(error)}") from error
        self._request = self._compiled.create_infer_request()
        self._version: str = package.__version__

    @property
    def info(self) -> RunnerInfo:
        live = self._compiled.get_property
        precision = str(live("INFERENCE_PRECISION_HINT").to_string())
        if precision != "f32":
            raise MissingBackendError(f"OpenVINO compiled for {precision} instead of f32")
        return RunnerInfo(
            device=cpu_name(),
            device_kind="cpu",
            runtime=OpenVinoCpu.name,
            runtime_version=self._version,
            precision="fp32",
            threads=int(live("INFERENCE_NUM_THREADS")),
            spinning=False,
            details={"streams": int(live("NUM_STREAMS")), "hint": "latency"},
        )

    def __call__(self, images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        outputs = self._request.infer([images_NCHW])
        result: NDArray[np.float32] = np.array(outputs[0])
        return result

    def compute_ms(self, images_NCHW: NDArray[np.float32]) -> float | None:
        return None

    def close(self) -> None:
        self._request = None
        self._compiled = None


def _package() -> ModuleType:
    try:
        import openvino
    except ImportError as error:
        raise MissingBackendError("OpenVINO is not installed", hint="pip install 'edgenas[openvino]'") from error
    package: ModuleType = openvino
    return package
