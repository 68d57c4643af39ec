"""PyTorch itself: eager on the CPU and on a GPU, and as captured CUDA graphs. Runtimes without a format; they take modules."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import Precision, Probe, Runner, RunnerInfo, SourceKind
from edgenas.errors import MissingBackendError, UsageError

from ._cuda import GraphedNet
from ._files import require_precision
from ._host import NO_GPU, cpu_name, find_gpu, usable_cores
from ._probe import tiny_module, try_runner

if TYPE_CHECKING:
    from torch import Tensor, nn


PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "bf16")
_NAMES: dict[str, Precision] = {"torch.float32": "fp32", "torch.float16": "fp16", "torch.bfloat16": "bf16"}


class TorchCpu:
    """Runs a copy of a module eagerly on the CPU."""

    name = "torch-cpu"
    device_kind: Literal["cpu", "cuda"] = "cpu"
    accepts: tuple[SourceKind, ...] = ("module",)
    precisions: tuple[Precision, ...] = PRECISIONS

    def probe(self) -> Probe:
        """Try a tiny net."""
        return try_runner(lambda: self.load(tiny_module()), what=self.name)

    def load(
        self, source: Path | nn.Module, *, precision: Precision = "fp32", threads: int | None = None, spinning: bool = True
    ) -> Runner:
        """Copy a module into eval mode; inputs and outputs stay float32.

        PyTorch has one thread count a process: each call sets ``threads`` and restores what was. Whether idle threads spin
        is the OpenMP library's choice; ``spinning`` changes nothing here and is reported as unknown.

        Raises:
            UsageError: for a file, or an unknown precision.
        """
        require_precision(self, precision)
        return _TorchCpuRunner(_module(source, self.name), precision, usable_cores() if threads is None else threads)


class TorchCuda:
    """Runs a copy of a module eagerly on a GPU: every operator is launched from Python."""

    name = "torch-cuda"
    device_kind: Literal["cpu", "cuda"] = "cuda"
    accepts: tuple[SourceKind, ...] = ("module",)
    precisions: tuple[Precision, ...] = PRECISIONS

    def probe(self) -> Probe:
        """Try a tiny net."""
        return try_runner(lambda: self.load(tiny_module()), what=self.name)

    def load(
        self, source: Path | nn.Module, *, precision: Precision = "fp32", threads: int | None = None, spinning: bool = True
    ) -> Runner:
        """Copy a module to the GPU; inputs and outputs stay float32.

        Raises:
            MissingBackendError: without a GPU.
            UsageError: for a file, or an unknown precision.
        """
        require_precision(self, precision)
        return _TorchCudaRunner(_module(source, self.name), precision, self.name, capture=False)


class TorchCudaGraph(TorchCuda):
    """Runs a copy of a module as one captured CUDA graph; captured at the first call."""

    name = "torch-cuda-graph"

    def load(
        self, source: Path | nn.Module, *, precision: Precision = "fp32", threads: int | None = None, spinning: bool = True
    ) -> Runner:
        """As `TorchCuda.load`."""
        require_precision(self, precision)
        return _TorchCudaRunner(_module(source, self.name), precision, self.name, capture=True)


def _copied(module: nn.Module, precision: Precision, device: str) -> nn.Module:
    import torch

    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    return copy.deepcopy(module).to(device, dtype).eval().requires_grad_(False)


def _precision_of(module: nn.Module) -> Precision:
    return _NAMES[str(next(module.parameters()).dtype)]


class _TorchCpuRunner:
    def __init__(self, module: nn.Module, precision: Precision, threads: int) -> None:
        self._module: nn.Module | None = _copied(module, precision, "cpu")
        self._dtype = next(self._module.parameters()).dtype
        self._threads = threads

    @property
    def info(self) -> RunnerInfo:
        import torch

        assert self._module is not None, "the runner is closed"
        return RunnerInfo(
            device=cpu_name(),
            device_kind="cpu",
            runtime=TorchCpu.name,
            runtime_version=torch.__version__,
            precision=_precision_of(self._module),
            threads=self._threads,
            spinning=None,
        )

    def __call__(self, images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        assert self._module is not None, "the runner is closed"
        before = torch.get_num_threads()
        if before != self._threads:
            torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                image = torch.from_numpy(np.require(images_NCHW, requirements="W"))
                result: NDArray[np.float32] = self._module(image.to(self._dtype)).float().numpy()
        finally:
            if before != self._threads:
                torch.set_num_threads(before)
        return result

    def compute_ms(self, images_NCHW: NDArray[np.float32]) -> float | None:
        return None

    def close(self) -> None:
        self._module = None


class _TorchCudaRunner:
    def __init__(self, module: nn.Module, precision: Precision, name: str, *, capture: bool) -> None:
        gpu = find_gpu()
        if gpu is None:
            raise MissingBackendError(NO_GPU)
        self._gpu, self._name, self._capture = gpu, name, capture
        self._module = _copied(module, precision, "cuda")
        self._dtype = next(self._module.parameters()).dtype
        self._net = GraphedNet(self._compute, capture=capture)

    def _compute(self, image: Tensor) -> Tensor:
        import torch

        with torch.no_grad():
            logits: Tensor = self._module(image.to(self._dtype)).float()
        return logits

    @property
    def info(self) -> RunnerInfo:
        import torch

        where = next(self._module.parameters()).device
        if where.type != "cuda":
            raise MissingBackendError(f"PyTorch keeps the net on {where} instead of {self._gpu.name}")
        return RunnerInfo(
            device=self._gpu.name,
            device_kind="cuda",
            runtime=self._name,
            runtime_version=torch.__version__,
            precision=_precision_of(self._module),
            threads=None,
            spinning=None,
            details={"cuda_graph": self._capture, "target": self._gpu.target, "tf32": bool(torch.backends.cudnn.allow_tf32)},
        )

    def __call__(self, images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._net(images_NCHW)

    def compute_ms(self, images_NCHW: NDArray[np.float32]) -> float | None:
        return self._net.compute_ms(images_NCHW)

    def close(self) -> None:
        self._net.close()


def _module(source: Path | nn.Module, name: str) -> nn.Module:
    if isinstance(source, Path):
        raise UsageError(f"{name} runs modules, not files such as {source.name}")
    return source
