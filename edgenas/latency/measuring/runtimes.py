"""Which runtime a device is measured with."""

from __future__ import annotations

from collections.abc import Generator

from edgenas.deploy.contracts import Runtime
from edgenas.deploy.plugins import get_runtime
from edgenas.errors import MissingBackendError, UsageError
from edgenas.latency.timing import cpu_model
from edgenas.runs import Note

CPU_RUNTIME = "onnxruntime-cpu"
CUDA_RUNTIMES = ("tensorrt", "tensorrt-rtx", "onnxruntime-cuda", "torch-cuda-graph", "torch-cuda")


def device_name(kind: str) -> str:
    """Name of the processor or GPU of this machine, as runners report it; empty where there is none."""
    if kind == "cuda":
        import torch

        return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else "no usable GPU"
    return cpu_model()


def best_cuda_runtime() -> tuple[Runtime | None, list[str]]:
    """The first runtime that really works on a GPU here, and why those before it do not."""
    seen: list[str] = []
    for name in CUDA_RUNTIMES:
        runtime = get_runtime(name)
        probe = runtime.probe()
        if probe.works:
            return runtime, seen
        seen.append(probe.reason)
    return None, seen


def choose_runtime(device: str, name: str | None) -> Generator[Note, None, Runtime]:
    """The runtime to measure with.

    Raises:
        MissingBackendError: if the device or the runtime that was asked for does not work here.
        UsageError: for an unknown runtime, or one that loads files of a format alone.
    """
    if name is not None:
        runtime = get_runtime(name)
        if device not in ("auto", runtime.device_kind):
            raise MissingBackendError(f"runtime {name} runs on {runtime.device_kind}, not on {device}")
        if not {"onnx", "module"}.intersection(runtime.accepts):
            raise UsageError(
                f"runtime {name} loads {' and '.join(runtime.accepts)} files alone; nets are timed as ONNX graphs or as modules",
                hint=f"profile with {CPU_RUNTIME} or openvino-cpu, and time the exported file",
            )
        probe = runtime.probe()
        if not probe.works:
            raise MissingBackendError(f"runtime {name} does not work here: {probe.reason}", hint=probe.fix)
        return runtime
    if device in ("cuda", "auto"):
        best, seen = best_cuda_runtime()
        if best is not None:
            yield Note(f"measuring with {best.name}, the best that works here" + (f" ({'; '.join(seen)})" if seen else ""))
            return best
        if device == "cuda":
            raise MissingBackendError(
                f"device cuda: no runtime works here: {'; '.join(dict.fromkeys(seen))}",
                hint="`edgenas doctor` says more; --device cpu measures the processor",
            )
    yield Note(f"measuring with {CPU_RUNTIME} on {device_name('cpu')}")
    return get_runtime(CPU_RUNTIME)
