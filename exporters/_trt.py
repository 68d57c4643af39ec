"""What TensorRT 10, TensorRT 11 and TensorRT-RTX share: building strongly typed engines and running them.

The package is an argument, because the three have one interface under two names. Nothing asks for a version: precision comes
from the types in the ONNX file, which all of them honour, so the flags that TensorRT 11 removed are never needed.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import Precision, RunnerInfo
from edgenas.errors import ArtefactError, ExportError, MissingBackendError, PrecisionError
from edgenas.percents import percent
from edgenas.runs import atomic_path

from ._cuda import GraphedNet
from ._host import Gpu
from ._inspecting import NOTHING, EngineTypes, read_engine

if TYPE_CHECKING:
    from types import ModuleType

    import tensorrt
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


def product(trt: ModuleType) -> str:
    """The package's name for people."""
    return "TensorRT-RTX" if trt.__name__ == "tensorrt_rtx" else "TensorRT"


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


def build(
    trt: ModuleType, data: bytes, *, precision: Precision, targets: Sequence[str] = (), timing_cache: bytes | None = None
) -> Built:
    """Build an engine from an ONNX file's bytes, typed as wanted already.

    Args:
        trt: the package.
        data: the ONNX file.
        precision: proven by the types of the network's layers.
        targets: GPU architectures to build one engine for ahead of time; none for the GPU of this machine.
        timing_cache: of an earlier build, empty at first; one of another GPU or version is ignored. None where the package
            times nothing, as TensorRT-RTX ahead of time.

    Raises:
        ExportError: with TensorRT's own words.
        PrecisionError: if the network's types are not of ``precision``.
        MissingBackendError: if this TensorRT has no strongly typed networks.
    """
    logger = make_logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(_strongly_typed(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(data):
        problems = [_one_line(parser.get_error(i).desc()) for i in range(parser.num_errors)]
        raise ExportError(f"{product(trt)} cannot read the ONNX graph", problems=problems)
    layers = _network_types(trt, network)
    _require_precision(precision, layers)
    config = _config(trt, builder, network, targets)
    cache = None if timing_cache is None else _attach_timing_cache(config, timing_cache)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ExportError(
            f"{product(trt)} {trt.__version__} built no engine", problems=[_one_line(text) for text in logger.errors[-3:]]
        )
    notes: dict[str, str | int | float] = {
        "builder_version": trt.__version__,
        "num_layers": int(network.num_layers),
        "network_half_share": round(layers["fp16"] / (layers["fp16"] + layers["fp32"] or 1), 4),
        "precision_proof": "types of the network",
    }
    notes |= {f"network_share_{kind}": round(num / layers.total(), 4) for kind, num in sorted(layers.items())}
    return Built(bytes(engine), b"" if cache is None else bytes(cache.serialize()), notes)


def _strongly_typed(trt: ModuleType) -> int:
    """The flag of networks that compute in the file's types; TensorRT 11 has no others and ignores it."""
    flags = trt.NetworkDefinitionCreationFlag
    if not hasattr(flags, "STRONGLY_TYPED"):
        raise MissingBackendError(
            f"{product(trt)} {trt.__version__} has no strongly typed networks, so that nothing binds it to the file's precision",
            hint="pip install 'edgenas[trt]'",
        )
    return 1 << int(flags.STRONGLY_TYPED)


def write(path: Path, data: bytes) -> None:
    """Write a binary file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def first_words(logger: Any) -> str:
    """What TensorRT said first of an error, in one line."""
    return _one_line(logger.errors[0]) if logger.errors else "no reason given"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _config(
    trt: ModuleType, builder: tensorrt.Builder, network: tensorrt.INetworkDefinition, targets: Sequence[str]
) -> tensorrt.IBuilderConfig:
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
    if targets:
        _aim(trt, config, targets)
    entrance = network.get_input(0)
    shape: tuple[int, ...] = tuple(entrance.shape)
    if shape[0] == -1:
        profile = builder.create_optimization_profile()
        profile.set_shape(entrance.name, (1, *shape[1:]), (1, *shape[1:]), (MAX_DYNAMIC_BATCH, *shape[1:]))
        config.add_optimization_profile(profile)
    return config


def _aim(trt: ModuleType, config: Any, targets: Sequence[str]) -> None:
    """Build ahead of time for these architectures, which TensorRT-RTX alone can."""
    config.num_compute_capabilities = len(targets)
    for position, target in enumerate(targets):
        if not config.set_compute_capability(getattr(trt.ComputeCapability, target.upper()), position):
            raise ExportError(f"{product(trt)} {trt.__version__} does not build for {target}")


def _attach_timing_cache(config: tensorrt.IBuilderConfig, data: bytes) -> tensorrt.ITimingCache:
    cache = config.create_timing_cache(data)
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    return cache


def _network_types(trt: ModuleType, network: tensorrt.INetworkDefinition) -> Counter[Precision]:
    """Layers by the precision of their first output; types are binding in a strongly typed network."""
    names: dict[str, Precision] = {"HALF": "fp16", "FLOAT": "fp32", "BF16": "bf16", "INT8": "int8"}
    kinds = {getattr(trt.DataType, name): kind for name, kind in names.items()}
    found = (network.get_layer(i).get_output_type(0) for i in range(network.num_layers))
    return Counter(kinds[each] for each in found if each in kinds)


def _require_precision(precision: Precision, layers: Counter[Precision]) -> None:
    if not layers:
        raise PrecisionError("no layer of the network has a type that can be read, so its precision is not proven")
    if precision == "fp32" and set(layers) != {"fp32"}:
        reduced = 1 - layers["fp32"] / layers.total()
        raise PrecisionError(f"fp32 was asked for, but {percent(reduced)} of the network's layers are not in it")
    if not layers[precision]:
        raise PrecisionError(f"{precision} was asked for, but no layer of the network has an output in it")


def _proof(types: EngineTypes, precision: Precision, built: Built | None) -> dict[str, str | int | float]:
    """By the inspector; of an engine built here by the types of its network, where the inspector names none."""
    seen = types.prove(precision)
    if built is not None and seen["precision_proof"] == NOTHING:
        seen["precision_proof"] = f"{built.notes['precision_proof']}; the engine's inspector names no data type"
    return seen


class EngineRunner:
    """A deserialized engine on the first GPU, replayed as a CUDA graph.

    Args:
        trt: the package.
        data: the engine.
        name: of the runtime.
        gpu: that it is loaded on.
        precision: that it must compute in.
        built: what was seen when it was built here, which proves its precision where the inspector names no types.

    Raises:
        ArtefactError: if the engine cannot be loaded here, with TensorRT's own words.
        MissingBackendError: if it was built for another GPU.
        PrecisionError: if it computes in another precision.
    """

    def __init__(
        self, trt: ModuleType, data: bytes, *, name: str, gpu: Gpu, precision: Precision, built: Built | None = None
    ) -> None:
        self._trt, self._name, self._gpu, self._precision = trt, name, gpu, precision
        self._logger = make_logger(trt)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(data)
        if self._engine is None:
            reason = first_words(self._logger)
            if re.search("incompatible device|expecting compute", reason):
                raise MissingBackendError(
                    f"the engine was not built for {gpu.name} ({gpu.target}): {reason}", hint=f"export on a machine with {gpu.name}"
                )
            raise ArtefactError(f"{product(trt)} {trt.__version__} cannot load the engine on {gpu.name} ({gpu.target}): {reason}")
        self.proof = _proof(read_engine(trt, self._engine), precision, built)
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
        details |= self.proof
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
        for name in ("_context", "_engine", "_runtime"):
            self.__dict__.pop(name, None)
