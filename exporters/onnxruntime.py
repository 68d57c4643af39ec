"""ONNX Runtime on the CPU and on CUDA."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import Precision, Probe, Runner, RunnerInfo, SourceKind
from edgenas.errors import ArtefactError, MissingBackendError
from edgenas.graphs import half, quantizing

from ._cuda import GraphedNet
from ._files import read_source, require_file, require_precision
from ._host import NO_GPU, cpu_name, find_gpu, usable_cores
from ._probe import first_line, tiny_onnx, try_runner

if TYPE_CHECKING:
    from types import ModuleType

    import onnx
    from torch import Tensor, nn

_SPINNING = "session.intra_op.allow_spinning"
_FATAL = 4
_INT8_KERNELS = frozenset(
    {"QLinearConv", "QLinearMatMul", "QGemm", "MatMulIntegerToFloat", "MatMulInteger", "ConvInteger", "DynamicQuantizeMatMul"}
)
_FLOAT_KERNELS = frozenset({"Conv", "FusedConv", "NhwcFusedConv", "MatMul", "FusedMatMul", "Gemm", "FusedGemm"})


class OnnxRuntimeCpu:
    """Runs ONNX files with ONNX Runtime's CPU provider: in float32 whatever the file's types, products of int8 files in int8."""

    name = "onnxruntime-cpu"
    device_kind: Literal["cpu", "cuda"] = "cpu"
    accepts: tuple[SourceKind, ...] = ("onnx",)
    precisions: tuple[Precision, ...] = ("fp32", "int8")

    def probe(self) -> Probe:
        """Try a tiny net."""
        return try_runner(lambda: _CpuRunner(_package(), tiny_onnx().SerializeToString(), None, True), what=self.name)

    def load(
        self, source: Path | nn.Module, *, precision: Precision = "fp32", threads: int | None = None, spinning: bool = True
    ) -> Runner:
        """Open a session with ``threads`` intra-op threads (default: every usable core) and full graph optimisation.

        Raises:
            MissingBackendError: without ONNX Runtime.
            ArtefactError: if the file cannot be loaded, or holds no integers and is asked for in int8.
            UsageError: for a precision other than fp32 and int8.
        """
        require_precision(self, precision, hint="use onnxruntime-cuda or tensorrt")
        package, path = _package(), str(require_file(source, self.name))
        if precision == "int8":
            require_integers(read_source(source, self.name))
            return _Int8Runner(package, path, threads, spinning)
        return _CpuRunner(package, path, threads, spinning)


class OnnxRuntimeCuda:
    """Runs ONNX files with ONNX Runtime's CUDA provider and I/O binding."""

    name = "onnxruntime-cuda"
    device_kind: Literal["cpu", "cuda"] = "cuda"
    accepts: tuple[SourceKind, ...] = ("onnx",)
    precisions: tuple[Precision, ...] = ("fp32", "fp16")

    def probe(self) -> Probe:
        """Try a tiny net."""
        return try_runner(lambda: _CudaRunner(_package(), tiny_onnx().SerializeToString(), "fp32"), what=self.name)

    def load(
        self, source: Path | nn.Module, *, precision: Precision = "fp32", threads: int | None = None, spinning: bool = True
    ) -> Runner:
        """Open a session on the GPU; a float32 file asked for in fp16 is converted as `OnnxExporter` does.

        Raises:
            MissingBackendError: without ONNX Runtime or a GPU, or if the session fell back to the CPU.
            ArtefactError: if the file cannot be loaded, or is float16 and asked for in fp32.
        """
        require_precision(self, precision, hint="use torch-cuda-graph")
        package = _package()
        return _CudaRunner(package, in_precision(read_source(source, self.name), precision), precision)


def in_precision(data: bytes, precision: Precision) -> bytes:
    """An ONNX file's bytes, converted to typed float16 or bfloat16 or to int8 if that is asked for and it is float32.

    Integers get one range everywhere: such a net takes the time of a calibrated one and gives other answers.

    Raises:
        ArtefactError: if it is not ONNX, or in a reduced precision other than the one asked for.
    """
    model = _parsed(data)
    found: Precision = "int8" if quantizing.is_quantized(model) else half.reduced_precision(model) or "fp32"
    if found == precision:
        return data
    if found != "fp32" or precision == "fp32":
        raise ArtefactError(f"the file computes in {found}, asked for was {precision}")
    if precision != "int8":
        converted: bytes = half.to_half(model, precision=precision).model.SerializeToString()
        return converted
    plain = quantizing.named(model)
    quantized = quantizing.quantized(plain, quantizing.fixed_ranges(plain), quantizing.ASYMMETRIC, quantizing.quantizable(plain))
    integers: bytes = quantized.SerializeToString()
    return integers


