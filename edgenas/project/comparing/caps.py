"""What the search's limits beside its latency say of nets of other families."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from edgenas.project.results import searched
from edgenas.records import AT_LEAST, SEARCHED, ComparedNet, limit_text
from edgenas.runs import RunFolder
from edgenas.search import FLOOR
from edgenas.search.limits import LATENCY

OF_THE_SPACE = (SEARCHED, "hand")  # kinds of nets that meet all of them, or the search would not have taken them


def caps_of(run: RunFolder, *, from_search: bool) -> Mapping[str, float]:
    """Limits by name of the search that chose the winner, without those on latencies and floors; none where none chose it."""
    result = searched(run) if from_search else None
    limits = {} if result is None else result.limits
    return {name: value for name, value in limits.items() if not name.startswith((LATENCY, FLOOR))}


def held_to(caps: Mapping[str, float], row: ComparedNet) -> ComparedNet:
    """The row with what of its parameters and multiply-accumulates breaks a limit; being smaller than asked breaks none."""
    if row.kind in OF_THE_SPACE:
        return row
    found = {"params": row.params, "macs": row.macs}
    broken = tuple(
        f"{value:,} {name}, asked at most {caps[name]:,.12g}"
        for name, value in found.items()
        if name in caps and value is not None and value > caps[name]
    )
    return replace(row, breaks=broken or None)


def cap_remarks(caps: Mapping[str, float], rows: Sequence[ComparedNet]) -> Iterator[str]:
    """What breaks a limit, and which limits cannot be asked of nets of other families."""
    for row in rows:
        if row.breaks:
            yield f"{row.name} has {' and '.join(row.breaks)}: it is shown, and not taken"
    others = [row.name for row in rows if row.kind not in OF_THE_SPACE]
    unasked = [limit_text(name, f"{value:g}") for name, value in caps.items() if name not in ("params", "macs")]
    unasked = [text for text in unasked if AT_LEAST not in text]
    if others and unasked:
        yield f"limits of the search that nobody has asked of {', '.join(others)}: {', '.join(unasked)}"
