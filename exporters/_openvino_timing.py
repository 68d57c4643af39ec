"""Which of a few OpenVINO graphs of the same net takes the least time on this processor, so that integers stand where they pay."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

VISITS = 31  # of each graph, in turn
VISIT_S = 0.012  # that a visit lasts at least
MAX_CALLS = 64  # of a visit
LEVEL = 0.02  # graphs whose times differ by less are not told apart


@dataclass(frozen=True, slots=True)
class Candidate:
    """What of a net is in integers, and what computes the rest.

    Attributes:
        names: of the products in integers.
        around: what computes everything else, by OpenVINO's name.
    """

    names: tuple[str, ...]
    around: str


@dataclass(frozen=True, slots=True)
class Timed:
    """How long a graph takes.

    Attributes:
        candidate: which it is.
        ratio: time of a call, to that of the first: median over visits in turn, of this processor's time.
    """

    candidate: Candidate
    ratio: float

    @property
    def words(self) -> str:
        """For a manifest."""
        return f"{self.ratio:.3f} with {len(self.candidate.names)} products in int8 and {self.candidate.around} around"


def timed(calls: Sequence[tuple[Candidate, Callable[[], object]]]) -> list[Timed]:
    """Time calls of one thread in turn, by the processor's time of this process: other processes take little of it.

    Args:
        calls: candidates, and what calls their graph once.
    """
    if len(calls) == 1:
        return [Timed(calls[0][0], 1.0)]
    nums = [_num_calls(call) for _, call in calls]
    visits = [[_visit(call, num) for (_, call), num in zip(calls, nums, strict=True)] for _ in range(VISITS)]
    return [Timed(candidate, median(row[at] / row[0] for row in visits)) for at, (candidate, _) in enumerate(calls)]


def quickest(timed_graphs: Sequence[Timed]) -> Candidate:
    """The fastest; of those not told apart from it the one that rounds least: few products in integers, float32 around."""
    least = min(each.ratio for each in timed_graphs)
    level = [each.candidate for each in timed_graphs if each.ratio <= least * (1 + LEVEL)]
    return min(level, key=lambda each: (len(each.names), each.around != "f32"))


def _num_calls(call: Callable[[], object]) -> int:
    """How many calls a visit takes, once the graph is warm."""
    for _ in range(3):
        call()
    return min(MAX_CALLS, max(1, round(VISIT_S / max(_visit(call, 3), 1e-6))))


def _visit(call: Callable[[], object], num: int) -> float:
    """Seconds of a call, mean of so many."""
    start = time.process_time()
    for _ in range(num):
        call()
    return (time.process_time() - start) / num
