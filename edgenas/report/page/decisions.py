"""How the net decides: what it takes for what, ROC with its operating point, whether its probabilities are true."""

from __future__ import annotations

from collections.abc import Iterator

from edgenas.records import Metrics, Reliability, ResultsPage, RocCurve, RocPoint
from edgenas.report.page.axes import Axis, Plot, per_cent
from edgenas.report.page.marks import Point, figure, legend, line, points
from edgenas.report.page.markup import Html, folded, join, note, rows_table, tag
from edgenas.report.page.wording import counted, share

MATRIX_CLASSES = 20  # up to which a matrix is drawn
NARROW_CLASSES = 6  # up to which it fits beside other pictures
PAIRS = 20  # of confused classes that are listed beyond
TENTHS = tuple(each / 5 for each in range(6))


def decisions(page: ResultsPage) -> Html:
    """Everything about the decisions on test."""
    metrics = page.deployed.metrics if page.deployed is not None else None
    if metrics is None:
        return note(f"Not shown yet: {page.command_for('retrain') or 'edgenas evaluate --split test'} judges the net on test.")
    pictures = [figure("Confusion matrix", confusion(metrics))]
    judged = page.judged
    if judged is not None and judged.roc is not None:
        pictures.append(roc(judged.roc, page.positive or ""))
    if judged is not None:
        pictures.append(reliability(judged.reliability))
    waiting = (
        []
        if judged is not None
        else [note("ROC and reliability are not shown yet: edgenas evaluate --split test keeps what they need.")]
    )
    return join([tag("div", *pictures, class_="figures"), *waiting, rule(metrics), by_class(metrics), *_sites(metrics)])


def rule(metrics: Metrics) -> Html:
    """The decision rule, how its threshold was chosen, and both accuracies."""
    if metrics.positive is None or metrics.threshold is None:
        said = "Decided is the most probable class."
    else:
        said = (
            f"Decided is {metrics.positive} from a probability of {metrics.threshold:.3g} on, else the most probable other class."
        )
    choice = metrics.threshold_choice
    said += f" The threshold is {choice.words}." if choice is not None else ""
    accuracies = (
        f" Accuracy of this rule {share(metrics.top1_decision)}, of the argmax {share(metrics.top1)}, on {metrics.n:,} images."
    )
    return note(said + accuracies)


def by_class(metrics: Metrics) -> Html:
    """Sensitivity of every class with its interval."""
    rows = [(name, share(value), counted(value)) for name, value in metrics.sensitivity.items()]
    if metrics.most_frequent is not None:
        rows.append(
            (f"always {metrics.most_frequent.class_name}", share(metrics.most_frequent.share), counted(metrics.most_frequent.share))
        )
    table = rows_table(("class", "sensitivity, 95 %", "images"), rows)
    return folded("Sensitivity of every class", table, is_open=len(rows) <= 12)


def _sites(metrics: Metrics) -> Iterator[Html]:
    if not metrics.sites:
        return
    rows = []
    for name, site in metrics.sites.items():
        positive = site.sensitivity.get(metrics.positive) if metrics.positive is not None else None
        rows.append((name, f"{site.n:,}", share(site.top1_decision), share(positive)))
    head = ("site", "images", "accuracy of the rule", f"sensitivity: {metrics.positive}" if metrics.positive else "sensitivity")
    yield folded("By site", rows_table(head, rows), is_open=True)


def confusion(metrics: Metrics) -> Html:
    """A row a label, a column a decision, shaded by the share of the label's images; of many classes the worst pairs."""
    names = list(metrics.sensitivity)
    if len(names) > MATRIX_CLASSES:
        return _pairs(metrics, names)
    cells = []
    for name, row in zip(names, metrics.confusion_matrix, strict=True):
        total = sum(row)
        shaded = [_cell(name, other, num, total) for other, num in zip(names, row, strict=True)]
        cells.append(tag("tr", tag("th", name, scope="row"), *shaded))
    head = tag("tr", tag("td", "is ↓ decided →", class_="corner"), *(tag("th", tag("span", name), scope="col") for name in names))
    table = tag(
        "table", tag("caption", "Images of test by label and decision", class_="hidden"), tag("thead", head), tag("tbody", *cells)
    )
    looks = ["scroll", "matrix", *(["tall"] if max(map(len, names)) > 8 else [])]
    return tag("div", table, class_=" ".join([*looks, *(["wide"] if len(names) > NARROW_CLASSES else [])]))


