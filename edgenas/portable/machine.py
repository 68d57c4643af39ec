"""What else a machine did while nets were timed: other processes, the hypervisor, clocks that were held back.

Nothing here changes a clock or a governor; what cannot be read is None, which stands for unknown.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgenas.portable.facts import (
    core_seconds,
    frequencies_mhz,
    governor,
    temperature_c,
    throttle_count,
    usable_cores,
)
from edgenas.portable.memory import Memory
from edgenas.portable.quota import cpu_quota, times_held_back

RANGES = ("sm_clock_mhz", "memory_clock_mhz", "power_w", "temperature_c")
APART_S = 0.5  # between two looks: the system counts in hundredths of a second
PART_S = 5.0  # of what is seen of the machine is kept at once
SHORTEST_S = 0.2  # a series below says nothing about other processes


@dataclass(frozen=True)
class Look:
    """The machine at one moment.

    Attributes:
        seconds: of a clock that only goes forward.
        own_s: processor time so far of this process, all threads, and of the processes that it waited for.
        busy_s: processor time of everybody on the cores that this process may use; None where the system does not tell.
        steal_s: time that a hypervisor gave to others on these cores.
        load: average of the last minute.
        governor: of the first of these cores.
        frequencies_mhz: of these cores.
        throttles: how often these cores were slowed down by heat since the machine started.
        gpu: clocks, power and the like, where a GPU is looked at.
        temperature_c: of the hottest zone.
        held_back: how often a quota of processor time held this process's group back so far; None without a quota.
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
    temperature_c: float | None = None
    held_back: int | None = None


def look(read_gpu: Callable[[], dict[str, Any]] | None = None) -> Look:
    """The machine now, and a GPU where ``read_gpu`` tells of one; takes well below a millisecond on a CPU."""
    cores = usable_cores()
    busy_s, steal_s = core_seconds(cores)
    return Look(
        seconds=time.monotonic(),
        own_s=time.process_time() + sum(os.times()[2:4]),
        busy_s=busy_s,
        steal_s=steal_s,
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        governor=governor(cores),
        frequencies_mhz=frequencies_mhz(cores),
        throttles=throttle_count(cores),
        gpu=None if read_gpu is None else read_gpu(),
        temperature_c=temperature_c(),
        held_back=times_held_back(),
    )


class Watch:
    """Looks at the machine now and then during a series of measurements.

    Args:
        read_gpu: tells of a GPU; None where there is none to look at.
    """

    def __init__(self, read_gpu: Callable[[], dict[str, Any]] | None = None) -> None:
        self.read_gpu = read_gpu
        self.looks = [look(read_gpu)]

    @property
    def seconds(self) -> float:
        """Since the first look."""
        return time.monotonic() - self.looks[0].seconds

    def glance(self) -> None:
        """Look, unless the last time was just now. Called between visits, never during one."""
        if time.monotonic() - self.looks[-1].seconds >= APART_S:
            self.looks.append(look(self.read_gpu))

    def end(self) -> dict[str, Any]:
        """Look once more; what was seen, JSON-ready."""
        self.looks.append(look(self.read_gpu))
        return summary(self.looks)


class Watches:
    """What went on beside the visits, in parts of some seconds, so that a kill loses one of them at most.

    Args:
        memory: holds the parts of an interrupted process; new ones go there.
        read_gpu: as in `Watch`.
    """

    def __init__(self, memory: Memory, read_gpu: Callable[[], dict[str, Any]] | None = None) -> None:
        self.memory, self.read_gpu, self.num_kept = memory, read_gpu, 0
        self.watch = Watch(read_gpu)
        self.parts: list[dict[str, Any]] = []
        while True:
            kept = memory.recall(f"machine {len(self.parts)}")
            if kept is None:
                break
            self.parts.append(kept)
        self.seconds_before = float(sum(part["seconds"] for part in self.parts))

    def glance(self, num_made: int) -> None:
        """Look now and then; keep what was seen for long enough, unless no visit of ``num_made`` is new."""
        self.watch.glance()
        if self.watch.seconds >= PART_S:
            self._keep(num_made)
            self.watch = Watch(self.read_gpu)

    def end(self, num_made: int) -> dict[str, Any]:
        """One summary of all parts, those of an interrupted process included."""
        self._keep(num_made)
        return joined(self.parts) if self.parts else self.watch.end()

    def _keep(self, num_made: int) -> None:
        if num_made == self.num_kept:
            return
        self.num_kept = num_made
        self.parts.append(self.watch.end())
        self.memory.record(f"machine {len(self.parts) - 1}", self.parts[-1])


