"""In words: when a measured table is not what it would be on a quiet machine with steady clocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from edgenas.graphs.rewriting import default_rewrites
from edgenas.latency.table.table import LatencyTable
from edgenas.percents import percent
from edgenas.records import MachineFacts

NOISY = 0.04  # noise floor above which the user is told to measure longer
UNSTEADY = 1.5  # p95 over p50 of the reference net
SHARED = 0.25  # cores that others may use before it is said
STOLEN = 0.02  # share of the time that a hypervisor may take
LAUNCH_BOUND = 0.5  # share of a call that is computation, below which launching and copying decide
SLOW_GOVERNORS = ("powersave", "conservative")


def remarks(table: LatencyTable) -> tuple[str, ...]:
    """What whoever relies on a table should know of how it was measured; nothing for a quiet machine."""
    return (
        *_graphs(table),
        *_spread(table),
        *_launches(table),
        *machine_remarks(table.measuring.machine or (), table.context.threads),
    )


def _graphs(table: LatencyTable) -> Iterator[str]:
    context = table.context
    missing = [name for name in default_rewrites(context.runtime) if name not in context.rewrites]
    if missing:
        timed = "of earlier rewrites" if context.rewrites else "as they are traced"
        yield (
            f"its nets were timed {timed}; `export` writes graphs for {context.runtime} that were measured to be faster "
            f"({', '.join(missing)}), so nets may ship faster than it says: `edgenas profile` measures what ships"
        )


def _spread(table: LatencyTable) -> Iterator[str]:
    floor, reference = table.validation.noise_floor_mape, table.reference
    if floor is not None and floor > NOISY:
        fact = f"this machine is noisy: two measurements of the same nets differ by {percent(floor)}"
        yield f"{fact}; close other programs, or take more visits"
    if reference.p95_ms > UNSTEADY * reference.p50_ms:
        ratio = reference.p95_ms / reference.p50_ms
        yield f"calls are unsteady: the slowest 5 % take {ratio:.1f} times the median or more"


def _launches(table: LatencyTable) -> Iterator[str]:
    compute_ms, call_ms = table.reference.compute_ms, table.reference.p50_ms
    if table.context.device_kind == "cuda" and compute_ms is not None and compute_ms < LAUNCH_BOUND * call_ms:
        yield (
            f"calls are launch-bound: of {call_ms:.3g} ms only {compute_ms:.3g} ms are computation, the rest is launching and "
            "copying; smaller nets will hardly be faster"
        )


def machine_remarks(machines: Sequence[MachineFacts], threads: int | None) -> Iterator[str]:
    """What else went on while nets were timed.

    Args:
        machines: what was seen in every session.
        threads: that nets ran on.
    """
    sessions = [seen for seen in machines if seen.num_cores is not None]  # where somebody looked
    if not sessions:
        return
    num_cores = min(seen.num_cores or 0 for seen in sessions)
    others = _largest(seen.other_cores for seen in sessions)
    if others is not None and others > SHARED:
        wanted = threads if threads is not None else 1
        held = num_cores - others < wanted
        fact = f"other processes used {others:.1f} of {num_cores} core(s) while nets were timed"
        yield f"{fact}: they held a core that the nets needed" if held else f"{fact}; close them and measure again"
    stolen = _largest(seen.steal_share for seen in sessions)
    if stolen is not None and stolen > STOLEN:
        yield f"the hypervisor gave {percent(stolen)} of these cores' time to other machines while nets were timed"
    held_back = _largest(seen.quota_events for seen in sessions)
    if held_back:
        quota = min(seen.cpu_quota for seen in sessions if seen.cpu_quota is not None)
        fact = f"a quota of {quota:g} cores held this process back {held_back:.0f} time(s) while nets were timed"
        yield f"{fact}: slow calls are the quota's; raise it, or take fewer threads"
    events = _largest(seen.throttle_events for seen in sessions)
    if events:
        yield f"the processor was throttled by heat {events:.0f} time(s) while nets were timed"
    reasons = sorted({name for seen in sessions if seen.gpu is not None for name in seen.gpu.throttle_reasons or ()})
    if reasons:
        yield f"the GPU's clocks were held back while nets were timed: {', '.join(reasons)}"
    governors = {name for seen in sessions for name in seen.governors or ()}
    slow = sorted(governors & set(SLOW_GOVERNORS))
    if slow:
        yield f"the frequency governor was {' and '.join(slow)}: short calls may be timed before the clock has risen"


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