def runnable_in(data: bytes, precision: Precision) -> bytes:
    """What a runtime that builds engines takes for a file: `in_precision`, but no integers that were not calibrated.

    Raises:
        ArtefactError: as `in_precision`, and for a float32 file that is asked for in int8.
    """
    if precision == "int8":
        require_integers(data)
    return in_precision(data, precision)


def _parsed(data: bytes) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load_model_from_string(data)
    except DecodeError as error:
        raise ArtefactError(f"the file is not ONNX: {first_line(error)}") from error


class _CpuRunner:
    def __init__(
        self, package: ModuleType, model: str | bytes, threads: int | None, spinning: bool, optimized: Path | None = None
    ) -> None:
        options = _options(package)
        if optimized is not None:
            options.optimized_model_filepath = str(optimized)
        options.intra_op_num_threads = usable_cores() if threads is None else threads
        options.add_session_config_entry(_SPINNING, "1" if spinning else "0")
        self._version: str = package.__version__
        self._session = _open(package, model, options, ["CPUExecutionProvider"])
        self._input: str = self._session.get_inputs()[0].name

    @property
    def info(self) -> RunnerInfo:
        options = self._session.get_session_options()
        return RunnerInfo(
            device=cpu_name(),
            device_kind="cpu",
            runtime=OnnxRuntimeCpu.name,
            runtime_version=self._version,
            precision="fp32",
            threads=int(options.intra_op_num_threads),
            spinning=options.get_session_config_entry(_SPINNING) == "1",
            details={"provider": self._session.get_providers()[0], "graph_optimization": _level(options)},
        )

    def __call__(self, images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            result: NDArray[np.float32] = self._session.run(None, {self._input: images_NCHW})[0]
        except _failures() as error:
            raise ArtefactError(f"the net does not run on images of shape {images_NCHW.shape}: {first_line(error)}") from error
        return result

    def compute_ms(self, images_NCHW: NDArray[np.float32]) -> float | None:
        return None

    def close(self) -> None:
        self._session = None


class _Int8Runner(_CpuRunner):
    """A session whose products were looked at after ONNX Runtime's own optimisation, which says what it computes in integers."""

    def __init__(self, package: ModuleType, model: str, threads: int | None, spinning: bool) -> None:
        with tempfile.TemporaryDirectory() as folder:
            optimized = Path(folder) / "optimized.onnx"
            super().__init__(package, model, threads, spinning, optimized)
            self._share = live_products(_parsed(read_source(optimized, OnnxRuntimeCpu.name)))

    @property
    def info(self) -> RunnerInfo:
        integer, others = self._share
        found = super().info
        return replace(
            found,
            precision="int8" if integer else "fp32",
            details=found.details | {"int8_products": integer, "float_products": others},
        )


def live_products(optimized: onnx.ModelProto) -> tuple[int, int]:
    """How many products of an optimised graph have kernels of integers, and how many multiply constant weights as floats."""
    kinds = [node.op_type for node in optimized.graph.node]
    made = {name: node.op_type for node in optimized.graph.node for name in node.output}
    weights = {tensor.name for tensor in optimized.graph.initializer}
    floats = [node for node in optimized.graph.node if node.op_type in _FLOAT_KERNELS and len(node.input) > 1]
    weighted = [node for node in floats if node.input[1] in weights or made.get(node.input[1]) == "DequantizeLinear"]
    return sum(kind in _INT8_KERNELS for kind in kinds), len(weighted)


def require_integers(data: bytes) -> None:
    """Refuse a file that is asked for in int8 and was not calibrated.

    Raises:
        ArtefactError: if it is not ONNX, or holds no integers that stand for floats.
    """
    if not quantizing.is_quantized(_parsed(data)):
        raise ArtefactError("the file computes in fp32, asked for was int8", hint="write it with `edgenas export --precision int8`")


class _CudaRunner:
    """A session on buffers that stay on the GPU, replayed as a CUDA graph where all of the net runs there."""

    def __init__(self, package: ModuleType, data: bytes, precision: Precision) -> None:
        gpu = find_gpu()
        if gpu is None:
            raise MissingBackendError(NO_GPU)
        self._package, self._data = package, data
        self._gpu, self._precision = gpu, precision
        self._version: str = package.__version__
        self._net = GraphedNet(self._compute, capture=False)
        self._bound: dict[tuple[int, tuple[int, ...]], _Bound] = {}
        try:
            self._open(graph=True)
        except ArtefactError:  # a part of the net that the provider leaves to the CPU
            self._open(graph=False)

    def _open(self, *, graph: bool) -> None:
        own = {"user_compute_stream": str(self._net.stream.cuda_stream), "enable_cuda_graph": str(int(graph))}
        providers: list[Any] = [("CUDAExecutionProvider", own), "CPUExecutionProvider"]
        self._bound.clear()
        self._session = _open(self._package, self._data, _options(self._package), providers)
        live = self._session.get_providers()
        if live[0] != "CUDAExecutionProvider":
            raise MissingBackendError(
                f"ONNX Runtime {self._version} fell back to {live[0]} on {self._gpu.name}", hint="pip install onnxruntime-gpu"
            )
        self._graph = graph
        self._input: str = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0]

    def _compute(self, image: Tensor) -> Tensor:
        key = (image.data_ptr(), tuple(image.shape))
        if key not in self._bound:
            self._bound[key] = self._bind(image)
        bound = self._bound[key]
        try:
            self._session.run_with_iobinding(bound.binding, bound.options)
        except _failures() as error:
            if not self._graph:
                raise ArtefactError(f"the net does not run on images of shape {key[1]}: {first_line(error)}") from error
            self._open(graph=False)  # it cannot be captured
            return self._compute(image)
        return bound.logits

    def _bind(self, image: Tensor) -> _Bound:
        """Static addresses, and a graph of its own for every shape."""
        import torch

        shape = tuple(len(image) if axis == 0 else int(dim) for axis, dim in enumerate(self._output.shape))
        logits = torch.empty(shape, dtype=torch.float32, device="cuda")
        binding, options = self._session.io_binding(), self._package.RunOptions()
        binding.bind_input(self._input, "cuda", 0, np.float32, tuple(image.shape), image.data_ptr())
        binding.bind_output(self._output.name, "cuda", 0, np.float32, shape, logits.data_ptr())
        if self._graph:
            options.add_run_config_entry("gpu_graph_id", str(len(self._bound) + 1))
        return _Bound(binding, options, logits)

    @property
    def info(self) -> RunnerInfo:
        return RunnerInfo(
            device=self._gpu.name,
            device_kind="cuda",
            runtime=OnnxRuntimeCuda.name,
            runtime_version=self._version,
            precision=self._precision,
            threads=None,
            spinning=None,
            details={
                "provider": self._session.get_providers()[0],
                "target": self._gpu.target,
                "graph_optimization": _level(self._session.get_session_options()),
                "cuda_graph": self._graph,
            },
        )

    def __call__(self, images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._net(images_NCHW)

    def compute_ms(self, images_NCHW: NDArray[np.float32]) -> float | None:
        return self._net.compute_ms(images_NCHW)

    def close(self) -> None:
        self._net.close()
        self._bound.clear()
        self._session = None


@dataclass(frozen=True, slots=True)
class _Bound:
    binding: Any
    options: Any
    logits: Tensor


def _package() -> ModuleType:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingBackendError("ONNX Runtime is not installed", hint="pip install onnxruntime-gpu") from error
    package: ModuleType = onnxruntime
    package.set_default_logger_severity(_FATAL)
    return package


def open_session(package: ModuleType, data: bytes) -> Any:
    """A session on every usable core, for answers and not for times.

    Raises:
        ArtefactError: if the graph cannot be loaded.
    """
    options = _options(package)
    options.intra_op_num_threads = usable_cores()
    options.add_session_config_entry(_SPINNING, "0")
    return _open(package, data, options, ["CPUExecutionProvider"])


def _options(package: ModuleType) -> Any:
    options = package.SessionOptions()
    options.inter_op_num_threads = 1
    options.execution_mode = package.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = package.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _FATAL
    return options


def _level(options: Any) -> str:
    return str(options.graph_optimization_level.name).removeprefix("ORT_ENABLE_").lower()


def _open(package: ModuleType, model: str | bytes, options: Any, providers: list[Any]) -> Any:
    try:
        return package.InferenceSession(model, options, providers=providers)
    except _failures() as error:
        raise ArtefactError(f"ONNX Runtime cannot load the file: {first_line(error)}") from error


@cache
def _failures() -> tuple[type[Exception], ...]:
    """Everything that a session raises; ONNX Runtime's exceptions have no common base but `Exception`."""
    from onnxruntime.capi import onnxruntime_pybind11_state as states

    own = [item for item in vars(states).values() if isinstance(item, type) and issubclass(item, Exception)]
    return (*own, RuntimeError, ValueError)
