"""The searched net beside its rivals: on a terminal and as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgenas.records import SEARCHED, ComparedNet, ComparePicture, CompareResult, Proportion
from edgenas.report.cells import count, interval, milliseconds, table, verdict
from edgenas.report.figures import new_figure, save
from edgenas.report.labels import Named, Panel, write_names
from edgenas.runs import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = 14  # least columns of the nets' names
CAP = 3.0  # half the width of an interval's bar, in points
COLOURS = {
    "searched": "tab:red",
    "hand": "tab:orange",
    "cnn": "tab:green",
    "timm": "tab:blue",
    "run": "tab:purple",
    "onnx": "tab:gray",
}


def compare_view(outcome: Outcome[CompareResult]) -> Iterator[RenderableType]:
    """What each net costs and how it was trained, what it does on test, and the verdict."""
    result = outcome.result
    yield _costs(result)
    yield _accuracies(result)
    if any(net.metrics.positive is not None for net in result.nets):
        yield _sensitivities(result)
    for net in result.nets:
        for note in net.notes:
            yield Text(f"{net.name}: {note}", style="dim")
    yield Text(result.verdict, style="bold" if result.winner == SEARCHED else "bold yellow")
    for text in result.remarks:
        yield Text(text, style="yellow")


def _table(*columns: str, title: str) -> Table:
    """A table whose first column, of names, goes over several lines where it is too long."""
    return table(*columns, title=title, names=NAMES)


def _mark(result: CompareResult, net: ComparedNet) -> str:
    return f"{'→' if net.name == result.winner else ' '} {net.name}"


def _limit(result: CompareResult) -> str:
    """The limit in words, with the quantile of calls that it is on where that is not the median."""
    return f"limit {result.limit_ms:.3g} ms" + ("" if result.quantile is None else f" ({result.quantile})")


def _costs(result: CompareResult) -> Table:
    """One row a net: its input, what it costs, what its training had."""
    limit = "" if result.limit_ms is None else f", {_limit(result)}"
    slow = () if result.quantile is None else (f">{result.quantile}",)
    rows = _table("net", ">px", ">params", ">MACs", ">ms", *slow, "start", ">epochs", ">min", title=f"Nets{limit}")
    for net in result.nets:
        px = str(net.image_px) if net.stem_stride is None else f"{net.image_px}/{net.stem_stride}"
        limited = () if result.quantile is None else (net.latency_ms_quantile.ms if net.latency_ms_quantile is not None else None,)
        latencies = [milliseconds(each).removesuffix(" ms") for each in (net.latency_ms_measured, *limited)]
        latencies[-1] += "" if net.fits is not False else " !"
        minutes = "–" if net.seconds is None else f"{net.seconds / 60:.1f}"
        epochs = "–" if net.epochs is None else f"{net.epochs:,}"
        params, macs = count(net.params), "–" if net.macs is None else count(net.macs)
        params, macs = (f"{text} !" if _breaks(net, name) else text for name, text in (("params", params), ("macs", macs)))
        rows.add_row(_mark(result, net), px, params, macs, *latencies, net.weights, epochs, minutes)
    return rows


def _breaks(net: ComparedNet, quantity: str) -> bool:
    """Whether a net breaks the search's limit on its ``params`` or ``macs``."""
    return any(f" {quantity}, " in text for text in net.breaks or ())


def _accuracies(result: CompareResult) -> Table:
    """One row a net: accuracy, and how far the searched one is ahead."""
    images = result.nets[0].metrics.n
    rows = _table("on test", ">top-1 %", ">searched ahead by", ">Holm's p", "parity", title=f"{images:,} images, 95 % intervals")
    for net in result.nets:
        p_value = "–" if net.p_holm is None else f"{net.p_holm:.2g}"
        cells = (interval(net.metrics.top1), interval(net.difference), p_value, _parity(net))
        rows.add_row(_mark(result, net), *cells)
    return rows


def _parity(net: ComparedNet) -> Text:
    """The verdict on its export; of a net that learned nothing that, and not that its export is at fault."""
    return Text("nothing learned", style=verdict("failed").style) if net.is_unlearned else verdict(net.parity)


def _sensitivities(result: CompareResult) -> Table:
    """One row a net: what it finds of the positive class, and what it takes for it."""
    positive = result.nets[0].metrics.positive or ""
    num_positives = result.nets[0].metrics.sensitivity[positive].n
    title = f"{positive}, the class that must not be missed: {num_positives:,} images, each net at its own threshold"
    rows = _table("on test", ">sensitivity %", ">false alarms %", ">searched ahead by", title=title)
    for net in result.nets:
        cells = (interval(net.metrics.sensitivity[positive]), interval(net.false_alarms), interval(net.sensitivity_difference))
        rows.add_row(_mark(result, net), *cells)
    return rows


def compare_plot(shown: ComparePicture, paths: Sequence[Path]) -> None:
    """Draw accuracy over measured latency, and beside it the positive class's sensitivity where there is one.

    Nets that were not timed are not drawn.

    Args:
        shown: the result.
        paths: files to write; the suffix chooses the format.
    """
    save(compare_figure(shown), paths)


def compare_figure(shown: ComparePicture) -> Figure:
    """The picture before it is written."""
    result = shown.result
    positive = result.nets[0].metrics.positive
    figure = new_figure(6.4 if positive is None else 11.0, 4.6)
    figure.suptitle(f"{shown.title}\n{fill(result.verdict, 100)}", fontsize=9)
    shares = [("top-1 on test (%)", [net.metrics.top1 for net in result.nets])]
    if positive is not None:
        shares.append((f"sensitivity for {positive} on test (%)", [net.metrics.sensitivity[positive] for net in result.nets]))
    panels = []
    for number, (label, values) in enumerate(shares, 1):
        axes = figure.add_subplot(1, len(shares), number)
        panels.append(_panel(axes, result, values))
        axes.set_ylabel(label)
    keys = {name: mark for axes in figure.axes for mark, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    if keys:
        figure.legend(list(keys.values()), list(keys), loc="outside lower center", ncols=5, fontsize=7, frameon=False)
    write_names(figure, panels)
    return figure


def _panel(axes: Axes, result: CompareResult, shares: Sequence[Proportion]) -> Panel:
    """Points with their intervals, and the limit. Their names are not written yet."""
    timed = [
        (net.kind, _point(net, net.latency_ms_measured, share))
        for net, share in zip(result.nets, shares, strict=True)
        if net.latency_ms_measured is not None and share.n
    ]
    kinds: set[str] = set()
    for kind, point in timed:
        axes.errorbar(
            point.x,
            point.y,
            yerr=[[point.y - point.low], [point.high - point.y]],
            capsize=CAP,
            linestyle="none",
            label=None if kind in kinds else kind,
            color=point.colour,
            marker="*" if kind == SEARCHED else "o",
            markersize=2 * point.radius,
        )
        kinds.add(kind)
    uprights = [] if result.limit_ms is None else [result.limit_ms]
    for limit_ms in uprights:
        axes.axvline(limit_ms, color="black", linestyle="--", linewidth=1, label=_limit(result))
    axes.set_xlabel("measured latency (ms)")
    axes.grid(alpha=0.25)
    return Panel(axes, [point for _, point in timed], CAP, uprights)


def _point(net: ComparedNet, latency_ms: float, share: Proportion) -> Named:
    """Where a net is drawn, in milliseconds and per cent."""
    value = 100 * share.value
    ends = (min(100 * share.low, value), max(100 * share.high, value))
    return Named(net.name, latency_ms, value, *ends, radius=6.5 if net.kind == SEARCHED else 3.0, colour=COLOURS[net.kind])
