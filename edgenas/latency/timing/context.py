"""Where and on what a measurement was made: processor, governor, load, GPU state, versions."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgenas import __version__
from edgenas.deploy.contracts import RunnerInfo

SCOPE = "end_to_end"
_PACKAGES = ("numpy", "torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx", "openvino")
_MODEL_KEYS = ("model name", "Model", "Hardware")
_THROTTLES = {
    0x4: "power limit",
    0x8: "hardware slowdown",
    0x10: "synchronised with another GPU",
    0x20: "temperature",
    0x40: "temperature (hardware)",
    0x80: "power brake",
}


@dataclass(frozen=True, slots=True)
class Context:
    """What must agree between a table and its use, and details that explain a number.

    Attributes:
        device: name of the processor or GPU.
        device_kind: ``cpu`` or ``cuda``.
        runtime: name of the runtime.
        runtime_version: of its package.
        precision: of the computation.
        batch_size: images a call.
        threads: on a CPU, None on a GPU.
        scope: ``end_to_end``: input and output in host memory; ``trtexec``: what that tool calls latency; then, where it was so,
            the pace (``_30fps``) and ``_settled`` under load.
        spinning: whether idle threads spin.
        details: load, governor, clocks, versions and the like; compared with nothing.
    """

    device: str
    device_kind: str
    runtime: str
    runtime_version: str
    precision: str
    batch_size: int
    threads: int | None
    scope: str
    spinning: bool | None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells contexts apart, whatever the versions; what a kit measured is another one."""
        return (self.device, self.runtime, self.precision, self.batch_size, self.threads, self.scope, "kit" in self.details)

    def __str__(self) -> str:
        threads = "" if self.threads is None else f", {self.threads} thread{'s' if self.threads > 1 else ''}"
        scope = "" if self.scope == SCOPE else f", {self.scope.replace('_', ' ')}"
        kit = ", by a kit" if "kit" in self.details else ""
        return f"{self.device}, {self.runtime} {self.precision}, batch {self.batch_size}{threads}{scope}{kit}"

    def as_json(self) -> dict[str, Any]:
        """The contract's ``context``."""
        return {name: getattr(self, name) for name in self.__slots__}


def context_of(
    info: RunnerInfo,
    *,
    batch_size: int = 1,
    scope: str = SCOPE,
    details: Mapping[str, Any] | None = None,
    machine: Mapping[str, Any] | None = None,
) -> Context:
    """The context of a live runner on this machine, now.

    Args:
        info: what the session says of itself.
        batch_size: images a call.
        scope: of what is timed.
        details: more to keep, e.g. the opset.
        machine: facts about the machine; None reads those of this one.
    """
    return Context(
        device=info.device,
        device_kind=info.device_kind,
        runtime=info.runtime,
        runtime_version=info.runtime_version,
        precision=info.precision,
        batch_size=batch_size,
        threads=info.threads,
        scope=scope,
        spinning=info.spinning,
        details=dict(info.details) | dict(machine_details(info.device_kind) if machine is None else machine) | dict(details or {}),
    )


def machine_details(device_kind: str) -> dict[str, Any]:
    """Processor, governor, affinity, load and versions; on CUDA what NVML says. What cannot be read is left out."""
    details: dict[str, Any] = {
        "cpu": cpu_model(),
        "cpu_count": os.cpu_count(),
        "affinity": usable_cores(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "edgenas": __version__,
        "versions": _versions(),
    }
    if device_kind == "cuda":
        details["gpu"] = gpu_state()
    return {key: value for key, value in details.items() if value is not None}


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may run on."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def cpu_model() -> str:
    """The processor's name from ``/proc/cpuinfo``, else its architecture."""
    text = _read("/proc/cpuinfo") or ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in _MODEL_KEYS and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()


def gpu_state() -> dict[str, Any]:
    """Name, driver, clocks, power, temperature and throttle reasons of the GPU that CUDA calls the first; reads, never sets.

    Returns:
        What NVML tells; what it does not tell is None, and without NVML ``unknown`` says why.
    """
    try:
        pynvml: Any = import_module("pynvml")
    except ImportError:
        return {"unknown": "there is no NVML: pip install nvidia-ml-py"}
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return {"unknown": f"NVML does not start: {error}"}
    try:
        handle = _first_gpu(pynvml)
        return {name: _reading(pynvml, read) for name, read in _readings(pynvml, handle).items()}
    except pynvml.NVMLError as error:
        return {"unknown": f"NVML does not tell: {error}"}
    finally:
        pynvml.nvmlShutdown()


def _first_gpu(pynvml: Any) -> Any:
    """NVML counts all GPUs of the machine, CUDA those that its variable leaves."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    if visible.startswith("GPU-"):
        return pynvml.nvmlDeviceGetHandleByUUID(visible)
    return pynvml.nvmlDeviceGetHandleByIndex(int(visible) if visible.isdigit() else 0)


def _readings(pynvml: Any, handle: Any) -> dict[str, Callable[[], Any]]:
    return {
        "name": lambda: _text(pynvml.nvmlDeviceGetName(handle)),
        "driver": lambda: _text(pynvml.nvmlSystemGetDriverVersion()),
        "sm_clock_mhz": lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
        "memory_clock_mhz": lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM),
        "max_sm_clock_mhz": lambda: pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_SM),
        "power_w": lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000,
        "power_limit_w": lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
        "temperature_c": lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
        "throttle_reasons": lambda: throttle_names(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)),
    }


def _reading(pynvml: Any, read: Callable[[], Any]) -> Any:
    """None where this GPU, driver or package does not tell."""
    try:
        return read()
    except (pynvml.NVMLError, AttributeError):
        return None


def throttle_names(bits: int) -> list[str]:
    """Why clocks are held back, in words; an idle GPU and clocks that somebody set are none of these."""
    return [name for bit, name in _THROTTLES.items() if bits & bit]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
