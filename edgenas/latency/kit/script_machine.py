"""What a device is and does: facts that explain a number."""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from edgenas.latency.kit.script_runners import cpu_model, read_text, usable_cores

CPU_FOLDER = Path("/sys/devices/system/cpu")
SHORTEST_S = 0.2  # the system counts in hundredths of a second
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


class Look:
    """The machine at one moment, on the cores that this process may use."""

    def __init__(self) -> None:
        self.seconds, self.own_s, self.cores = time.monotonic(), sum(os.times()[:4]), usable_cores()
        self.busy_s, self.steal_s = _core_seconds(self.cores)
        self.state = machine_state()

    def until_now(self) -> dict[str, Any]:
        """What else went on since; None where the system does not tell."""
        now = Look()
        seconds = max(now.seconds - self.seconds, 1e-3)
        others = steal = None
        if self.busy_s is not None and now.busy_s is not None and self.steal_s is not None and now.steal_s is not None:
            others = max(0.0, (now.busy_s - self.busy_s) - (now.own_s - self.own_s)) / seconds
            steal = max(0.0, now.steal_s - self.steal_s) / seconds / len(self.cores)
        governor = read_text(CPU_FOLDER / "cpu0/cpufreq/scaling_governor")
        clocks = [look.state["frequency_mhz"] for look in (self, now) if "frequency_mhz" in look.state]
        loads = [look.state.get("load_average", [None])[0] for look in (self, now)]
        return {
            "seconds": seconds,
            "num_cores": len(self.cores),
            "own_cores": (now.own_s - self.own_s) / seconds,
            "other_cores": others if seconds >= SHORTEST_S else None,
            "steal_share": steal if seconds >= SHORTEST_S else None,
            "load_average_before": loads[0],
            "load_average_after": loads[1],
            "governors": [governor] if governor else None,
            "frequency_min_mhz": min(clocks, default=None),
            "frequency_max_mhz": max(clocks, default=None),
            "temperature_before_c": self.state.get("temperature_c"),
            "temperature_after_c": now.state.get("temperature_c"),
        }


def joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """One of several that follow each other, e.g. from before and after a kill."""
    first, last = parts[0], parts[-1]
    result = {**first, "seconds": sum(part["seconds"] for part in parts), "num_cores": min(part["num_cores"] for part in parts)}
    for name in ("own_cores", "other_cores", "steal_share"):
        known = [(part[name], part["seconds"]) for part in parts if part[name] is not None]
        total = sum(seconds for _, seconds in known)
        result[name] = sum(value * seconds for value, seconds in known) / total if total > 0 else None
    for name, choose in (("frequency_min_mhz", min), ("frequency_max_mhz", max)):
        values = [part[name] for part in parts if part[name] is not None]
        result[name] = choose(values) if values else None
    result["governors"] = sorted({name for part in parts for name in part["governors"] or []}) or None
    result.update({name: last[name] for name in ("load_average_after", "temperature_after_c")})
    return result


def _core_seconds(cores: list[int]) -> tuple[float | None, float | None]:
    """Busy and stolen seconds of these cores together since the machine started."""
    wanted, busy, steal, found = {f"cpu{core}" for core in cores}, 0, 0, False
    for line in (read_text(Path("/proc/stat")) or "").splitlines():
        name, *fields = line.split() or [""]
        if name in wanted and len(fields) >= 8:
            user, nice, system, _, _, irq, softirq, stolen = (int(field) for field in fields[:8])
            busy, steal, found = busy + user + nice + system + irq + softirq, steal + stolen, True
    ticks = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
    return (busy / ticks, steal / ticks) if found else (None, None)


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
