"""Which of the files that were timed in turn is the one to deploy: the fastest that is shown to be, with its gates passed.

A file takes the baseline's place only where the interval of its ratio is below 1. A reduced precision is a risk that has to pay: it
must be shown to be faster than the best file in float32 as well, visit by visit. So "fp32 in ONNX Runtime is fastest here" is an
answer like any other.

Shapes: V visits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenas.records import BenchChoice, BenchedRow, TimeRatio, Verdict
from edgenas.runs import Record
from edgenas.stats import median_interval


@dataclass(frozen=True, slots=True, eq=False)
class TimedEntry:
    """What was timed.

    Attributes:
        row: what is said of it.
        ratios_V: of every visit, to the baseline's calls around it.
    """

    row: BenchedRow
    ratios_V: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is recommended.

    Attributes:
        choice: None where no file's gates passed.
        why: of faster files that were not taken, in words.
        verdicts: of what was judged for it, by position among the contenders; the baseline is the first.
    """

    choice: BenchChoice | None
    why: tuple[str, ...]
    verdicts: dict[int, Verdict]


Asks = Callable[[int], Generator[Record, None, Verdict]]  # the verdict of a contender's gates, by its position


def choose(contenders: Sequence[TimedEntry], verdict_of: Asks) -> Generator[Record, None, Chosen]:
    """The fastest contender whose gates passed.

    Args:
        contenders: the baseline first.
        verdict_of: judges one that has not been judged in its runtime; asked for few, the fastest first.
    """
    baseline, verdicts, why = contenders[0].row, dict[int, Verdict](), list[str]()

    def passes(position: int) -> Generator[Record, None, bool]:
        verdicts[position] = yield from verdict_of(position)
        row = contenders[position].row
        if verdicts[position] != "passed" and position:
            times = f"{row.ratio.words} of the baseline's time"
            why.append(f"{row.words}, {row.precision}, takes {times}, but {_not_passed(verdicts[position])}")
        return verdicts[position] == "passed"

    best = 0 if (yield from passes(0)) else None
    if best is None:
        why.append(f"{baseline.words}: {_not_passed(verdicts[0])}")
    order = sorted(range(1, len(contenders)), key=lambda each: contenders[each].row.ratio.value)
    own = [each for each in order if contenders[each].row.is_own and contenders[each].row.path]
    for each in own:
        row = contenders[each].row
        if row.precision == "fp32" and (row.ratio.is_faster or best is None) and (yield from passes(each)):
            best = each
            break
    for each in own:
        row = contenders[each].row
        if row.precision == "fp32":
            continue
        against = None if best is None else time_ratio(contenders[each].ratios_V / contenders[best].ratios_V)
        if against is not None and not (row.ratio.is_faster and against.is_faster):
            why += _not_faster(row, against, "the baseline" if best == 0 else contenders[best].row.words if best else "")
        elif (yield from passes(each)):
            best = each
            break
    return Chosen(None if best is None else _choice(contenders[best].row, baseline), tuple(why), verdicts)


def time_ratio(ratios_V: NDArray[np.float64]) -> TimeRatio:
    """Their median with its interval."""
    value, low, high = median_interval(ratios_V)
    return TimeRatio(value=value, low=low, high=high, n=len(ratios_V))


def _not_passed(verdict: Verdict) -> str:
    return {"failed": "its gates failed", "undecided": "its gates are undecided"}.get(verdict, "its gates did not run here")


def _not_faster(row: BenchedRow, against: TimeRatio, other: str) -> list[str]:
    """That a reduced precision does not pay, where it seems to: the table shows the others."""
    if row.ratio.value >= 1:
        return []
    return [f"{row.words}, {row.precision}, is not shown to be faster than {other}: {against.words} of its time"]


def _choice(row: BenchedRow, baseline: BenchedRow) -> BenchChoice:
    if row is baseline:
        words = f"{row.precision} in {row.runtime} is fastest here: {row.artifact}/{row.path}"
    else:
        times = f"{row.ratio.words} of the time of {baseline.words}"
        words = f"fastest here with its gates passed: {row.words}, {row.precision}, {times}"
    name = {"artifact": row.artifact, "path": row.path, "runtime": row.runtime}
    return BenchChoice(**name, precision=row.precision, ratio=row.ratio, words=words)
