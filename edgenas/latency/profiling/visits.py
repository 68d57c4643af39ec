"""The visits of a profile: soak, both sessions, and the pause between them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgenas.latency.nets import TimingPlan
from edgenas.latency.profiling.rows import BothSessions
from edgenas.latency.timing import Memory, PrefixedMemory, Session, Soaked, Target, TimingSettings, soak, time_nets
from edgenas.portable.memory import remembered
from edgenas.portable.rounds import pause
from edgenas.records import MachineFacts
from edgenas.runs import Note, Progress

if TYPE_CHECKING:
    from torch import nn

SourceBuilder = Callable[[Sequence[Hashable]], "Path | nn.Module"]


def soak_device(
    target: Target, reference: Path | nn.Module, seconds: float, memory: Memory, *, is_here: bool
) -> Generator[Progress | Note, None, Soaked | None]:
    """Bring the device to its settled speed, also after a kill, because it has cooled since; what was seen the first time."""
    if seconds <= 0:
        return None
    now: Soaked | None = None
    for record in soak(target, reference, seconds) if is_here else ():
        if isinstance(record, Soaked):
            now = record
        else:
            yield record
    kept = remembered(memory, "soak", lambda: None if now is None else now.as_json())
    soaked = now if kept is None else Soaked.from_json(kept)
    if soaked is not None:
        yield Note(str(soaked), is_warning=not soaked.settled)
    return soaked


def time_twice(
    plan: TimingPlan,
    target: Target,
    build: SourceBuilder,
    reference: Path | nn.Module,
    timing: TimingSettings,
    pause_seconds: float,
    rng: np.random.Generator,
    memory: Memory,
) -> Generator[Progress, None, BothSessions]:
    """Time all nets, then those that fit nothing once more."""
    sources = [build(chain) for chain in plan.first_chains]
    again = sources[len(sources) - len(plan.second_chains) :]
    total, done = timing.visits * plan.num_visits, timing.visits * len(sources)
    first_rng, second_rng = rng.spawn(2)  # so that the orders of the second do not depend on the visits of the first
    records = time_nets(target, sources, reference, timing, rng=first_rng, memory=PrefixedMemory(memory, "session 1 "))
    first = yield from _follow(records, total, 0)
    for passed, parts in pause(memory, pause_seconds, target.sleep):
        yield Progress("waiting between the sessions", passed, parts, unit="s")
    same_runs = replace(timing, runs=first.num_runs, visit_ms=0.0)  # minima of more runs would be lower
    later = time_nets(target, again, reference, same_runs, rng=second_rng, memory=PrefixedMemory(memory, "session 2 "))
    second = yield from _follow(later, total, done)
    level_ms = float(np.median(np.concatenate([s.reference.samples_VR.ravel() for s in (first, second)])))
    return BothSessions(first, second, level_ms)


def made_elsewhere(measured: BothSessions, memory: Memory) -> BothSessions:
    """With what went on there in the meantime, as far as it was recorded, instead of here."""
    seen = (memory.recall(f"session {number} machine") for number in (1, 2))
    first, second = (
        replace(session, machine=MachineFacts.from_json(value or {}))
        for session, value in zip((measured.first, measured.second), seen, strict=True)
    )
    return BothSessions(first, second, measured.level_ms)


def _follow(records: Iterator[Progress | Session], total: int, before: int) -> Generator[Progress, None, Session]:
    for record in records:
        if isinstance(record, Session):
            return record
        yield Progress(record.label, before + record.done, total)
    raise AssertionError("a series of rounds ends with its session")
