"""What a machine is: its processor, board, cores, clocks and temperature. Reads, never sets; what cannot be read is None."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BOARD = Path("/proc/device-tree/model")
CPUINFO = Path("/proc/cpuinfo")
CPUS = Path("/sys/devices/system/cpu")
MODEL_KEYS = ("model name", "Model", "Hardware")
STAT = Path("/proc/stat")
THERMAL = Path("/sys/class/thermal")


def read_text(path: Path) -> str | None:
    """A small file of the system; None where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").replace("\0", "").strip()
    except OSError:
        return None


def read_number(path: Path) -> int | None:
    """A file that holds one whole number; None where there is none."""
    try:
        return int(read_text(path) or "")
    except ValueError:
        return None


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may run on."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def cpu_model() -> str:
    """The processor's name, else the board's, else the architecture."""
    for line in (read_text(CPUINFO) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in MODEL_KEYS and value.strip():
            return value.strip()
    return read_text(BOARD) or platform.processor() or platform.machine()


def governor(cores: Sequence[int]) -> str | None:
    """The frequency governor of the first core; None where the system has none or does not tell."""
    return read_text(CPUS / f"cpu{cores[0] if cores else 0}" / "cpufreq" / "scaling_governor")


def frequencies_mhz(cores: Sequence[int]) -> tuple[float, ...]:
    """Clocks of those of these cores that tell."""
    clocks_khz = (read_number(CPUS / f"cpu{core}" / "cpufreq" / "scaling_cur_freq") for core in cores)
    return tuple(value / 1000 for value in clocks_khz if value is not None)


def throttle_count(cores: Sequence[int]) -> int | None:
    """How often these cores were slowed down by heat since the machine started."""
    counts = (read_number(CPUS / f"cpu{core}" / "thermal_throttle" / "core_throttle_count") for core in cores)
    known = [value for value in counts if value is not None]
    return sum(known) if known else None


def temperature_c() -> float | None:
    """Temperature of the hottest zone."""
    zones = (read_number(zone / "temp") for zone in sorted(THERMAL.glob("*")))
    return max((value / 1000 for value in zones if value is not None and value > 0), default=None)


def core_seconds(cores: Sequence[int]) -> tuple[float | None, float | None]:
    """Busy and stolen seconds of these cores together since the machine started."""
    text = read_text(STAT)
    if text is None or not hasattr(os, "sysconf"):
        return None, None
    ticks, wanted = os.sysconf("SC_CLK_TCK"), {f"cpu{core}" for core in cores}
    busy = steal = 0
    is_known = False
    for line in text.splitlines():
        name, *fields = line.split() or [""]
        if name in wanted and len(fields) >= 8:
            user, nice, system, _, _, irq, softirq, stolen = (int(field) for field in fields[:8])
            busy += user + nice + system + irq + softirq
            steal += stolen
            is_known = True
    return (busy / ticks, steal / ticks) if is_known else (None, None)


def machine_facts(packages: Sequence[str]) -> dict[str, Any]:
    """Processor, board, cores, governor and versions, and what `machine_state` says; what cannot be read is left out.

    Args:
        packages: whose versions are told where they are imported.
    """
    cores = usable_cores()
    facts: dict[str, Any] = {
        "cpu": cpu_model(),
        "board": read_text(BOARD),
        "cpu_count": os.cpu_count(),
        "affinity": cores,
        "governor": governor(cores),
        "memory_mb": _memory_mb(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "power_mode": read_text(Path("/var/lib/nvpmodel/status")),
        "versions": {name: sys.modules[name].__version__ for name in packages if name in sys.modules},
        **machine_state(),
    }
    return {key: value for key, value in facts.items() if value is not None}


def machine_state() -> dict[str, Any]:
    """What changes while nets are timed: load, temperature, clock; what cannot be read is left out."""
    clocks = frequencies_mhz(usable_cores()[:1])
    state = {
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "temperature_c": temperature_c(),
        "frequency_mhz": clocks[0] if clocks else None,
    }
    return {key: value for key, value in state.items() if value is not None}


def _memory_mb() -> int | None:
    for line in (read_text(Path("/proc/meminfo")) or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return None
