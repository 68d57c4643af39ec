"""How much of its cores a process may use: containers are held to a quota of processor time that affinity does not show.

Both generations of Linux control groups are read: `cpu.max` of the second, `cpu.cfs_quota_us` of the first. A group is held to the
quotas of all groups around it, so the smallest counts. A quota that cannot be read is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgenas.portable.facts import read_number, read_text, usable_cores

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
UNIFIED = "unified"  # where systems with both generations keep the second


def cpu_quota() -> float | None:
    """Cores' worth of processor time that this process may use; None where nothing holds it."""
    quotas = [quota for folder, is_first in _folders() for quota in [_quota(folder, is_first)] if quota is not None]
    return min(quotas) if quotas else None


def usable_threads() -> int:
    """Threads that can run at once: one for every core that this process may run on, or for every whole core of its quota.

    One more would be held back for a part of every tenth of a second, and the others would wait for it.
    """
    cores, quota = len(usable_cores()), cpu_quota()
    return cores if quota is None else max(1, min(cores, int(quota)))


def times_held_back() -> int | None:
    """How often the groups of this process were held back by their quotas so far; None where there is no quota."""
    counts = [_count(folder) for folder, is_first in _folders() if _quota(folder, is_first) is not None]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _folders() -> Iterator[tuple[Path, bool]]:
    """Folders of the groups that this process is in, each with whether it is of the first generation; from the inside out."""
    for line in (read_text(OWN_GROUPS) or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        is_first = controllers != ""
        if is_first and "cpu" not in controllers.split(","):
            continue
        roots = (GROUPS / controllers, GROUPS / "cpu") if is_first else (GROUPS, GROUPS / UNIFIED)
        parts = [part for part in group.split("/") if part not in ("", "..")]
        for root in dict.fromkeys(roots):
            for length in range(len(parts), -1, -1):  # a container may see its own group as the root
                yield root.joinpath(*parts[:length]), is_first


def _quota(folder: Path, is_first: bool) -> float | None:
    if is_first:
        quota, period = (read_number(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    else:
        words = (read_text(folder / "cpu.max") or "").split()
        quota, period = (int(word) if word.isdecimal() else None for word in [*words, "", ""][:2])
    if quota is None or period is None or quota <= 0 or period <= 0:
        return None
    return quota / period


def _count(folder: Path) -> int | None:
    for line in (read_text(folder / "cpu.stat") or "").splitlines():
        name, _, value = line.partition(" ")
        if name == "nr_throttled" and value.strip().isdecimal():
            return int(value)
    return None
