"""A session: rounds of short visits to nets in random order, and to a reference net between them, each kept when it is made.

Before the first visit that is really made, by a new process as by one that goes on after a kill, the processor is woken: one that
idled holds a low clock, and the visits that are compared with those of the other process would be slow ones.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edgenas.portable.machine import Watches
from edgenas.portable.memory import Memory

REFERENCE = -1  # what `Visitor.visit` is given for the reference net


@dataclass(frozen=True)
class Visit:
    """One visit to a net.

    Attributes:
        ms: of every timed run.
        compute_ms: without copies; None where that is unknown.
    """

    ms: list[float]
    compute_ms: float | None = None

    def as_json(self) -> dict[str, Any]:
        """What a memory keeps."""
        return {"ms": self.ms, "compute_ms": self.compute_ms}

    @classmethod
    def from_json(cls, kept: Any) -> Visit:
        """What a memory kept, as it says it."""
        return cls(kept["ms"], kept["compute_ms"])


class Visitor(Protocol):
    """Runs nets, numbered from 0, and the reference."""

    def wake(self) -> int:
        """Wake the device up; how many runs a visit has."""
        ...

    def visit(self, net: int, num_runs: int) -> Visit:
        """Time one net."""
        ...


class Rounds:
    """The visits of one session.

    Args:
        visitor: makes them.
        memory: holds those that an interrupted process made, which are not made again; new ones go there.
        watch: looks at the machine between them.
        reference_every: nets between two visits to the reference.
        num_runs: of every visit; None takes what waking the device says.

    Attributes:
        beside: visits to the reference, in order.
        visits: those to every net, in order, by its number.
        around: of each of these, the number of the visit to the reference before; the one after has the next.
        num_made: visits that this process made.
    """

    def __init__(self, visitor: Visitor, memory: Memory, watch: Watches, reference_every: int, num_runs: int | None = None) -> None:
        self.visitor, self.memory, self.watch = visitor, memory, watch
        self.reference_every, self.num_runs = reference_every, num_runs
        self.beside: list[Visit] = []
        self.visits: dict[int, list[Visit]] = {}
        self.around: dict[int, list[int]] = {}
        self.num_made, self._is_awake = 0, False

    def run(self, orders: Sequence[Sequence[int]]) -> Iterator[int]:
        """Visit every net once a round, in the round's order; how many visits to nets are done after each."""
        was_enabled, done = gc.isenabled(), 0
        gc.disable()
        try:
            self._decide_runs()
            for number, order in enumerate(orders):
                self._refer()
                for place, net in enumerate(order):
                    if place and place % self.reference_every == 0:
                        self._refer()
                    self.visits.setdefault(net, []).append(self._visit(f"round {number} net {net}", net))
                    self.around.setdefault(net, []).append(len(self.beside) - 1)
                    self.watch.glance(self.num_made)
                    done += 1
                    yield done
                gc.collect(1)  # what one round left behind, not the whole heap
            self._refer()
        finally:
            if was_enabled:
                gc.enable()

    def _decide_runs(self) -> None:
        kept = self.memory.recall("runs")
        if kept is None:
            suggested = self._wake()
            kept = suggested if self.num_runs is None else self.num_runs
            self.memory.record("runs", kept)
        self.num_runs = int(kept)

    def _wake(self) -> int:
        self._is_awake = True
        return self.visitor.wake()

    def _refer(self) -> None:
        self.beside.append(self._visit(f"reference {len(self.beside)}", REFERENCE))

    def _visit(self, key: str, net: int) -> Visit:
        kept = self.memory.recall(key)
        if kept is not None:
            return Visit.from_json(kept)
        if not self._is_awake:
            self._wake()
        assert self.num_runs is not None
        made = self.visitor.visit(net, self.num_runs)
        self.num_made += 1
        self.memory.record(key, made.as_json())
        return made


def pause(memory: Memory, seconds: float, sleep: Callable[[float], None]) -> Iterator[tuple[int, int]]:
    """Let the time between two sessions pass, once; how many of how many parts of it have passed."""
    if seconds <= 0 or memory.recall("paused") is not None:
        return
    total = max(1, round(seconds))
    for passed in range(total):
        yield passed, total
        sleep(seconds / total)
    yield total, total
    memory.record("paused", seconds)
