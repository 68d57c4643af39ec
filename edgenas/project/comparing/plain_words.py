"""What a comparison found, a sentence a rival, for someone who sees the tool for the first time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgenas.project.comparing.verdict import is_same, points
from edgenas.records import SEARCHED, ComparedNet, Proportion

HAND = "hand"
CHANCE = "one training of each net decides here, and the same net trained twice differs by about half a point"
NEAR = "a net as near to the limit as this keeps to it or not by chance: two timings of the same net differ by a few percent"


def sentences(rows: Sequence[ComparedNet], limit_ms: float) -> Iterator[str]:
    """One sentence for every rival: ahead, behind or not told apart, by how much, and what either takes.

    Args:
        rows: of a comparison, the searched net first.
        limit_ms: that the search was held to.
    """
    ours = rows[0]
    for row in rows[1:]:
        same = ", another training of the same architecture" if is_same(ours, row) else ""
        yield f"{_found(row)}{same}; {_taken(ours, row, limit_ms)}"


def is_ahead(rows: Sequence[ComparedNet]) -> bool:
    """Whether the searched net, which keeps to the limit, is shown to be ahead of all rivals that do."""
    return rows[0].fits is not False and all(row.better == SEARCHED for row in rows[1:] if row.fits is not False)


def doubts(rows: Sequence[ComparedNet]) -> tuple[str, ...]:
    """What to know where the searched net is not shown to be ahead."""
    if is_ahead(rows):
        return ()
    return (NEAR,) if rows[0].fits is False else (CHANCE,)


def _called(row: ComparedNet) -> str:
    return "the best hand-made net" if row.name == HAND else f"timm's {row.name}" if row.kind == "timm" else row.name


def _found(row: ComparedNet) -> str:
    assert row.difference is not None
    if row.better == SEARCHED:
        return f"ahead of {_called(row)} by {points(row.difference)} points"
    if row.better == "rival":
        value = row.difference
        return f"behind {_called(row)} by {points(Proportion(-value.value, -value.high, -value.low, value.n))} points"
    return f"not told apart from {_called(row)} ({points(row.difference)} points)"


def _taken(ours: ComparedNet, row: ComparedNet, limit_ms: float) -> str:
    """What a rival takes, beside the searched net or the limit."""
    if row.latency_ms_measured is None or ours.latency_ms_measured is None:
        return "nothing was timed"
    if row.fits is False:
        return f"it takes {row.latency_ms_measured / limit_ms:.1f} times the limit"
    if ours.fits is False:
        took = f"the searched net took {ours.latency_ms_measured / limit_ms:.2f} times the limit when all were timed"
        return f"{took}, {ours.latency_ms_measured:.3g} against {row.latency_ms_measured:.3g} ms"
    return f"both within the limit, {ours.latency_ms_measured:.3g} against {row.latency_ms_measured:.3g} ms"
