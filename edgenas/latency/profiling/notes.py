"""What a profile says to the user: what it will time before it starts, and what to make of it in the end."""

from __future__ import annotations

from collections.abc import Iterator

from edgenas.latency.nets import MeasuringSettings, TimingPlan, round_seconds
from edgenas.latency.table import LatencyTable, remarks
from edgenas.latency.timing import TimingSettings
from edgenas.portable.budget import OVER
from edgenas.runs import Note

APART_S = 60.0  # between two measurements of a net, below which it is said


def opening_notes(
    settings: MeasuringSettings, plan: TimingPlan, timing: TimingSettings, visit_seconds: float, *, num_blocks: int
) -> Iterator[Note]:
    """The plan and how long it will take.

    Args:
        settings: that were asked for.
        plan: what the budget leaves of it.
        timing: what the budget leaves of it.
        visit_seconds: that one visit takes.
        num_blocks: that there are, timed or not.
    """
    seconds = timing.visits * round_seconds(plan, timing, visit_seconds)
    timed = len(plan.block_chains)
    blocks = f"{timed} blocks" if timed == num_blocks else f"{timed} of {num_blocks} blocks, which tell the others"
    bound = f"{len(plan.bound)} for the bound, " if len(plan.bound) else ""
    yield Note(
        f"timing {plan.num_nets} nets ({blocks}, {len(plan.calibration)} for calibration, {bound}"
        f"{len(plan.validation)} for validation), {timing.visits} visits each: about {seconds + settings.soak_seconds:.0f} s"
    )
    if settings.seconds is not None and seconds > OVER * settings.seconds:
        yield Note(f"that is more than the budget of {settings.seconds:g} s, but the least that makes a table", is_warning=True)


def closing_notes(table: LatencyTable, settings: MeasuringSettings, timing: TimingSettings) -> Iterator[Note]:
    """What a budget left out, a pace that cannot be kept, and what disturbed the measurement."""
    if timing.visits < settings.timing.visits and settings.seconds is not None:
        text = f"the budget of {settings.seconds:g} s allowed {timing.visits} of {settings.timing.visits} visits to every net"
        yield Note(text, is_warning=True)
    seconds = table.measuring.seconds
    if settings.seconds is not None and seconds > OVER * settings.seconds:
        yield Note(
            f"timing took {seconds:.0f} s, the budget was {settings.seconds:g} s: the machine became slower", is_warning=True
        )
    if settings.fps is not None and table.level_ms > 1000 / settings.fps:
        yield Note(
            f"a net of middling size takes {table.level_ms:.3g} ms: too long for {settings.fps:g} frames a second",
            is_warning=True,
        )
    apart = table.measuring.sessions_apart_seconds
    if apart is not None and apart < APART_S and settings.validation_nets:
        yield Note(
            f"the two sessions behind the noise floor were {apart:.0f} s apart; `--set profile.pause_min=2` shows slower drifts too"
        )
    for text in remarks(table):
        yield Note(text, is_warning=True)
