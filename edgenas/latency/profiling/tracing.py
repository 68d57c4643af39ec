"""Tracing what a profile times: how long that takes is found on the reference net, told, and counted against the budget."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from typing import Protocol

from edgenas.latency.nets import Chain, MeasuringSettings, TimingPlan
from edgenas.runs import Note, Progress


class Tracer(Protocol):
    """Traces components before nets of them are built, and knows which it has traced before."""

    def missing(self, plan: TimingPlan) -> int:
        """Components that a plan needs and that were never traced."""
        ...

    def goes(self, plan: TimingPlan) -> int:
        """Traces in which these are made, one after the other, each of several components: a trace takes time for itself."""
        ...

    def prepare(self, plan: TimingPlan) -> Iterator[Progress]:
        """Trace what a plan needs and was never traced."""
        ...

    def prepare_chains(self, chains: Sequence[Chain]) -> Iterator[Progress]:
        """Trace what these nets need and was never traced."""
        ...


def trace_reference(tracer: Tracer, plan: TimingPlan) -> Generator[Progress, None, float]:
    """Trace the reference net first, in one go; its seconds, 0 where all of it was traced before."""
    before = tracer.missing(plan)
    began = time.perf_counter()
    yield from tracer.prepare_chains([plan.reference])
    return time.perf_counter() - began if tracer.missing(plan) < before else 0.0


def tracing_note(settings: MeasuringSettings, num: int, seconds: float) -> Note | None:
    """How long tracing will take, before it begins; nothing where nothing is left to be traced.

    Args:
        settings: with the budget.
        num: components that are left.
        seconds: that they are expected to take; 0 where nothing tells.
    """
    if not num:
        return None
    about = f": about {seconds:.0f} s" if seconds else ""
    text = f"tracing {num} components first{about}; they are kept, and no later call traces them again"
    over = settings.seconds is not None and seconds > settings.seconds
    return Note(f"{text}. That alone is more than the budget of {settings.seconds:g} s" if over else text, is_warning=over)
