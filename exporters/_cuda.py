"""A captured CUDA graph with static buffers and pinned host copies, for every runtime that launches from PyTorch streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_WARM_UPS = 3  # libraries pick kernels and allocate in the first calls, which a capture forbids


def new_stream() -> torch.cuda.Stream:
    """A stream beside the default one."""
    import torch

    return torch.cuda.Stream()  # type: ignore[no-untyped-call]


def new_event() -> torch.cuda.Event:
    """An event that can be timed."""
    import torch

    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


class GraphedNet:
    """Replays ``compute`` on static buffers; a new input shape is captured anew.

    Args:
        compute: launches the net on the current stream; reads the given static input, returns its output. It must not
            synchronise, and must write to the same memory when replayed.
        capture: False launches anew every time, for runtimes that capture graphs themselves.

    Attributes:
        stream: that everything is launched on.
    """

    def __init__(self, compute: Callable[[Tensor], Tensor], *, capture: bool = True) -> None:
        self._compute, self._capture = compute, capture
        self.stream = new_stream()
        self._shape: tuple[int, ...] | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """One synchronous call, host memory to host memory."""
        import torch

        self._load(images_NCHW)
        with torch.cuda.stream(self.stream):
            self._device_in.copy_(self._host_in, non_blocking=True)
            self._launch()
            self._host_out.copy_(self._device_out, non_blocking=True)
        self.stream.synchronize()
        result: NDArray[np.float32] = self._host_out.numpy().copy()
        return result

    def compute_ms(self, images_NCHW: NDArray[np.float32]) -> float:
        """Milliseconds between two events around one launch, without copies."""
        import torch

        self._load(images_NCHW)
        start, end = new_event(), new_event()
        with torch.cuda.stream(self.stream):
            self._device_in.copy_(self._host_in, non_blocking=True)
            self.stream.synchronize()
            start.record()
            self._launch()
            end.record()
        end.synchronize()
        return float(start.elapsed_time(end))

    def close(self) -> None:
        """Free the graph and the buffers."""
        self.stream.synchronize()
        self._graph = None
        self._shape = None
        for name in ("_host_in", "_host_out", "_device_in", "_device_out"):
            if hasattr(self, name):
                delattr(self, name)

    def _load(self, images_NCHW: NDArray[np.float32]) -> None:
        import torch

        if self._shape != images_NCHW.shape:
            self._prepare(images_NCHW.shape)
        self._host_in.copy_(torch.from_numpy(np.require(images_NCHW, requirements="W")))

    def _prepare(self, shape: tuple[int, ...]) -> None:
        import torch

        self._graph = None
        self._host_in = torch.zeros(shape, dtype=torch.float32).pin_memory()
        self._device_in = self._host_in.cuda()
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for _ in range(_WARM_UPS):
                self._device_out = self._compute(self._device_in)
        self.stream.synchronize()
        if self._capture:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=self.stream):
                self._device_out = self._compute(self._device_in)
        self._host_out = torch.empty(self._device_out.shape, dtype=torch.float32).pin_memory()
        self._shape = shape

    def _launch(self) -> None:
        if self._graph is not None:
            self._graph.replay()
        else:
            self._device_out = self._compute(self._device_in)
