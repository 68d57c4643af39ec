"""Timed calls of one net: at a pace, after untimed ones, as many at every visit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

MAX_RUNS = 32
AWAKE_NS = 200_000_000  # of calls, after which a processor has raised its clock
RESIDENT_BYTES = 256 << 20  # of nets that may stay loaded together; sessions need about three times that
TENTHS = 10


class Pace:
    """Starts calls at least ``period_ns`` after each other; the next follows at once where that is 0."""

    def __init__(self, period_ns: int, clock: Callable[[], int], sleep: Callable[[float], None]) -> None:
        self.period_ns, self.clock, self.sleep = period_ns, clock, sleep
        self.last: int | None = None

    def wait(self) -> int:
        """Sleep until the next call is due; the nanosecond that it starts at."""
        if self.period_ns and self.last is not None:
            rest = self.last + self.period_ns - self.clock()
            if rest > 0:
                self.sleep(rest / 1e9)
        self.last = self.clock()
        return self.last


@dataclass(frozen=True)
class CallTimer:
    """Times calls of nets, all of them alike.

    Attributes:
        clock: nanoseconds.
        sleep: waits for seconds.
        period_ns: from the start of a call to the start of the next, at least; 0 for call after call.
        runs: timed at every visit, at least.
        visit_ms: more runs, up to 32, where the reference leaves time for them.
        warmup_ms: of untimed calls at every visit, after two.
    """

    clock: Callable[[], int]
    sleep: Callable[[float], None]
    period_ns: int
    runs: int
    visit_ms: float
    warmup_ms: float

    def pace(self) -> Pace:
        """A pace whose first call starts at once."""
        return Pace(self.period_ns, self.clock, self.sleep)

    def wake(self, call: Callable[[], Any]) -> int:
        """Call a net until the processor is awake; how many runs a visit has."""
        for _ in range(3):
            call()
        start, pace = self.clock(), self.pace()
        each_ns: list[int] = []
        while len(each_ns) < 5 or (self.clock() - start < AWAKE_NS and len(each_ns) < 1000):
            begin = pace.wait()
            call()
            each_ns.append(self.clock() - begin)
        wanted = self.visit_ms * 1e6 / max(min(each_ns), self.period_ns, 1)
        return int(min(max(wanted, self.runs), max(MAX_RUNS, self.runs)))

    def visit(self, call: Callable[[], Any], num_runs: int) -> list[float]:
        """Milliseconds of ``num_runs`` calls, after some that are not timed."""
        start, pace, count = self.clock(), self.pace(), 0
        while count < 2 or self.clock() - start < self.warmup_ms * 1e6:
            pace.wait()
            call()
            count += 1
        samples_ms = []
        for _ in range(num_runs):
            begin = pace.wait()
            call()
            samples_ms.append((self.clock() - begin) / 1e6)
        return samples_ms

    def visit_seconds(self, call: Callable[[], Any], loading_ns: int) -> float:
        """Seconds that one visit to a net that was just loaded takes, with ``loading_ns`` of loading at every visit."""
        call()
        begin = self.clock()
        call()
        each = max(self.clock() - begin, self.period_ns)
        runs = max(self.runs, min(MAX_RUNS, int(self.visit_ms * 1e6 / max(each, 1))))
        return (loading_ns + max(2 * each, self.warmup_ms * 1e6) + (runs + 1) * each) / 1e9

    def work(self, call: Callable[[], Any], seconds: float) -> Iterator[tuple[float, float]]:
        """Keep calling for ``seconds``, ten times at least; the second that each call started at, and its milliseconds."""
        start, pace, count = self.clock(), self.pace(), 0
        while count < TENTHS or self.clock() - start < seconds * 1e9:
            begin = pace.wait()
            call()
            count += 1
            yield (begin - start) / 1e9, (self.clock() - begin) / 1e6


def tenths_ms(calls: Sequence[tuple[float, float]]) -> list[float]:
    """Median milliseconds of the calls of every tenth of the time; one without calls repeats the one before.

    Args:
        calls: at least one: second that it started at, milliseconds; in order.
    """
    last = max(calls[-1][0], 1e-9)
    medians: list[float] = []
    for tenth in range(TENTHS):
        inside = [ms for moment, ms in calls if min(int(moment / last * TENTHS), TENTHS - 1) == tenth]
        medians.append(median(inside) if inside else (medians or [calls[0][1]])[-1])
    return medians
