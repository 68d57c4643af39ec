"""The last screen of the demo: what was found, whether the search was worth it, what is left of doubt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edgenas.records import SEARCHED, CompareResult, DemoResult, VerdictRow
from edgenas.report.cells import interval, milliseconds, table, verdict
from edgenas.report.decisions import metrics_tables
from edgenas.report.nets import net_rows, nets_of, verdict_lines
from edgenas.runs import Outcome

NAMES = 16  # least columns of the nets' names
OLD_TASK = "1,797 digits"  # of results that do not say what their images are


def demo_view(outcome: Outcome[DemoResult]) -> Iterator[RenderableType]:
    """The one screen at the end of the demo; what was found stands last, where a terminal shows it."""
    result = outcome.result
    limit = Text(f"limit: {result.latency_limit_ms:.3g} ms on {result.device} ({result.runtime})")
    took = Text(f"took {result.seconds:.0f} s, at most {result.peak_memory_mb:,.0f} MB; everything is in {result.run}")
    if result.comparison is None:
        nets = nets_of(replace(result.winner, baseline=result.baseline), "searched")
        parts: list[RenderableType] = [
            limit,
            *net_rows(nets, result.winner.most_frequent_on_select),
            *metrics_tables({name: net.metrics for name, net in nets.items()}, title="Test split, 95 % intervals"),
            *(Text(text, style="bold yellow") for text in result.winner.doubts),
            *verdict_lines(result.winner, cannot_tell=": this task cannot tell"),
            _verdicts(result.verdicts),
            took,
        ]
    else:
        parts = [_verdicts(result.verdicts), limit, *_found(result, result.comparison), *_next(result), took]
    title = f"edgenas demo: from {OLD_TASK if result.task is None else 'images'} to a verified net"
    yield Panel(Group(*parts), title=title, border_style="cyan", padding=(0, 1), expand=False)


def _found(result: DemoResult, compared: CompareResult) -> Iterator[RenderableType]:
    """Nets side by side, then a sentence for every rival."""
    images = compared.nets[0].metrics.n
    positive = compared.nets[0].metrics.positive
    of_positive = [f">{positive}\nfound %"] if positive is not None else []
    rows = table(
        "net", ">ms", ">right %", *of_positive, ">searched\nahead by", title=f"{images:,} test images, 95 % intervals", names=NAMES
    )
    for net in compared.nets:
        late = " !" if net.fits is False else ""
        shares = [interval(net.metrics.sensitivity[positive])] if positive is not None else []
        is_ours = net.name == SEARCHED
        name = Text(f"{'→' if is_ours else ' '} {net.name}", style="bold" if is_ours else "")
        latency = milliseconds(net.latency_ms_measured).removesuffix(" ms") + late
        rows.add_row(name, latency, interval(net.metrics.top1), *shares, interval(net.difference))
    yield rows
    if any(net.fits is False for net in compared.nets):
        yield Text("! takes more than the limit", style="dim")
    for text in result.winner.doubts:
        yield Text(text, style="bold yellow")
    for text in result.words or ():
        yield Text(f"searched: {text}", style="bold green" if text.startswith("ahead") else "bold yellow")


def _next(result: DemoResult) -> Iterator[Text]:
    """Images that were missed, and the page."""
    positive = result.winner.net.metrics.positive
    if result.missed is not None and positive is not None:
        yield Text(f"images of {positive} that were missed, the surest first:" if result.missed else f"no {positive} was missed")
        yield from (Text(f"  {path}") for path in result.missed)
    if result.page is not None:
        yield Text(f"everything as a page: {result.page}")


def _verdicts(rows: Sequence[VerdictRow]) -> Table:
    shown = table("check", "verdict", "why", title="Verdicts")
    shown.columns[0].overflow = "fold"
    for row in rows:
        shown.add_row(row.name, verdict(row.verdict), Text(row.reason))
    return shown
