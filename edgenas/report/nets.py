"""Nets side by side: what they are and cost, how accurate they are, which is better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgenas.percents import numeral
from edgenas.records import (
    FinalTraining,
    Metrics,
    MostFrequent,
    NetReport,
    PublishedRow,
    RetrainResult,
    StageCosts,
    TrainedWay,
    gene_words,
)
from edgenas.report.cells import arch_line, interval, milliseconds, table
from edgenas.report.decisions import always, confusion, metrics_tables
from edgenas.runs import Outcome

LONG_GENE = 24  # characters beyond which the words of a gene make a table of nets too wide for most terminals


def published_table(rows: Sequence[PublishedRow]) -> Iterator[RenderableType]:
    """What the authors of nets of the same space say of them on the same data; nothing where there are none."""
    if not rows:
        return
    classes = list(dict.fromkeys(name for row in rows for name in row.sensitivity))
    titles = [f">{what} {name} %" for name in classes for what in ("sensitivity", "PPV")]
    shown = table("net", ">top-1 %", *titles, title="As reported by its authors, not measured here")
    for row in rows:
        shares = [by_class.get(name) for name in classes for by_class in (row.sensitivity, row.ppv)]
        shown.add_row(row.name, *("–" if share is None else f"{100 * share:.2f}" for share in (row.top1, *shares)))
    yield shown
    for row in rows:
        note = f"; {row.note}" if row.note else ""
        yield Text(f"{row.name}: {row.source}, on {row.dataset}{note}", style="dim")


def sites_table(metrics: Metrics) -> Iterator[Table]:
    """Accuracy and the positive class's sensitivity at every site; nothing where sites are unknown."""
    if not metrics.sites:
        return
    positive = metrics.positive
    columns = [f">sensitivity {positive} %"] if positive is not None else []
    commons = [site.most_frequent for site in metrics.sites.values()]
    constant = [] if any(common is None for common in commons) else [">always one %"]
    what = "as decided" if metrics.threshold is not None else "top-1"
    rows = table("site", ">images", f">{what} %", *constant, *columns, title="By site, 95 % intervals")
    for name, site in metrics.sites.items():
        shares = [interval(site.sensitivity[positive])] if positive is not None else []
        common = [numeral(site.most_frequent.share.value)] if constant and site.most_frequent is not None else []
        rows.add_row(name, f"{site.n:,}", interval(site.top1_decision), *common, *shares)
    yield rows


def net_rows(nets: Mapping[str, NetReport], on_select: MostFrequent | None = None) -> Iterator[RenderableType]:
    """Architecture, costs and training, one column a net; one of no space has no architecture.

    Architectures that are too long for a column are lines below.

    Args:
        nets: by what they are called.
        on_select: most frequent class of select, whose accuracies are among the rows.
    """
    rows, each = table("", *(f">{name}" for name in nets)), list(nets.values())
    genes = {name: ["–" if net.arch is None else gene_words(net.arch[name]) for net in each] for name in each[0].arch or ()}
    is_long = any(len(words) > LONG_GENE for cells in genes.values() for words in cells)
    for name, cells in () if is_long else genes.items():
        rows.add_row(name.replace("_", " "), *cells)
    if any(net.width for net in each):
        rows.add_row("width", *(_or_dash(net.width) for net in each))
    if any(net.ensemble is not None for net in each):
        rows.add_row("nets together", *("1" if net.ensemble is None else str(net.ensemble.num_members) for net in each))
    rows.add_row("parameters", *(f"{net.params:,}" for net in each))
    rows.add_row("MACs", *(f"{net.macs:,}" for net in each))
    predicted, measured = ([net.latency_ms_predicted for net in each], [net.latency_ms_measured for net in each])
    for kind, values in (("predicted", predicted), ("measured", measured)):
        if any(value is not None for value in values):
            rows.add_row(f"latency, {kind}", *(milliseconds(value) for value in values))
    rows.add_row("weights", *(net.weights for net in each))
    if any(net.teaching is not None for net in each):
        rows.add_row("taught by", *(_or_dash(net.teaching) for net in each))
    rows.add_row("epochs", *(str(net.epochs) for net in each))
    if any(net.select_top1 is not None for net in each):
        rows.add_row("top-1 on select %", *(interval(net.select_top1) for net in each))
        if on_select is not None:
            rows.add_row(Text("  ") + always(on_select), *[numeral(on_select.share.value)] * len(each), style="dim")
    yield rows
    for name, net in nets.items() if is_long else ():
        if net.arch is not None:
            yield Text(f"{name}: {arch_line(net.arch)}")


