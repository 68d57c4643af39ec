"""What TensorRT 10, TensorRT 11 and TensorRT-RTX share: building strongly typed engines and running them.

The package is an argument, because the three have one interface under two names. Nothing asks for a version: precision comes
from the types in the ONNX file, which all of them honour, so the flags that TensorRT 11 removed are never needed.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import Precision, RunnerInfo
from edgenas.errors import ArtefactError, ExportError
from edgenas.runs import atomic_path

from ._cuda import GraphedNet
from ._host import Gpu

if TYPE_CHECKING:
    from types import ModuleType

    from torch import Tensor

MAX_DYNAMIC_BATCH = 64
_WORKSPACE_BYTES = 1 << 30
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Built:
    """An engine's bytes, what was seen while it was built, and the kernel timings that speed up the next build."""

    engine: bytes
    timing_cache: bytes
    notes: dict[str, str | int | float]


def make_logger(trt: ModuleType) -> Any:
    """A TensorRT logger that writes to `logging` at debug level and keeps errors in ``errors`` for the exception to come."""

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]  # the base class is only known at run time
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(msg)
            _log.debug("%s: %s", severity, msg)

    return Logger()


def build(trt: ModuleType, data: bytes, *, precision: Precision, target: str | None, timing_cache: bytes | None = None) -> Built:
    """Build an engine from an ONNX file's bytes, typed as wanted already.

    Args:
        trt: the package.
        data: the ONNX file.
        precision: proven by the types of the network's layers.
        target: GPU architecture to build for ahead of time; None for the GPU of this machine.
        timing_cache: of an earlier build, empty at first; one of another GPU or version is ignored. None where the package
            times nothing, as TensorRT-RTX ahead of time.

    Raises:
        ExportError: with TensorRT's own words, or if the network's types are not of ``precision``.
    """
    logger = make_logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(data):
        problems = [_one_line(parser.get_error(i).desc()) for i in range(parser.num_errors)]
        raise ExportError("TensorRT cannot read the ONNX graph", problems=problems)
    share = _half_share_of_network(trt, network)
    _require_precision(precision, share, "network")
    config = _config(trt, builder, network, target)
    cache = None if timing_cache is None else _attach_timing_cache(config, timing_cache)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ExportError(f"TensorRT {trt.__version__} built no engine", problems=[_one_line(text) for text in logger.errors[-3:]])
    notes: dict[str, str | int | float] = {
        "builder_version": trt.__version__,
        "num_layers": int(network.num_layers),
        "network_half_share": round(share, 4),
    }
    return Built(bytes(engine), b"" if cache is None else bytes(cache.serialize()), notes)


def write(path: Path, data: bytes) -> None:
    """Write a binary file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _config(trt: ModuleType, builder: Any, network: Any, target: str | None) -> Any:
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
    if target is not None:
        config.num_compute_capabilities = 1
        if not config.set_compute_capability(getattr(trt.ComputeCapability, target.upper()), 0):
            raise ExportError(f"TensorRT {trt.__version__} does not build for {target}")
    image = network.get_input(0)
    shape = tuple(image.shape)
    if shape[0] == -1:
        profile = builder.create_optimization_profile()
        profile.set_shape(image.name, (1, *shape[1:]), (1, *shape[1:]), (MAX_DYNAMIC_BATCH, *shape[1:]))
        config.add_optimization_profile(profile)
    return config


def _attach_timing_cache(config: Any, data: bytes) -> Any:
    cache = config.create_timing_cache(data)
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    return cache


def _half_share_of_network(trt: ModuleType, network: Any) -> float:
    """Share of half precision among the network's float layers; types are binding in a strongly typed network."""
    kinds = [network.get_layer(i).get_output_type(0) for i in range(network.num_layers)]
    half = kinds.count(trt.DataType.HALF)
    single = kinds.count(trt.DataType.FLOAT)
    return half / max(1, half + single)


def _require_precision(precision: Precision, share: float, what: str) -> None:
    if precision == "fp16" and share == 0.0:
        raise ExportError(f"fp16 was asked for, but no layer of the {what} has a half precision output")
    if precision == "fp32" and share > 0.0:
        raise ExportError(f"fp32 was asked for, but {share:.0%} of the {what}'s layers have half precision outputs")


