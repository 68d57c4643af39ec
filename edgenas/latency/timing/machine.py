"""What else a machine did while nets were timed: other processes, the hypervisor, clocks that were held back.

Nothing here changes a clock or a governor; what cannot be read is None, which stands for unknown.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgenas.latency.timing.context import gpu_state, usable_cores

if TYPE_CHECKING:
    from edgenas.latency.timing.memory import Memory

STAT = Path("/proc/stat")
CPUS = Path("/sys/devices/system/cpu")
RANGES = ("sm_clock_mhz", "memory_clock_mhz", "power_w", "temperature_c")
APART_S = 0.5  # between two looks: the system counts in hundredths of a second
PART_S = 5.0  # of what is seen of the machine is kept at once
SHORTEST_S = 0.2  # a series below says nothing about other processes


@dataclass(frozen=True, slots=True)
class Look:
    """The machine at one moment.

    Attributes:
        seconds: of a clock that only goes forward.
        own_s: processor time of this process so far, all threads.
        busy_s: processor time of everybody on the cores that this process may use; None where the system does not tell.
        steal_s: time that a hypervisor gave to others on these cores.
        load: average of the last minute.
        governor: of the first of these cores.
        frequencies_mhz: of these cores.
        throttles: how often these cores were slowed down by heat since the machine started.
        gpu: as `gpu_state`; None on a CPU.
    """

    seconds: float
    own_s: float
    busy_s: float | None
    steal_s: float | None
    load: float | None
    governor: str | None
    frequencies_mhz: tuple[float, ...]
    throttles: int | None
    gpu: dict[str, Any] | None


def look(device_kind: str) -> Look:
    """The machine now; takes well below a millisecond on a CPU."""
    cores = usable_cores()
    busy_s, steal_s = _core_seconds(cores)
    frequencies = (_number(CPUS / f"cpu{core}" / "cpufreq" / "scaling_cur_freq") for core in cores)
    throttles = [_number(CPUS / f"cpu{core}" / "thermal_throttle" / "core_throttle_count") for core in cores]
    known = [count for count in throttles if count is not None]
    return Look(
        seconds=time.monotonic(),
        own_s=time.process_time(),
        busy_s=busy_s,
        steal_s=steal_s,
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        governor=governor(cores),
        frequencies_mhz=tuple(frequency / 1000 for frequency in frequencies if frequency is not None),
        throttles=int(sum(known)) if known else None,
        gpu=gpu_state() if device_kind == "cuda" else None,
    )


def governor(cores: Sequence[int]) -> str | None:
    """The frequency governor of the first core; None where the system has none or does not tell."""
    return _read(CPUS / f"cpu{cores[0] if cores else 0}" / "cpufreq" / "scaling_governor")


class Watch:
    """Looks at the machine now and then during a series of measurements.

    Args:
        device_kind: ``cpu`` or ``cuda``.
    """

    def __init__(self, device_kind: str) -> None:
        self.device_kind = device_kind
        self.looks = [look(device_kind)]

    @property
    def seconds(self) -> float:
        """Since the first look."""
        return time.monotonic() - self.looks[0].seconds

    def glance(self) -> None:
        """Look, unless the last time was just now. Called between visits, never during one."""
        if time.monotonic() - self.looks[-1].seconds >= APART_S:
            self.looks.append(look(self.device_kind))

    def end(self) -> dict[str, Any]:
        """Look once more; what was seen, JSON-ready."""
        self.looks.append(look(self.device_kind))
        return summary(self.looks)


@dataclass(slots=True)
class Watches:
    """What went on beside the visits, in parts of some seconds, so that a kill loses one of them at most."""

    device_kind: str
    memory: Memory | None
    watch: Watch = field(init=False)
    parts: list[dict[str, Any]] = field(default_factory=list)
    seconds_before: float = 0.0
    num_kept: int = 0

    def __post_init__(self) -> None:
        self.watch = Watch(self.device_kind)
        while self.memory is not None and (kept := self.memory.recall(f"machine {len(self.parts)}")) is not None:
            self.parts.append(kept)
        self.seconds_before = sum(part["seconds"] for part in self.parts)

    def glance(self, num_made: int) -> None:
        """Look now and then; keep what was seen for long enough, unless no visit of ``num_made`` is new."""
        self.watch.glance()
        if self.watch.seconds >= PART_S:
            self._keep(num_made)
            self.watch = Watch(self.device_kind)

    def end(self, num_made: int) -> dict[str, Any]:
        """Of all parts, those of an interrupted process included."""
        self._keep(num_made)
        return joined(self.parts) if self.parts else self.watch.end()

    def _keep(self, num_made: int) -> None:
        if num_made == self.num_kept:
            return
        self.num_kept = num_made
        self.parts.append(self.watch.end())
        if self.memory is not None:
            self.memory.record(f"machine {len(self.parts) - 1}", self.parts[-1])


def summary(looks: Sequence[Look]) -> dict[str, Any]:
    """What a series of looks says, JSON-ready, with None for unknown.

    Returns:
        ``num_cores`` that could be used; ``own_cores`` and ``other_cores``: how many of them this and all other processes kept
        busy, ``other_cores_max`` at the worst moment; ``steal_share`` of their time that a hypervisor took; loads, governors,
        frequencies, ``throttle_events``; for a GPU the ranges of what `gpu_state` read and all throttle reasons seen.
    """
    first, last = looks[0], looks[-1]
    seconds, cores = last.seconds - first.seconds, len(usable_cores())
    parts = [_others(before, after) for before, after in pairwise(looks) if _long(before, after)]
    known = [part for part in parts if part is not None]
    frequencies = [value for seen in looks for value in seen.frequencies_mhz]
    result: dict[str, Any] = {
        "seconds": seconds,
        "num_cores": cores,
        "own_cores": (last.own_s - first.own_s) / seconds if seconds >= SHORTEST_S else None,
        "other_cores": _others(first, last) if seconds >= SHORTEST_S else None,
        "other_cores_max": max(known) if known else None,
        "steal_share": _stolen(first, last, cores) if seconds >= SHORTEST_S else None,
        "load_average_before": first.load,
        "load_average_after": last.load,
        "governors": sorted({seen.governor for seen in looks if seen.governor is not None}) or None,
        "frequency_min_mhz": min(frequencies, default=None),
        "frequency_max_mhz": max(frequencies, default=None),
        "throttle_events": None if first.throttles is None or last.throttles is None else last.throttles - first.throttles,
    }
    states = [seen.gpu for seen in looks if seen.gpu is not None]
    return result | ({"gpu": _gpu(states)} if states else {})


def joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One summary of several that follow each other, e.g. from before and after a kill."""
    if len(parts) == 1:
        return dict(parts[0])
    result: dict[str, Any] = {"seconds": sum(part["seconds"] for part in parts), "num_cores": min(p["num_cores"] for p in parts)}
    for name in ("own_cores", "other_cores", "steal_share"):
        known = [(part[name], part["seconds"]) for part in parts if part.get(name) is not None]
        total = sum(seconds for _, seconds in known)
        result[name] = sum(value * seconds for value, seconds in known) / total if total > 0 else None
    for name, choose in (
        ("other_cores_max", max),
        ("frequency_min_mhz", min),
        ("frequency_max_mhz", max),
        ("throttle_events", sum),
    ):
        values = [part[name] for part in parts if part.get(name) is not None]
        result[name] = choose(values) if values else None
    result["load_average_before"] = parts[0].get("load_average_before")
    result["load_average_after"] = parts[-1].get("load_average_after")
    result["governors"] = sorted({name for part in parts for name in part.get("governors") or ()}) or None
    states = [part["gpu"] for part in parts if part.get("gpu")]
    return result | ({"gpu": _joined_gpu(states)} if states else {})


