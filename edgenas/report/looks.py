"""What a terminal shows of a look at spaces: what fits of each, how long it would train, and which one is taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from edgenas.records import LookedSpace, LookResult
from edgenas.report.cells import count, milliseconds, percent, table
from edgenas.runs import Outcome
from edgenas.runs.durations import duration

NOTE = (
    "by a rule, not by accuracy (docs/spaces.md). least: the fastest net; fit: share of the nets within the limit, and their most "
    "MACs, read off a few timed nets; quick, full: training the supernet alone, with the epochs of the recipe quick and with all"
)


def look_view(outcome: Outcome[LookResult]) -> Iterator[RenderableType]:
    """The look at spaces, and what comes next."""
    yield from look_table(outcome.result)
    yield Text("edgenas init --data SOURCE --force --latency-ms MS takes what was chosen; --space NAME what you prefer")


def look_table(result: LookResult) -> Iterator[RenderableType]:
    """One line a space, at the side where the rule likes it best, those that would be taken first."""
    threads = f", {result.threads} thread{'s' if result.threads > 1 else ''}" if result.threads else ""
    title = f"Spaces within {result.limit_ms:g} ms on {result.device}, {result.runtime}{threads}"
    rows = table("space", ">px", ">least", ">fit", ">MACs to", ">quick", ">full", title=title)
    for column in rows.columns:
        column.no_wrap = True
    best: dict[str, LookedSpace] = {}
    for row in result.rows:
        best.setdefault(row.space, row)
    for name, row in best.items():
        style = "bold" if result.chosen is not None and result.chosen.space == name else ""
        fits = (percent(row.share), few(row.best_macs)) if row.fits else ("none", "–")
        training = ("–", "–") if row.training is None else (_about(row.training.quick_s), _about(row.training.full_s))
        rows.add_row(name, str(row.image_px), milliseconds(row.least_ms), *fits, *training, style=style)
    yield rows
    if result.chosen is not None:
        yield Text(f"taken: {result.chosen.words}", style="bold")
    for reason, names in _by_reason(result, [name for name, row in best.items() if row.fits]).items():
        yield Text(f"not {', '.join(names)}: {reason}")
    yield Text(NOTE, style="dim")


def few(value: float) -> str:
    """A count in two digits."""
    return count(float(f"{value:.2g}")).replace(" ", "")


def _about(seconds: float) -> str:
    return duration(float(f"{seconds:.2g}"))


def _by_reason(result: LookResult, names: Sequence[str]) -> dict[str, list[str]]:
    """Names of spaces by the reason that they share."""
    reasons: dict[str, list[str]] = {}
    for name in names:
        if name in result.set_aside:
            reasons.setdefault(result.set_aside[name], []).append(name)
    return reasons
