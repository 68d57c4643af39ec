"""What a GPU does, as NVML tells it; reads, never sets."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any

_THROTTLES = {
    0x4: "power limit",
    0x8: "hardware slowdown",
    0x10: "synchronised with another GPU",
    0x20: "temperature",
    0x40: "temperature (hardware)",
    0x80: "power brake",
}


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
