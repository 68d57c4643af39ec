"""PyTorch itself: eager on the CPU, captured CUDA graphs on a GPU. Runtimes without a format; they take modules."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import Precision, Probe, Runner, RunnerInfo, SourceKind
from edgenas.errors import MissingBackendError, UsageError

from ._cuda import GraphedNet
from ._host import NO_GPU, cpu_name, find_gpu, usable_cores
from ._probe import tiny_module, try_runner

if TYPE_CHECKING:
    from torch import Tensor, nn


class TorchCpu:
    """Runs a copy of a module eagerly on the CPU, in float32."""

    name = "torch-cpu"
    device_kind: Literal["cpu", "cuda"] = "cpu"
    accepts: tuple[SourceKind, ...] = ("module",)
    precisions: tuple[Precision, ...] = ("fp32",)

    def probe(self) -> Probe:
        """Try a tiny net."""
        return try_runner(lambda: self.load(tiny_module()), what=self.name)

    def load(
        self, source: Path | nn.Module, *, precision: Precision = "fp32", threads: int | None = None, spinning: bool = True
    ) -> Runner:
        """Copy a module into eval mode.

        PyTorch has one thread count a process: each call sets ``threads`` and restores what was. Whether idle threads spin
        is the OpenMP library's choice; ``spinning`` changes nothing here and is reported as unknown.

        Raises:
            UsageError: for a file, or a precision other than fp32.
        """
        if precision not in self.precisions:
            raise UsageError(f"{self.name} computes in fp32, not in {precision}", hint="use torch-cuda-graph")
        return _TorchCpuRunner(_module(source, self.name), usable_cores() if threads is None else threads)


class TorchCudaGraph:
    """Runs a copy of a module as one captured CUDA graph."""

    name = "torch-cuda-graph"
    device_kind: Literal["cpu", "cuda"] = "cuda"
    accepts: tuple[SourceKind, ...] = ("module",)
    precisions: tuple[Precision, ...] = ("fp32", "fp16")

    def probe(self) -> Probe:
        """Try a tiny net."""
        return try_runner(lambda: self.load(tiny_module()), what=self.name)

    def load(
        self, source: Path | nn.Module, *, precision: Precision = "fp32", threads: int | None = None, spinning: bool = True
    ) -> Runner:
        """Copy a module to the GPU; captured at the first call, inputs and outputs stay float32.

        Raises:
            MissingBackendError: without a GPU.
            UsageError: for a file.
        """
        return _TorchCudaRunner(_module(source, self.name), precision)


class _TorchCpuRunner:
    def __init__(self, module: nn.Module, threads: int) -> None:
        self._module: nn.Module | None = copy.deepcopy(module).cpu().float().eval().requires_grad_(False)
        self._threads = threads

    @property
    def info(self) -> RunnerInfo:
        import torch

        return RunnerInfo(
            device=cpu_name(),
            device_kind="cpu",
            runtime=TorchCpu.name,
            runtime_version=torch.__version__,
            precision="fp32",
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
                result: NDArray[np.float32] = self._module(torch.from_numpy(np.require(images_NCHW, requirements="W"))).numpy()
        finally:
            if before != self._threads:
                torch.set_num_threads(before)
        return result

    def compute_ms(self, images_NCHW: NDArray[np.float32]) -> float | None:
        return None

    def close(self) -> None:
        self._module = None


class _TorchCudaRunner:
    def __init__(self, module: nn.Module, precision: Precision) -> None:
        import torch

        gpu = find_gpu()
        if gpu is None:
            raise MissingBackendError(NO_GPU)
        self._gpu, self._precision = gpu, precision
        self._dtype = torch.float16 if precision == "fp16" else torch.float32
        self._module = copy.deepcopy(module).cuda().to(self._dtype).eval().requires_grad_(False)
        self._net = GraphedNet(self._compute)

    def _compute(self, image: Tensor) -> Tensor:
        import torch

        with torch.no_grad():
            logits: Tensor = self._module(image.to(self._dtype)).float()
        return logits

    @property
    def info(self) -> RunnerInfo:
        import torch

        return RunnerInfo(
            device=self._gpu.name,
            device_kind="cuda",
            runtime=TorchCudaGraph.name,
            runtime_version=torch.__version__,
            precision="fp16" if next(self._module.parameters()).dtype == torch.float16 else "fp32",
            threads=None,
            spinning=None,
            details={"cuda_graph": True, "target": self._gpu.target, "tf32": bool(torch.backends.cudnn.allow_tf32)},
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