def _cell(name: str, other: str, num: int, total: int) -> Html:
    part = num / total if total else 0.0
    level = min(9, int(10 * part)) if num else 0
    kind = "right" if name == other else "wrong"
    words = f"{num:,} of {total:,} {name} decided as {other} ({100 * part:.1f} %)"
    return tag("td", f"{num:,}", class_=f"{kind} s{level}", data_tip=words, title=words)


def _pairs(metrics: Metrics, names: list[str]) -> Html:
    matrix = metrics.confusion_matrix
    wrong = [(matrix[i][j], i, j) for i in range(len(names)) for j in range(len(names)) if i != j and matrix[i][j]]
    wrong.sort(key=lambda each: -each[0])
    rows = [(names[i], names[j], f"{num:,} of {sum(matrix[i]):,}") for num, i, j in wrong[:PAIRS]]
    more = [note(f"{PAIRS} of {len(wrong):,} pairs of {len(names)} classes are shown.")] if len(wrong) > PAIRS else []
    return join([rows_table(("is", "decided as", "images"), rows, numbers_from=2), *more])


def roc(curve: RocCurve, positive: str) -> Html:
    """Sensitivity over false alarms; where the threshold is, with the intervals of both."""
    plot = Plot(
        Axis("false alarms (% of the others)", 0.0, 1.0, TENTHS, per_cent),
        Axis(f"{positive} found (%)" if len(positive) < 24 else "found (%)", 0.0, 1.0, TENTHS, per_cent),
    )
    sensitivity, alarms = curve.sensitivity, curve.false_alarms
    at = "the argmax" if curve.threshold is None else f"threshold {curve.threshold:.3g}"
    words = f"{at}: finds {counted(sensitivity)}, {share(sensitivity)}; false alarms {counted(alarms)}, {share(alarms)}"
    operating = Point(
        alarms.value, sensitivity.value, "k-winner", words, at, (alarms.low, alarms.high), (sensitivity.low, sensitivity.high)
    )
    along = [(each.false_alarms, each.sensitivity) for each in curve.points]
    hover = [
        Point(
            each.false_alarms,
            each.sensitivity,
            "k-dot",
            f"threshold {each.threshold:.3g}: finds {100 * each.sensitivity:.1f} %, false alarms {100 * each.false_alarms:.1f} %",
        )
        for each in curve.points[1:]
    ]
    marks = [line(plot, [(0, 0), (1, 1)], "l-chance"), line(plot, along, "l-main"), points(plot, hover), points(plot, [operating])]
    title = f"ROC: area {share(curve.area)}"
    rows = [
        (f"{each.threshold:.3g}", f"{100 * each.false_alarms:.1f}", f"{100 * each.sensitivity:.1f}") for each in _thinned(curve)
    ]
    table = folded("As a table", rows_table(("threshold", "false alarms %", "found %"), rows))
    kinds = legend((("k-winner", "operating point, 95 % intervals"), ("l-chance", "by chance")))
    return figure(title, plot.svg(title, *marks), kinds, table)


def _thinned(curve: RocCurve) -> Iterator[RocPoint]:
    step = max(1, len(curve.points) // 20)
    yield from curve.points[::step]


def reliability(answers: Reliability) -> Html:
    """Accuracy over confidence: on the diagonal a probability is what it says."""
    plot = Plot(Axis("confidence of the argmax (%)", 0.0, 1.0, TENTHS, per_cent), Axis("accuracy (%)", 0.0, 1.0, TENTHS, per_cent))
    marks = [
        Point(
            each.confidence,
            each.accuracy.value,
            "k-point",
            f"confidence {100 * each.low:.0f} to {100 * each.high:.0f} %, {100 * each.confidence:.1f} % on average: "
            f"right {counted(each.accuracy)}, {share(each.accuracy)}",
            f"{each.accuracy.n:,}",
            y_ends=(each.accuracy.low, each.accuracy.high),
        )
        for each in answers.bins
    ]
    title = f"Reliability: off by {share(answers.error)}"
    rows = [
        (
            f"{100 * each.low:.0f}–{100 * each.high:.0f}",
            f"{100 * each.confidence:.1f}",
            share(each.accuracy),
            f"{each.accuracy.n:,}",
        )
        for each in answers.bins
    ]
    table = folded("As a table", rows_table(("confidence %", "mean", "accuracy, 95 %", "images"), rows))
    kinds = legend((("k-point", "accuracy of a tenth, 95 % interval, number of images"), ("l-chance", "true probabilities")))
    return figure(title, plot.svg(title, line(plot, [(0, 0), (1, 1)], "l-chance"), points(plot, marks)), kinds, table)
