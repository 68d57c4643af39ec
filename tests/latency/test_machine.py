from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgenas.latency.timing import context, machine
from edgenas.latency.timing.context import gpu_state, throttle_names
from edgenas.latency.timing.machine import Look, Watch, look, summary

STILL = Look(
    seconds=10.0,
    own_s=1.0,
    busy_s=5.0,
    steal_s=0.0,
    load=0.5,
    governor="performance",
    frequencies_mhz=(2000.0,),
    throttles=0,
    gpu=None,
)


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A system of four cores whose files lie in a folder; this process may use cores 1 and 2."""
    monkeypatch.setattr(machine, "usable_cores", lambda: [1, 2])
    monkeypatch.setattr(machine, "STAT", tmp_path / "stat")
    monkeypatch.setattr(machine, "CPUS", tmp_path)
    return tmp_path


def write_stat(folder: Path, *rows: str) -> None:
    lines = ["cpu 9 9 9 9 9 9 9 9 9 9", *(f"cpu{core} {row}" for core, row in enumerate(rows)), "intr 5"]
    (folder / "stat").write_text("\n".join(lines), encoding="utf-8")


def test_only_the_cores_that_this_process_may_use_are_looked_at(two_cores: Path) -> None:
    write_stat(two_cores, "7000 0 0 0 0 0 0 0", "100 10 20 5000 77 3 4 6 0 0", "200 0 0 900 0 0 0 4 0 0", "8000 0 0 0 0 0 0 0")
    for core, (count, mhz) in {1: (3, 1_500_000), 2: (4, 2_500_000)}.items():
        folder = two_cores / f"cpu{core}"
        (folder / "cpufreq").mkdir(parents=True)
        (folder / "thermal_throttle").mkdir()
        (folder / "cpufreq" / "scaling_cur_freq").write_text(f"{mhz}\n")
        (folder / "cpufreq" / "scaling_governor").write_text("schedutil\n")
        (folder / "thermal_throttle" / "core_throttle_count").write_text(f"{count}\n")
    seen = look("cpu")
    ticks = 100.0
    assert (seen.busy_s, seen.steal_s) == (337 / ticks, 10 / ticks)
    assert (seen.governor, seen.frequencies_mhz, seen.throttles) == ("schedutil", (1500.0, 2500.0), 7)
    assert seen.gpu is None


def test_what_the_system_does_not_tell_is_unknown(two_cores: Path) -> None:
    seen = look("cpu")
    assert (seen.busy_s, seen.steal_s, seen.governor, seen.frequencies_mhz, seen.throttles) == (None, None, None, (), None)
    found = summary([seen, replace(seen, seconds=seen.seconds + 5)])
    names = ("other_cores", "other_cores_max", "steal_share", "governors", "frequency_min_mhz", "throttle_events")
    assert all(found[name] is None for name in names)
    assert found["num_cores"] == 2


def test_other_processes_are_what_was_busy_and_not_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: [0, 1])
    looks = [
        STILL,
        replace(STILL, seconds=11.0, own_s=1.8, busy_s=6.0, governor="powersave", frequencies_mhz=(900.0, 3000.0)),
        replace(STILL, seconds=12.0, own_s=2.4, busy_s=8.0, steal_s=0.2, throttles=3, load=2.5),
    ]
    found = summary(looks)
    assert found["seconds"] == 2.0
    assert found["own_cores"] == pytest.approx(0.7)
    assert found["other_cores"] == pytest.approx(0.8)
    assert found["other_cores_max"] == pytest.approx(1.4)
    assert found["steal_share"] == pytest.approx(0.05)
    assert (found["load_average_before"], found["load_average_after"]) == (0.5, 2.5)
    assert found["governors"] == ["performance", "powersave"]
    assert (found["frequency_min_mhz"], found["frequency_max_mhz"], found["throttle_events"]) == (900.0, 3000.0, 3)


def test_a_series_too_short_for_the_systems_clock_says_nothing_of_others() -> None:
    found = summary([STILL, replace(STILL, seconds=10.05, busy_s=5.04)])
    assert (found["other_cores"], found["steal_share"], found["own_cores"]) == (None, None, None)


def test_a_watch_does_not_look_at_every_visit() -> None:
    watch = Watch("cpu")
    for _ in range(50):
        watch.glance()
    assert len(watch.looks) == 1
    assert watch.end()["num_cores"] >= 1
    assert len(watch.looks) == 2


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


def test_a_gpus_readings_become_ranges_and_every_reason_that_was_seen() -> None:
    first = {"driver": "590.44", "sm_clock_mhz": 1980, "power_w": 80.0, "temperature_c": 50, "throttle_reasons": []}
    then = {"driver": "590.44", "sm_clock_mhz": 1100, "power_w": 95.0, "temperature_c": None, "throttle_reasons": ["power limit"]}
    found = summary([replace(STILL, gpu=first), replace(STILL, seconds=20.0, gpu=then)])["gpu"]
    assert found["sm_clock_mhz"] == {"min": 1100, "max": 1980}
    assert found["temperature_c"] == {"min": 50, "max": 50}
    assert (found["driver"], found["throttle_reasons"]) == ("590.44", ["power limit"])


def test_nothing_here_sets_clocks() -> None:
    for module in (context, machine):
        assert "nvmlDeviceSet" not in Path(module.__file__).read_text(encoding="utf-8")
