"""Entrants of several runtimes are timed in turn, one live session at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgenas.latency.timing import Entrant, TimingSettings, Turns, take_turns
from edgenas.portable.memory import Memory
from tests.latency.toy import ToyClock, ToyNet, ToyRuntime

SETTINGS = TimingSettings(visits=8, runs=3, visit_ms=0.0, warmup_ms=0.0, reference_every=1)


class Kept:
    """A memory in a dictionary."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def recall(self, key: str) -> Any | None:
        return self.values.get(key)

    def record(self, key: str, value: Any) -> None:
        self.values[key] = value


def net(ms: float) -> Any:
    made = ToyNet(())
    made.ms = ms
    return made


def turns_of(clock: ToyClock, entrants: list[Entrant], reference: Entrant, memory: Memory | None = None) -> Turns:
    *_, last = take_turns(entrants, reference, SETTINGS, rng=np.random.default_rng(0), clock=clock, memory=memory)
    assert isinstance(last, Turns)
    return last


def entrant(runtime: ToyRuntime, ms: float) -> Entrant:
    return Entrant(net(ms), runtime, np.zeros((1, 3, 8, 8), dtype=np.float32))


def test_the_ratio_is_that_of_calls_and_one_session_lives_at_a_time_whatever_its_runtime() -> None:
    clock = ToyClock()
    first, second = ToyRuntime(clock=clock), ToyRuntime(clock=clock, name="other")
    turns = turns_of(clock, [entrant(second, 1.28), entrant(first, 4.0)], entrant(first, 2.0))
    assert [timing.ratio for timing in turns.timings] == pytest.approx([0.64, 2.0])
    assert [timing.samples_VR.shape for timing in turns.timings] == [(8, turns.num_runs)] * 2
    assert len(turns.reference.samples_VR) == 8 * 2 + 1  # before every visit, and after the last
    assert first.most_live == second.most_live == 1
    assert first.live == second.live == 0


def test_a_machine_that_slows_down_half_way_leaves_the_ratio_alone() -> None:
    clock = ToyClock()
    half_way_ns = 8 * 40_000_000
    runtime = ToyRuntime(clock=clock, slow=lambda now: now > half_way_ns, times=1.7)
    turns = turns_of(clock, [entrant(runtime, 1.5)], entrant(runtime, 2.0))
    assert turns.timings[0].samples_VR.max() == pytest.approx(1.5 * 1.7)
    assert turns.timings[0].samples_VR.min() == pytest.approx(1.5)
    assert turns.timings[0].ratio == pytest.approx(0.75)


def test_visits_that_were_made_before_an_interruption_are_not_made_again() -> None:
    clock, kept = ToyClock(), Kept()
    runtime = ToyRuntime(clock=clock)
    before = turns_of(clock, [entrant(runtime, 1.0)], entrant(runtime, 2.0), kept)
    num_loads = len(runtime.loads)
    again = turns_of(clock, [entrant(runtime, 1.0)], entrant(runtime, 2.0), kept)
    assert len(runtime.loads) == num_loads
    np.testing.assert_array_equal(again.timings[0].samples_VR, before.timings[0].samples_VR)


def test_the_reference_alone_is_timed_where_there_is_nothing_else() -> None:
    clock = ToyClock()
    turns = turns_of(clock, [], entrant(ToyRuntime(clock=clock), 2.0))
    assert turns.timings == ()
    assert turns.reference.median_ms == pytest.approx(2.0)
