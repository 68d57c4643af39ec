from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgenas.latency.timing import gpu
from edgenas.latency.timing.gpu import gpu_state, throttle_names


class FakeNvmlError(Exception):
    pass


def fake_nvml(**changes: Any) -> SimpleNamespace:
    """The functions of NVML that are read, and none that sets anything."""

    def unsupported(handle: object) -> int:
        raise FakeNvmlError("Not Supported")

    functions = {
        "NVMLError": FakeNvmlError,
        "NVML_CLOCK_SM": 1,
        "NVML_CLOCK_MEM": 2,
        "NVML_TEMPERATURE_GPU": 0,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetHandleByIndex": lambda index: f"index {index}",
        "nvmlDeviceGetHandleByUUID": lambda uuid: f"uuid {uuid}",
        "nvmlDeviceGetName": lambda handle: f"GPU {handle}".encode(),
        "nvmlSystemGetDriverVersion": lambda: "590.44",
        "nvmlDeviceGetClockInfo": lambda handle, kind: {1: 1200, 2: 2600}[kind],
        "nvmlDeviceGetMaxClockInfo": lambda handle, kind: 1980,
        "nvmlDeviceGetPowerUsage": lambda handle: 95_500,
        "nvmlDeviceGetEnforcedPowerLimit": unsupported,
        "nvmlDeviceGetTemperature": lambda handle, kind: 71,
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda handle: 0x1 | 0x4 | 0x40,
    }
    return SimpleNamespace(**{**functions, **changes})


def test_a_gpus_state_is_read_and_what_it_does_not_tell_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml())  # type: ignore[arg-type]
    state = gpu_state()
    assert state == {
        "name": "GPU index 0",
        "driver": "590.44",
        "sm_clock_mhz": 1200,
        "memory_clock_mhz": 2600,
        "max_sm_clock_mhz": 1980,
        "power_w": 95.5,
        "power_limit_w": None,
        "temperature_c": 71,
        "throttle_reasons": ["power limit", "temperature (hardware)"],
    }


@pytest.mark.parametrize(("visible", "handle"), [("3,1", "index 3"), ("GPU-ab,GPU-cd", "uuid GPU-ab"), ("", "index 0")])
def test_the_gpu_is_the_one_that_cuda_calls_the_first(visible: str, handle: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml())  # type: ignore[arg-type]
    assert gpu_state()["name"] == f"GPU {handle}"


def test_without_nvml_or_a_driver_the_state_is_unknown_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver() -> None:
        raise FakeNvmlError("Driver Not Loaded")

    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(nvmlInit=no_driver))  # type: ignore[arg-type]
    assert gpu_state() == {"unknown": "NVML does not start: Driver Not Loaded"}
    monkeypatch.setitem(sys.modules, "pynvml", None)  # type: ignore[arg-type]  # so that its import fails
    assert gpu_state() == {"unknown": "there is no NVML: pip install nvidia-ml-py"}


def test_an_idle_gpu_is_not_throttled() -> None:
    assert throttle_names(0x1 | 0x2) == []
    assert throttle_names(0x8) == ["hardware slowdown"]


def test_nothing_here_sets_clocks() -> None:
    assert "nvmlDeviceSet" not in Path(gpu.__file__).read_text(encoding="utf-8")