def inspect(trt: ModuleType, engine: Any, precision: Precision) -> dict[str, str | int | float]:
    """What the engine inspector says of the built layers: how many, and the share with half precision outputs.

    Raises:
        ExportError: if that share contradicts ``precision``.
    """
    inspector = engine.create_engine_inspector()
    report = json.loads(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
    layers = [layer for layer in report.get("Layers", []) if isinstance(layer, dict)]
    kinds = [str(output.get("Format/Datatype", "")) for layer in layers for output in layer.get("Outputs", [])[:1]]
    half = sum("Half" in kind or "FP16" in kind for kind in kinds)
    single = sum("Float" in kind or "FP32" in kind for kind in kinds)
    share = half / max(1, half + single)
    _require_precision(precision, share, "engine")
    return {"engine_layers": len(layers), "engine_half_share": round(share, 4)}


class EngineRunner:
    """A deserialized engine on the first GPU, replayed as a CUDA graph.

    Raises:
        ArtefactError: if the engine cannot be loaded here, with TensorRT's own words.
    """

    def __init__(self, trt: ModuleType, data: bytes, *, name: str, gpu: Gpu, precision: Precision) -> None:
        self._trt, self._name, self._gpu, self._precision = trt, name, gpu, precision
        self._logger = make_logger(trt)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(data)
        if self._engine is None:
            reason = _one_line(self._logger.errors[0]) if self._logger.errors else "no reason given"
            raise ArtefactError(f"TensorRT {trt.__version__} cannot load the engine on {gpu.name} ({gpu.target}): {reason}")
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        modes = [self._engine.get_tensor_mode(tensor) for tensor in names]
        self._input = names[modes.index(trt.TensorIOMode.INPUT)]
        self._output = names[modes.index(trt.TensorIOMode.OUTPUT)]
        self._context, own_graphs = self._create_context()
        self._buffers: dict[tuple[int, ...], Tensor] = {}
        self._net = GraphedNet(self._compute, capture=not own_graphs)
        self._graph_mode = "of the runtime" if own_graphs else "captured"

    def _create_context(self) -> tuple[Any, bool]:
        """The execution context, and whether the runtime replays CUDA graphs by itself (TensorRT-RTX can)."""
        if hasattr(self._trt, "CudaGraphStrategy") and hasattr(self._engine, "create_runtime_config"):
            config = self._engine.create_runtime_config()
            if hasattr(config, "cuda_graph_strategy"):
                config.cuda_graph_strategy = self._trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
                return self._engine.create_execution_context(config), True
        return self._engine.create_execution_context(), False

    def _compute(self, image: Tensor) -> Tensor:
        import torch

        shape = tuple(image.shape)
        self._context.set_input_shape(self._input, shape)
        if shape not in self._buffers:
            logits_shape = tuple(self._context.get_tensor_shape(self._output))
            self._buffers[shape] = torch.empty(logits_shape, dtype=torch.float32, device="cuda")
        logits = self._buffers[shape]
        self._context.set_tensor_address(self._input, image.data_ptr())
        self._context.set_tensor_address(self._output, logits.data_ptr())
        if not self._context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise ArtefactError(f"the engine did not run: {'; '.join(_one_line(text) for text in self._logger.errors[-2:])}")
        return logits

    @property
    def info(self) -> RunnerInfo:
        """What the engine says of itself."""
        details: dict[str, str | int | float | bool] = {"cuda_graph": self._graph_mode, "target": self._gpu.target}
        details |= inspect(self._trt, self._engine, self._precision)
        return RunnerInfo(
            device=self._gpu.name,
            device_kind="cuda",
            runtime=self._name,
            runtime_version=self._trt.__version__,
            precision=self._precision,
            threads=None,
            spinning=None,
            details=details,
        )

    def __call__(self, images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits, by one synchronous call from host memory to host memory."""
        return self._net(images_NCHW)

    def compute_ms(self, images_NCHW: NDArray[np.float32]) -> float | None:
        """Milliseconds of one call without copies."""
        return self._net.compute_ms(images_NCHW)

    def close(self) -> None:
        """Free the context before its engine."""
        self._net.close()
        self._buffers.clear()
        self._context = None
        self._engine = None
        self._runtime = None
