"""How well cheap rankings agree with nets that were trained alone: on a terminal and as a plot."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgenas.percents import numeral
from edgenas.records import FidelityPicture, FidelityReport, Proportion
from edgenas.report.cells import count, interval, milliseconds, table
from edgenas.report.figures import new_figure, save
from edgenas.runs import Outcome


def tau_table(tau: Mapping[str, Proportion], tau_band: Mapping[str, Proportion], num_band: int, *, title: str) -> Table:
    """Kendall's tau with its interval, a row a ranking: over all nets, and over those of nearly equal cost."""
    band = f">{num_band} of equal latency" if tau_band else ">of equal latency"
    rows = table("ranked by", ">all", band, title=title)
    for name, value in tau.items():
        rows.add_row(name, correlation(value), correlation(tau_band.get(name)))
    return rows


def correlation(tau: Proportion | None) -> str:
    """A correlation with its interval."""
    if tau is None or math.isnan(tau.value):
        return "–"
    return f"{tau.value:.2f} [{tau.low:.2f}, {tau.high:.2f}]"


def fidelity_view(outcome: Outcome[FidelityReport]) -> Iterator[RenderableType]:
    """The nets, how each ranking agrees with them, and what choosing by inherited accuracy costs."""
    result = outcome.result
    rows = table("", ">params", ">MACs", ">latency", ">inherited %", ">alone %", title="Nets trained alone, the best first")
    for row in sorted(result.rows, key=lambda each: -each.alone):
        costs = (count(row.params), count(row.macs), milliseconds(row.latency_ms_predicted))
        rows.add_row("=" if row.in_band else "", *costs, numeral(row.inherited), numeral(row.alone))
    yield rows
    alone = f"{result.num_nets:,} nets alone for {result.epochs} epoch{'' if result.epochs == 1 else 's'}"
    title = f"Kendall's tau [95 %] with {alone}, on {result.images:,} images"
    yield tau_table(result.tau, result.tau_band, result.num_band, title=title)
    for name, tau in result.tau_sensitivity.items():
        yield Text(f"sensitivity of the class that must not be missed, ranked by {name}: tau {correlation(tau)}")
    yield Text(f"the net that inherited accuracy would choose is {interval(result.regret)} points below the best of these")
    if result.tau_band:
        yield Text("= marks the nets of nearly equal cost")
    if not result.ranks_better_than_macs:
        yield Text("inherited accuracy ranks no better than MACs: let the search prove its winner", style="yellow")


def fidelity_plot(shown: FidelityPicture, paths: Sequence[Path]) -> None:
    """Draw accuracy alone over inherited accuracy, nets of nearly equal cost apart.

    Args:
        shown: the report.
        paths: files to write; the suffix chooses the format.
    """
    figure = new_figure(5.6, 4.4)
    axes = figure.add_subplot()
    report = shown.report
    for in_band, marker, label in ((False, "o", "from everywhere"), (True, "s", "of nearly equal cost")):
        rows = [row for row in report.rows if row.in_band == in_band]
        if rows:
            places = ([100 * row.inherited for row in rows], [100 * row.alone for row in rows])
            axes.scatter(*places, marker=marker, s=34, alpha=0.85, label=f"{len(rows)} {label}")
    axes.set_xlabel("top-1 with inherited weights (%), select and confirm")
    axes.set_ylabel("top-1 trained alone (%)")
    axes.set_title(f"{shown.title}\ntau {correlation(report.inherited)}", fontsize=9)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)
    save(figure, paths)
