"""Rounds of visits: their order, what is kept, and when the device is woken."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from edgenas.portable.calls import CallTimer, tenths_ms
from edgenas.portable.machine import Watches
from edgenas.portable.memory import Forgetful, PrefixedMemory, remembered
from edgenas.portable.rounds import REFERENCE, Rounds, Visit, pause


class DictMemory(dict[str, Any]):
    def recall(self, key: str) -> Any:
        return self.get(key)

    def record(self, key: str, value: Any) -> None:
        self[key] = value


class Visitor:
    """Notes what it is asked for; a visit to net n takes n + 2 milliseconds."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def wake(self) -> int:
        self.asked.append("wake")
        return 3

    def visit(self, net: int, num_runs: int) -> Visit:
        assert not gc.isenabled()
        self.asked.append(net)
        return Visit([float(net + 2)] * num_runs)


def rounds_of(visitor: Visitor, memory: Any, num_runs: int | None = None) -> Rounds:
    return Rounds(visitor, memory, Watches(memory), 2, num_runs)


def test_the_reference_is_visited_before_between_and_after() -> None:
    visitor, memory = Visitor(), DictMemory()
    rounds = rounds_of(visitor, memory)
    assert list(rounds.run([[2, 0, 1], [1, 2, 0]])) == [1, 2, 3, 4, 5, 6]
    assert visitor.asked == ["wake", REFERENCE, 2, 0, REFERENCE, 1, REFERENCE, 1, 2, REFERENCE, 0, REFERENCE]
    assert [len(rounds.visits[net]) for net in range(3)] == [2, 2, 2]
    assert rounds.around == {2: [0, 2], 0: [0, 3], 1: [1, 2]}
    assert (rounds.num_runs, rounds.num_made, memory["runs"]) == (3, 11, 3)
    assert gc.isenabled()


def test_what_is_kept_is_not_made_again_and_what_is_left_finds_the_device_awake() -> None:
    memory = DictMemory()
    list(rounds_of(Visitor(), memory).run([[0, 1]]))
    del memory["round 0 net 1"], memory["reference 1"]
    visitor = Visitor()
    again = rounds_of(visitor, memory)
    list(again.run([[0, 1]]))
    assert visitor.asked == ["wake", 1, REFERENCE]
    assert (again.num_made, again.num_runs) == (2, 3)
    idle = Visitor()
    list(rounds_of(idle, memory).run([[0, 1]]))
    assert idle.asked == []


def test_a_second_session_has_the_runs_of_the_first_and_is_woken_too() -> None:
    visitor, memory = Visitor(), DictMemory()
    rounds = rounds_of(visitor, PrefixedMemory(memory, "session 2 "), num_runs=5)
    list(rounds.run([[0]]))
    assert visitor.asked[0] == "wake"
    assert memory["session 2 runs"] == 5
    assert memory["session 2 round 0 net 0"]["ms"] == [2.0] * 5


def test_the_collector_is_on_again_after_a_session_that_was_stopped() -> None:
    steps = rounds_of(Visitor(), DictMemory()).run([[0, 1]])
    next(steps)
    assert not gc.isenabled()
    steps.close()  # type: ignore[attr-defined]
    assert gc.isenabled()


def test_the_pause_between_sessions_is_made_once() -> None:
    memory, slept = DictMemory(), list[float]()
    assert list(pause(memory, 2.5, slept.append)) == [(0, 2), (1, 2), (2, 2)]
    assert slept == [1.25, 1.25]
    assert list(pause(memory, 2.5, slept.append)) == []
    assert list(pause(DictMemory(), 0.0, slept.append)) == []


def test_what_was_found_once_is_remembered_and_nothing_is_not() -> None:
    memory = DictMemory()
    assert [remembered(memory, "a", lambda number=number: number) for number in (1, 2)] == [1, 1]
    assert remembered(memory, "b", lambda: None) is None
    assert "b" not in memory
    assert remembered(Forgetful(), "a", lambda: 3) == 3


class Clock:
    """Nanoseconds that calls and sleeping move."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)


@pytest.mark.parametrize(("call_ms", "runs"), [(10.0, 3), (1.0, 8), (0.01, 32)])
def test_a_visit_has_as_many_runs_as_its_time_allows(call_ms: float, runs: int) -> None:
    clock = Clock()
    timer = CallTimer(clock, clock.spend, 0, 3, 8.0, 1.0)
    assert timer.wake(lambda: clock.spend(call_ms / 1e3)) == runs
    assert timer.visit(lambda: clock.spend(call_ms / 1e3), 4) == pytest.approx([call_ms] * 4)


def test_a_tenth_of_the_time_without_calls_is_as_the_one_before() -> None:
    calls = [(0.0, 1.0), (0.1, 3.0), (5.0, 7.0), (10.0, 8.0)]
    assert tenths_ms(calls) == [2.0, 2.0, 2.0, 2.0, 2.0, 7.0, 7.0, 7.0, 7.0, 8.0]
