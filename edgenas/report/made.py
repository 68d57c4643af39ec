"""What `edgenas report` says on a terminal of the page that it has made."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from edgenas.records import ReportResult
from edgenas.report.cells import table
from edgenas.runs import Outcome

WORDS = {
    "errors": "what it gets wrong, as pictures",
    "decisions": "confusion matrix, ROC, reliability",
    "nets": "what the search has seen",
    "rivals": "nets of timm beside it",
    "latency": "latency by stage, predicted against measured",
    "training": "training curves",
    "ranking": "the supernet's ranking",
    "data": "data sheet",
    "device": "lines for the device",
}
MOST = 6  # results that are named


def report_view(outcome: Outcome[ReportResult]) -> Iterator[RenderableType]:
    """What is on the page, what waits for which command, and what the one before was older than."""
    result = outcome.result
    if result.older_than:
        more = f" and {len(result.older_than) - MOST} more" if len(result.older_than) > MOST else ""
        yield Text(f"the page was older than {', '.join(result.older_than[:MOST])}{more}; it is written again")
    for text in result.unread:
        yield Text(text, style="yellow")
    shown = "; ".join(WORDS.get(name, name) for name in result.sections)
    yield Text(f"on the page: {shown}")
    if result.missing:
        rows = table("not on it yet", "made by")
        for name, command in result.missing.items():
            rows.add_row(WORDS.get(name, name), command)
        yield rows
    yield Text(
        f"{result.size_bytes / 1e6:.2g} MB, with {result.images:,} images of the data set in it: whoever gets the page sees them"
    )
