"""Progress of work in threads: what is done is counted, what is estimated is not shown."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from edgenas.runs import Progress
from edgenas.runs.background import watched


def work(*sizes: int, seconds: float = 0.0) -> Iterator[int]:
    for size in sizes:
        time.sleep(seconds)
        yield size


def followed(parts: Iterator[int], total: int) -> tuple[list[Progress], list[int]]:
    steps: list[Progress] = []
    records = watched(parts, "tracing", total=total, count=int)
    while True:
        try:
            steps.append(next(records))
        except StopIteration as end:
            return steps, end.value


def test_only_what_is_done_is_counted() -> None:
    steps, results = followed(work(3, 0, 4, seconds=0.3), total=7)
    assert results == [3, 0, 4]
    assert {(step.label, step.total, step.unit) for step in steps} == {("tracing", 7, "")}
    done = [step.done for step in steps]
    assert sorted(set(done)) == [0, 3, 7]
    assert done == sorted(done)
    assert done.count(0) >= 2  # it stays alive while nothing new is done
    assert done[-1] == 7


def test_work_without_parts_ends() -> None:
    assert followed(work(), total=0)[1] == []


def test_the_work_is_not_done_in_the_callers_thread_and_its_errors_are_raised_there() -> None:
    traced: list[int] = []

    def failing() -> Iterator[None]:
        traced.append(threading.get_ident())
        yield
        raise ValueError("the second part")

    records = watched(failing(), "tracing", total=2)
    seen: list[int] = []
    with pytest.raises(ValueError, match="the second part"):
        seen.extend(step.done for step in records)
    assert max(seen) == 1
    assert traced[0] != threading.get_ident()