def _or_dash(value: object) -> str:
    return "–" if value is None else str(value)


def nets_of(result: RetrainResult, title: str) -> dict[str, NetReport]:
    """The nets of a result by what they are called; ``title`` is the searched one's."""
    rivals = {"hand-made": result.baseline, "plain CNN": result.cnn}
    return {title: result.net} | {name: rival.net for name, rival in rivals.items() if rival is not None}


def retrain_view(outcome: Outcome[RetrainResult]) -> Iterator[RenderableType]:
    """The winner on the test split, beside the best hand-made net and a plain CNN where there are any, and which is better."""
    result = outcome.result
    nets = nets_of(result, "winner" if result.baseline is None else "searched")
    yield from net_rows(nets, result.most_frequent_on_select)
    yield from metrics_tables({name: net.metrics for name, net in nets.items()}, title="Test split, 95 % intervals")
    yield from confusion(result.net.metrics)
    yield from sites_table(result.net.metrics)
    for text in result.doubts:
        yield Text(text, style="bold yellow")
    yield from _tries(nets, result.finals or (), result.most_frequent_on_select)
    yield from _costs(result.cost or {})
    yield from verdict_lines(result)


def _tries(nets: Mapping[str, NetReport], finals: Sequence[FinalTraining], on_select: MostFrequent | None) -> Iterator[Table]:
    """How every net was trained to the end, and what select says of it; nothing where there was one way.

    Args:
        nets: that are reported, by what they are called.
        finals: of the search; those that were not kept are listed, too.
        on_select: most frequent class of select.
    """
    others = [final for final in finals if all(final.arch != net.arch for net in nets.values())]
    if all(len(net.starts or ()) < 2 for net in nets.values()) and not others:
        return
    rows = table("trained to the end", "weights", "taught by", ">epochs", ">minutes", ">select %")
    for name, net in nets.items():
        for each in net.starts or ():
            values = (_start(each), each.teaching, str(each.epochs), _minutes(each.seconds))
            rows.add_row(f"{'→' if each.way == net.way else ' '} {name}", *values, interval(each.select_top1))
    for final in others:
        for each in final.starts:
            values = (_start(each), each.teaching, str(each.epochs), _minutes(each.seconds))
            rows.add_row(f"  {FIRST if final is finals[0] else OTHER}", *values, interval(each.select_top1))
    if on_select is not None:
        rows.add_row(Text("  ") + always(on_select), "", "", "", "", numeral(on_select.share.value), style="dim")
    yield rows


def _start(way: TrainedWay) -> str:
    """Where weights started, with the learning rate where several were tried."""
    return way.weights if way.learning_rate is None else f"{way.weights}, {way.learning_rate:g}"


FIRST, OTHER = "first in the proof", "lower in the proof"  # finals that were not kept
STAGES = ("probes", "teacher", "supernet", "search", "race", "final", "total")


def _costs(cost: Mapping[str, StageCosts]) -> Iterator[Table]:
    """What searched and hand-made nets have cost, in minutes and epochs; nothing where just one was trained."""
    if len(cost) < 2:
        return
    titles = {"searched": "searched", "baseline": "hand-made"}
    rows = table("", *(f">{titles.get(name, name)}: minutes" for name in cost), *(f">{titles.get(n, n)}: epochs" for n in cost))
    for stage in STAGES:
        seconds = [entry.get(f"{stage}_s") for entry in cost.values()]
        epochs = [entry.get(f"{stage}_epochs") for entry in cost.values()]
        rows.add_row(stage, *(_minutes(value) for value in seconds), *("–" if value is None else str(value) for value in epochs))
    yield rows


def _minutes(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds / 60:.1f}"


def verdict_lines(result: RetrainResult, *, cannot_tell: str = "") -> Iterator[Text]:
    """The sentences of the comparisons and what else must be said; ``cannot_tell`` follows where neither net is better."""
    with_cnn = result.cnn.comparison if result.cnn is not None else None
    for name, comparison in (("hand-made", result.comparison), ("the plain CNN", with_cnn)):
        if comparison is not None:
            is_open = comparison.better == "neither"
            style = "bold" if is_open or comparison.better == "searched" else "bold yellow"
            yield Text(f"searched against {name}: {comparison.words}{cannot_tell if is_open else ''}", style=style)
    if result.chosen_by is not None:
        yield Text(result.chosen_by.words)
    for text in result.remarks:
        yield Text(text, style="yellow")
