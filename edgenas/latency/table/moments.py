"""When the sessions of a table were, and which of them were in one hour."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime

from edgenas.latency.fit import APART_H


def moment_of(text: str) -> datetime | None:
    """A date of a session; None where it cannot be read."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.astimezone()


def hours_of(dates: Sequence[datetime | None]) -> tuple[int | None, ...]:
    """Number of the hour that each of several sessions was in, 0 that of the first; None where its date is not known.

    An hour begins with a session and holds those that follow it by less.
    """
    starts: list[datetime] = []
    for moment in sorted(each for each in dates if each is not None):
        if not starts or (moment - starts[-1]).total_seconds() >= 3600 * APART_H:
            starts.append(moment)
    blocks = [None if each is None else bisect_right(starts, each) - 1 for each in dates]
    own = blocks[0]
    return tuple(None if block is None else 0 if block == own else block + 1 for block in blocks)
