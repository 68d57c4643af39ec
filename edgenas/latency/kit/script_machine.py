"""What a device is and does: facts that explain a number."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

from edgenas.latency.kit.script_runners import cpu_model, read_text, usable_cores

CPU_FOLDER = Path("/sys/devices/system/cpu")
THERMAL_FOLDER = Path("/sys/class/thermal")


def machine_facts() -> dict[str, Any]:
    """Processor, board, cores, governor and versions; what cannot be read is left out."""
    facts: dict[str, Any] = {
        "cpu": cpu_model(),
        "board": read_text(Path("/proc/device-tree/model")),
        "cpu_count": os.cpu_count(),
        "affinity": usable_cores(),
        "governor": read_text(CPU_FOLDER / "cpu0/cpufreq/scaling_governor"),
        "memory_mb": _memory_mb(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "power_mode": read_text(Path("/var/lib/nvpmodel/status")),
        "versions": {name: sys.modules[name].__version__ for name in ("numpy", "onnxruntime") if name in sys.modules},
        **machine_state(),
    }
    return {key: value for key, value in facts.items() if value is not None}


def machine_state() -> dict[str, Any]:
    """What changes while nets are timed: load, temperature, clock."""
    state = {
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "temperature_c": _temperature_c(),
        "frequency_mhz": _number(CPU_FOLDER / "cpu0/cpufreq/scaling_cur_freq", 1e-3),
    }
    return {key: value for key, value in state.items() if value is not None}


def _memory_mb() -> int | None:
    for line in (read_text(Path("/proc/meminfo")) or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return None


def _temperature_c() -> float | None:
    """Of the hottest zone."""
    zones = (_number(zone / "temp", 1e-3) for zone in sorted(THERMAL_FOLDER.glob("*")))
    return max((value for value in zones if value is not None and value > 0), default=None)


def _number(path: Path, factor: float) -> float | None:
    try:
        return round(int(read_text(path) or "") * factor, 1)
    except ValueError:
        return None