def summary(looks: Sequence[Look]) -> dict[str, Any]:
    """What a series of looks says, JSON-ready, with None for unknown.

    Returns:
        ``seconds``; ``num_cores`` that could be used; ``own_cores`` and ``other_cores``: how many of them this and all other
        processes kept busy, ``other_cores_max`` at the worst moment; ``steal_share`` of their time that a hypervisor took;
        loads, governors, frequencies, temperatures, ``throttle_events``; under a quota of processor time ``cpu_quota``, in cores,
        and ``quota_events``, how often it held this process's group back; for a GPU the ranges of what was read and all throttle
        reasons seen.
    """
    first, last = looks[0], looks[-1]
    seconds, cores = last.seconds - first.seconds, len(usable_cores())
    parts = [_others(looks[at], looks[at + 1]) for at in range(len(looks) - 1) if _long(looks[at], looks[at + 1])]
    known = [part for part in parts if part is not None]
    frequencies = [value for seen in looks for value in seen.frequencies_mhz]
    result: dict[str, Any] = {
        "seconds": seconds,
        "num_cores": cores,
        "own_cores": (last.own_s - first.own_s) / seconds if seconds > 0 else None,
        "other_cores": _others(first, last) if seconds >= SHORTEST_S else None,
        "other_cores_max": max(known) if known else None,
        "steal_share": _stolen(first, last, cores) if seconds >= SHORTEST_S else None,
        "load_average_before": first.load,
        "load_average_after": last.load,
        "governors": sorted({seen.governor for seen in looks if seen.governor is not None}) or None,
        "frequency_min_mhz": min(frequencies, default=None),
        "frequency_max_mhz": max(frequencies, default=None),
        "temperature_before_c": first.temperature_c,
        "temperature_after_c": last.temperature_c,
        "throttle_events": None if first.throttles is None or last.throttles is None else last.throttles - first.throttles,
    }
    if first.held_back is not None and last.held_back is not None:
        result |= {"cpu_quota": cpu_quota(), "quota_events": last.held_back - first.held_back}
    states = [seen.gpu for seen in looks if seen.gpu is not None]
    return {**result, **({"gpu": _gpu(states)} if states else {})}


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
    events = [part["quota_events"] for part in parts if part.get("quota_events") is not None]
    if events:
        quotas = [part["cpu_quota"] for part in parts if part.get("cpu_quota") is not None]
        result["quota_events"], result["cpu_quota"] = sum(events), min(quotas, default=None)
    for name in ("load_average_before", "temperature_before_c"):
        result[name] = parts[0].get(name)
    for name in ("load_average_after", "temperature_after_c"):
        result[name] = parts[-1].get(name)
    result["governors"] = sorted({name for part in parts for name in part.get("governors") or ()}) or None
    states = [part["gpu"] for part in parts if part.get("gpu")]
    return {**result, **({"gpu": _joined_gpu(states)} if states else {})}


def _joined_gpu(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    result = dict(states[0])
    for name in RANGES:
        ranges = [state[name] for state in states if isinstance(state.get(name), Mapping)]
        if ranges:
            result[name] = {"min": min(each["min"] for each in ranges), "max": max(each["max"] for each in ranges)}
    return {**result, **_reasons(states)}


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
    return max(0.0, after.steal_s - before.steal_s) / (after.seconds - before.seconds) / max(1, cores)


def _gpu(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Facts that do not change, ranges of those that do, and every throttle reason that was seen."""
    result = dict(states[0])
    for name in RANGES:
        values = [state[name] for state in states if state.get(name) is not None]
        if values:
            result[name] = {"min": min(values), "max": max(values)}
    return {**result, **_reasons(states)}


def _reasons(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Every throttle reason that was seen, where any state tells."""
    told = [state["throttle_reasons"] for state in states if state.get("throttle_reasons") is not None]
    return {"throttle_reasons": sorted({name for names in told for name in names})} if told else {}