def _joined_gpu(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    result = dict(states[0])
    for name in RANGES:
        ranges = [state[name] for state in states if isinstance(state.get(name), Mapping)]
        if ranges:
            result[name] = {"min": min(each["min"] for each in ranges), "max": max(each["max"] for each in ranges)}
    reasons = [state["throttle_reasons"] for state in states if state.get("throttle_reasons") is not None]
    return result | ({"throttle_reasons": sorted({name for seen in reasons for name in seen})} if reasons else {})


def _long(before: Look, after: Look) -> bool:
    return after.seconds - before.seconds >= APART_S * 0.9


def _others(before: Look, after: Look) -> float | None:
    """Cores that other processes kept busy in between."""
    if before.busy_s is None or after.busy_s is None:
        return None
    busy_s = (after.busy_s - before.busy_s) - (after.own_s - before.own_s)
    return max(0.0, busy_s) / (after.seconds - before.seconds)


def _stolen(before: Look, after: Look, cores: int) -> float | None:
    if before.steal_s is None or after.steal_s is None:
        return None
    return (after.steal_s - before.steal_s) / (after.seconds - before.seconds) / max(1, cores)


def _gpu(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Facts that do not change, ranges of those that do, and every throttle reason that was seen."""
    result = dict(states[0])
    for name in RANGES:
        values = [state[name] for state in states if state.get(name) is not None]
        if values:
            result[name] = {"min": min(values), "max": max(values)}
    reasons = [state["throttle_reasons"] for state in states if state.get("throttle_reasons") is not None]
    return result | ({"throttle_reasons": sorted({name for seen in reasons for name in seen})} if reasons else {})


def _core_seconds(cores: Sequence[int]) -> tuple[float | None, float | None]:
    """Busy and stolen seconds of these cores together since the machine started."""
    text = _read(STAT)
    if text is None or not hasattr(os, "sysconf"):
        return None, None
    ticks, wanted = os.sysconf("SC_CLK_TCK"), {f"cpu{core}" for core in cores}
    busy = steal = 0
    found = False
    for line in text.splitlines():
        name, *fields = line.split()
        if name in wanted and len(fields) >= 8:
            user, nice, system, _, _, irq, softirq, stolen = (int(field) for field in fields[:8])
            busy += user + nice + system + irq + softirq
            steal += stolen
            found = True
    return (busy / ticks, steal / ticks) if found else (None, None)


def _number(path: Path) -> float | None:
    text = _read(path)
    return float(text) if text is not None and text.isdigit() else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
