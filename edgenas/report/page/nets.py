"""Nets beside each other: all that the search has seen, and those that were trained to the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgenas.records import SEARCHED, CandidateRow, ComparedNet, Metrics, NetReport, Proportion, ResultsPage, SearchResult
from edgenas.report.page.axes import Axis, Plot, per_cent
from edgenas.report.page.marks import Point, figure, legend, limit, line, points
from edgenas.report.page.markup import Html, folded, join, note, rows_table, tag
from edgenas.report.page.objectives import axes_shown, objectives
from edgenas.report.page.tiles import latency_limit
from edgenas.report.page.wording import COSTS, arch_line, count, first_upper, ms, share
from edgenas.stats import wilson

KINDS = {"searched": "k-winner", "hand": "k-hand", "timm": "k-timm", "cnn": "k-cnn"}
KIND_WORDS = {
    "k-winner": "searched",
    "k-hand": "hand-made",
    "k-timm": "timm",
    "k-cnn": "plain CNN",
    "k-other": "another run or file",
}


def nets(page: ResultsPage) -> Html:
    """What the search has seen, and the nets that were trained to the end, each on its own images."""
    if page.search is None:
        return note(f"Not shown yet: {page.command_for('search') or 'edgenas search'} looks for nets.")
    asked = axes_shown(page)
    seen_nets = seen(page, page.search) if not asked else objectives(page, page.search, asked)
    pictures = [seen_nets] if page.rows else []
    parts: list[Html] = []
    if page.compare is not None or page.retrain is not None:
        pictures.append(trained(page))
    else:
        parts.append(note(f"Nets trained to the end are not shown yet: {page.command_for('retrain')} trains them."))
    if page.compare is not None:
        parts.append(note(first_upper(page.compare.verdict)))
        parts += [note(first_upper(text)) for text in page.compare.remarks]
    else:
        parts.append(note(f"Nets of timm are not shown yet: {page.command_for('compare')} trains them beside."))
    if page.retrain is not None and page.retrain.comparison is not None:
        parts.insert(0, note(first_upper(f"searched against hand-made, as retrain trained them: {page.retrain.comparison.words}")))
    return join([tag("div", *pictures, class_="figures"), *parts, finalists(page.search)])


def seen(page: ResultsPage, search: SearchResult) -> Html:
    """Accuracy on select over cost of every net that was evaluated, its front, and the finalists with intervals."""
    scale = 1e-6 if page.cost == "macs" else 1.0
    rows = [row for row in page.rows if row.cost(page.cost) is not None and row.raced is None]
    costs = [scale * (row.cost(page.cost) or 0.0) for row in rows]
    images = search.evaluations.images
    marks = [
        Point(cost, row.top1, "k-hand" if row.hand_designed else "k-seen", _words(row, cost, page.cost))
        for row, cost in zip(rows, costs, strict=True)
    ]
    finals = list(_finals(page, search, images, scale))
    ends = [end for point in finals for end in point.y_ends or ()]
    bound = latency_limit(page) if page.cost != "macs" else search.limits.get("macs")
    near = [scale * bound] if bound is not None and costs and scale * bound <= 1.25 * max(costs) else []
    plot = Plot(
        Axis.over(COSTS[page.cost], [*costs, *(point.x for point in finals), *near], least=0.0),
        Axis.over("accuracy on select (%)", [*(row.top1 for row in rows), *ends], shown=per_cent, least=0.0, most=1.0),
    )
    limits = [] if bound is None else [(scale * bound, f"limit {scale * bound:.3g}")]
    front = sorted((costs[i], rows[i].top1) for i in _front(costs, [row.top1 for row in rows]))
    drawn = [line(plot, front, "l-front", is_step=True), points(plot, marks), points(plot, finals, limits=limits)]
    drawn += [limit(plot, *each) for each in limits]
    title = f"Searched: {len(page.rows):,} nets with the supernet's weights"
    kinds = [("k-seen", "evaluated"), ("k-final", "finalist, 95 % interval"), ("k-winner", "winner"), ("l-front", "Pareto front")]
    kinds += [("k-hand", "hand-made")] if any(row.hand_designed for row in search.finalists) else []
    beyond = f" The limit of {scale * bound:.3g} lies beyond the axis." if bound is not None and not near else ""
    flatters = note(f"Select chose these nets, so it flatters them; {images:,} images. Costs are predicted, not measured.{beyond}")
    return figure(title, plot.svg(title, *drawn), legend(kinds), flatters)


def _words(row: CandidateRow, cost: float, name: str) -> str:
    what = f"{cost:.3g} M MACs" if name == "macs" else f"{cost:.3g} ms predicted"
    return f"{what}, accuracy {100 * row.top1:.1f} % on select, {count(row.params)} parameters; {arch_line(row.arch)}"


def _finals(page: ResultsPage, search: SearchResult, images: int, scale: float) -> Iterator[Point]:
    for number, row in enumerate(search.finalists, 1):
        cost = row.cost(page.cost)
        if cost is None:
            continue
        is_winner = search.winner is not None and row.arch == search.winner.arch
        near = wilson(round(row.top1 * images), images) if images else None
        rejected = f"; rejected: {', '.join(row.rejected_by)}" if row.rejected_by else ""
        said = f"finalist {number}{', the winner' if is_winner else ''}{', hand-made' if row.hand_designed else ''}: "
        kind = "k-winner" if is_winner else ("k-hand" if row.hand_designed else "k-final")
        ends = (near.low, near.high) if near is not None else None
        yield Point(scale * cost, row.top1, kind, said + _words(row, scale * cost, page.cost) + rejected, f"F{number}", y_ends=ends)


def _front(costs: Sequence[float], scores: Sequence[float]) -> list[int]:
    """Which nets no other beats in both."""
    best, unbeaten = -1.0, []
    for index in sorted(range(len(costs)), key=lambda i: (costs[i], -scores[i])):
        if scores[index] > best:
            best = scores[index]
            unbeaten.append(index)
    return unbeaten


def trained(page: ResultsPage) -> Html:
    """Accuracy (sensitivity where a class must not be missed) on test over measured latency, of nets trained to the end."""
    these = list(_trained(page))
    placed = [each for each in these if each[1] is not None]
    title = "Trained to the end: judged on test"
    y_label = f"{page.positive} found (%)" if page.positive and len(page.positive) < 24 else "found (%)"
    figures, used = list[Html](), dict[str, None]()
    for metric, label in (("top1", "accuracy (%)"), ("found", y_label)):
        marks = [point for each in placed if (point := _point(*each, metric)) is not None]
        if not marks:
            continue
        bound = latency_limit(page)
        near = [bound] if bound is not None and bound <= 1.25 * max(point.x for point in marks) else []
        ends = [end for point in marks for end in point.y_ends or ()]
        plot = Plot(
            Axis.over("measured latency (ms)", [*(point.x for point in marks), *near], least=0.0, room=0.14),
            Axis.over(label, ends, shown=per_cent, least=0.0, most=1.0),
        )
        limits = [] if bound is None else [(bound, f"limit {bound:.3g} ms")]
        drawn = [points(plot, marks, limits=limits), *(limit(plot, *each) for each in limits)]
        name = title if metric == "top1" else f"Trained to the end: {page.positive} found in test"
        used |= dict.fromkeys(point.kind for point in marks)
        figures.append(figure(name, plot.svg(name, *drawn)))
    keys = [legend([(kind, KIND_WORDS[kind]) for kind in used])] if used else []
    drawn_alike = tag("div", *figures, *keys, class_="pair" if len(figures) > 1 else "alone")
    rows = [
        (
            name,
            ms(latency),
            count(params),
            share(metrics.top1),
            share(metrics.sensitivity[metrics.positive]) if metrics.positive else "–",
            versus,
        )
        for name, latency, kind, metrics, params, versus in these
    ]
    head = ("net", "measured", "parameters", "accuracy, test", page.positive or "positive", "searched − this")
    table = tag("div", rows_table(head, rows), class_="wide")
    return join([drawn_alike, table])


Row = tuple[str, float | None, str, Metrics, int, str]  # name, latency, kind, on test, parameters, difference to the searched one


def _trained(page: ResultsPage) -> Iterator[Row]:
    if page.compare is not None:
        for each in page.compare.nets:
            yield each.name, each.latency_ms_measured, KINDS.get(each.kind, "k-other"), each.metrics, each.params, _difference(each)
        return
    retrain = page.retrain
    if retrain is None:
        return
    rivals: list[tuple[str, str, NetReport | None, Proportion | None]] = [(SEARCHED, "k-winner", retrain.net, None)]
    by = retrain.comparison.difference if retrain.comparison is not None else None
    rivals.append(("hand-made", "k-hand", retrain.baseline.net if retrain.baseline is not None else None, by))
    of_cnn = retrain.cnn.comparison.difference if retrain.cnn is not None and retrain.cnn.comparison is not None else None
    rivals.append(("plain CNN", "k-cnn", retrain.cnn.net if retrain.cnn is not None else None, of_cnn))
    for name, kind, net, difference in rivals:
        if net is not None:
            yield name, _measured(page, name, net), kind, net.metrics, net.params, _points(difference)


def _measured(page: ResultsPage, name: str, net: NetReport) -> float | None:
    """What was measured of a net when it was trained, else of the searched one among the finalists."""
    if net.latency_ms_measured is not None or name != SEARCHED or page.search is None or net.ensemble is not None:
        return net.latency_ms_measured
    of_search = (row for row in (page.search.winner, *page.search.finalists) if row is not None and row.arch == net.arch)
    return next((row.latency_ms_measured for row in of_search), None)


def _difference(net: ComparedNet) -> str:
    return _points(net.difference)


def _points(difference: Proportion | None) -> str:
    """A paired difference of accuracies in points."""
    if difference is None:
        return "–"
    return f"{100 * difference.value:+.1f} [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"


def _point(name: str, latency: float | None, kind: str, metrics: Metrics, params: int, versus: str, metric: str) -> Point | None:
    value = metrics.top1 if metric == "top1" else (metrics.sensitivity[metrics.positive] if metrics.positive else None)
    if value is None or latency is None or not value.n:
        return None
    beside = "" if versus == "–" else f"; searched − this {versus} points of accuracy"
    words = f"{name}: {ms(latency)} measured, {share(value)} of {value.n:,} test images, {count(params)} parameters{beside}"
    short = name if len(name) <= 22 else f"{name[:21]}…"
    return Point(latency, value.value, kind, words, short, y_ends=(value.low, value.high))


def finalists(search: SearchResult) -> Html:
    """Everything that is known of the finalists."""
    rows = []
    for number, row in enumerate(search.finalists, 1):
        is_winner = search.winner is not None and row.arch == search.winner.arch
        mark = f"F{number}{' (winner)' if is_winner else ''}{' hand-made' if row.hand_designed else ''}"
        alone = share(row.proof.top1) if row.proof is not None else "–"
        rows.append(
            (
                mark,
                ms(row.latency_ms_predicted),
                ms(row.latency_ms_measured),
                count(row.params),
                f"{100 * row.top1:.1f} %",
                share(row.top1_confirm),
                alone,
                ", ".join(row.rejected_by) or "–",
            )
        )
    head = ("finalist", "predicted", "measured", "parameters", "select", "confirm", "trained alone", "rejected by")
    archs = rows_table(
        ("finalist", "architecture"), [(f"F{i}", arch_line(row.arch)) for i, row in enumerate(search.finalists, 1)], numbers_from=9
    )
    return folded("Finalists", rows_table(head, rows), archs, is_open=True)
