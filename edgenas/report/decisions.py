"""Accuracies on a terminal: one decision rule a table, beside what always answering the most frequent class would give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgenas.percents import numeral
from edgenas.records import Metrics, MostFrequent, Proportion, Scores
from edgenas.report.cells import interval, table
from edgenas.report.folding import FirstBeside
from edgenas.stats import wilson

MAX_CONFUSED = 12  # classes whose confusion matrix fits a terminal
MOST_IN_HEADS = 16  # characters of all classes together that fit into heads of columns
MAX_PAIRS = 8  # of more classes, the pairs that are confused most


@dataclass(frozen=True, slots=True)
class OfPositive:
    """What the decisions of a split say of the positive class, counted in its confusion matrix.

    Attributes:
        specificity: share of the other images that are not decided as it.
        ppv: share of the images decided as it that are of it.
        false_alarms: other images decided as it.
    """

    specificity: Proportion
    ppv: Proportion
    false_alarms: int

    @property
    def alarms(self) -> str:
        """False alarms as a count of what, e.g. ``12 of 377``."""
        return f"{self.false_alarms:,} of {self.specificity.n:,}"


def of_positive(metrics: Metrics) -> OfPositive | None:
    """The counts of the positive class; None without one, or in results of before, which hold no confusion matrix."""
    names = list(metrics.sensitivity)
    if metrics.positive is None or len(metrics.confusion_matrix) != len(names):
        return None
    place, rows = names.index(metrics.positive), metrics.confusion_matrix
    hits = rows[place][place]
    alarms = sum(row[place] for row in rows) - hits
    others = sum(map(sum, rows)) - sum(rows[place])
    return OfPositive(wilson(others - alarms, others), wilson(hits, hits + alarms), alarms)


def rule_of(metrics: Metrics) -> str:
    """The decision rule in words."""
    if metrics.positive is None or metrics.threshold is None:
        return "the argmax"
    return f"{metrics.positive} where p({metrics.positive}) ≥ {metrics.threshold:.4g}, else the likeliest of the others"


def referral_lines(metrics: Metrics, of: str = "") -> Iterator[Text]:
    """The zone that a person decides, what it is worth where it was chosen, and here; nothing without one."""
    choice = metrics.threshold_choice
    if choice is None or choice.refer is None:
        return
    yield Text(f"referred{of} {choice.refer.words}", style="dim")
    if metrics.referral is not None and metrics.referral.split != choice.refer.found.split:
        yield Text(f"referred{of}: {metrics.referral.words}")


def metrics_tables(reports: Mapping[str, Metrics], *, title: str) -> Iterator[RenderableType]:
    """What is decided, then what the argmax alone would get right where that is another rule; one column a net."""
    each = list(reports.values())
    if all(report.threshold is None for report in each):
        yield _argmax_table(reports, f"{title}: by the argmax", with_classes=True)
        return
    yield _decided_table(reports, f"{title}: as decided by the threshold")
    for name, report in reports.items():
        if report.threshold_choice is not None:
            yield Text(f"threshold{f' of {name}' if len(reports) > 1 else ''}: {report.threshold_choice.words}", style="dim")
            yield from referral_lines(report, f" of {name}" if len(reports) > 1 else "")
    yield _argmax_table(reports, f"{title}: by the argmax", with_classes=False)


def _decided_table(reports: Mapping[str, Metrics], title: str) -> Table:
    """The rows of the decision rule: accuracy, the positive class and what finding it costs, the other classes."""
    first, each = next(iter(reports.values())), list(reports.values())
    rows = table("", ">images", *(f">{name} %" for name in reports), title=title)
    rows.add_row(
        Text(f"threshold on p({first.positive})"), "", *("–" if m.threshold is None else f"{m.threshold:.4g}" for m in each)
    )
    rows.add_row("accuracy, as decided", f"{first.top1_decision.n:,}", *(interval(m.top1_decision) for m in each))
    _always(rows, first.most_frequent, len(each))
    for name, share in first.sensitivity.items():
        mark = " (positive)" if name == first.positive else ""
        rows.add_row(Text(f"sensitivity {name}{mark}"), f"{share.n:,}", *(interval(m.sensitivity[name]) for m in each))
        if name == first.positive:
            _costs_of_positive(rows, [of_positive(m) for m in each])
    return rows


def _costs_of_positive(rows: Table, counted: list[OfPositive | None]) -> None:
    """What finding the positive class costs the others."""
    known = [each for each in counted if each is not None]
    if not known:
        return
    rows.add_row(
        "  its specificity", f"{known[0].specificity.n:,}", *(interval(each.specificity) if each else "–" for each in counted)
    )
    rows.add_row("  its PPV", "", *(interval(each.ppv) if each else "–" for each in counted))
    rows.add_row("  false alarms", "", *(each.alarms if each else "–" for each in counted))


def _argmax_table(reports: Mapping[str, Metrics], title: str, *, with_classes: bool) -> Table:
    first, each = next(iter(reports.values())), list(reports.values())
    rows = table("", ">images", *(f">{name} %" for name in reports), title=title)
    rows.add_row("top-1", f"{first.top1.n:,}", *(interval(m.top1) for m in each))
    _always(rows, first.most_frequent, len(each))
    for name, share in first.sensitivity.items() if with_classes else ():
        mark = " (positive)" if name == first.positive else ""
        rows.add_row(Text(f"sensitivity {name}{mark}"), f"{share.n:,}", *(interval(m.sensitivity[name]) for m in each))
    return rows


def always(common: MostFrequent) -> Text:
    """What a row of the most frequent class is called."""
    return Text(f"always {common.class_name}")


def _always(rows: Table, common: MostFrequent | None, num_columns: int) -> None:
    if common is not None:
        rows.add_row(always(common), f"{common.share.n:,}", *[numeral(common.share.value)] * num_columns, style="dim")


def scores_tables(metrics: Metrics, scores: Scores, *, title: str) -> Iterator[RenderableType]:
    """What is said of the whole split by either rule, then of every class, then of every class against the others."""
    has_rule = metrics.threshold is not None
    if has_rule:
        yield from _decided_scores(metrics, scores, title)
    shares = {"top-1": metrics.top1, "top-5": scores.top5, "calibration error": scores.calibration_error}
    shares |= {} if has_rule else {"macro F1": scores.macro_f1}
    by_argmax = table("by the argmax", ">images", ">% [95 %]", title=None if has_rule else title)
    for words, share in shares.items():
        if share is not None:
            by_argmax.add_row(words, f"{metrics.n:,}", interval(share))
        if words == "top-1":
            _always(by_argmax, metrics.most_frequent, 1)
    yield by_argmax
    each = table("class", ">images", ">sensitivity %", ">PPV %", title="Each class, as decided")
    for name, share in metrics.sensitivity.items():
        mark = " (positive)" if name == metrics.positive else ""
        each.add_row(Text(name + mark), f"{share.n:,}", interval(share), interval(scores.classes[name].ppv))
    yield each
    yield from confusion(metrics)
    columns = {"specificity": "specificity", "NPV": "npv", "AUROC": "auroc"}
    yield _class_table(scores, "Each class against the others, as decided (AUROC: by probabilities)", columns)
    if scores.prevalence is not None:
        title = f"Predictive values where {100 * scores.prevalence:g} % of the images are of the class"
        yield _class_table(scores, title, {"PPV": "ppv_at_prevalence", "NPV": "npv_at_prevalence"})


def _decided_scores(metrics: Metrics, scores: Scores, title: str) -> Iterator[RenderableType]:
    """The decision rule, how its threshold was chosen, and what it decides rightly."""
    yield Text(f"decided: {rule_of(metrics)}")
    if metrics.threshold_choice is not None:
        yield Text(f"threshold: {metrics.threshold_choice.words}", style="dim")
        yield from referral_lines(metrics)
    rows = table("as decided", ">images", ">% [95 %]", title=title)
    rows.add_row("accuracy", f"{metrics.top1_decision.n:,}", interval(metrics.top1_decision))
    _always(rows, metrics.most_frequent, 1)
    if metrics.positive is not None:
        share = metrics.sensitivity[metrics.positive]
        rows.add_row(Text(f"finds {metrics.positive}"), f"{share.n:,}", interval(share))
    _costs_of_positive(rows, [of_positive(metrics)])
    rows.add_row("macro F1", f"{metrics.n:,}", interval(scores.macro_f1))
    yield rows


def _class_table(scores: Scores, title: str, columns: Mapping[str, str]) -> Table:
    """One row a class; ``columns`` are the fields shown, by what they are called."""
    rows = table("class", *(f">{words} %" for words in columns), title=title)
    for name, each in scores.classes.items():
        rows.add_row(Text(name), *(interval(getattr(each, field)) for field in columns.values()))
    return rows


def confusion(metrics: Metrics) -> Iterator[RenderableType]:
    """The confusion matrix, columns numbered where names are too long for heads; where it has no room, the pairs confused most."""
    names, counts = list(metrics.sensitivity), metrics.confusion_matrix
    if len(counts) != len(names):
        return
    if len(names) <= MAX_CONFUSED:
        is_numbered = sum(len(name) for name in names) > MOST_IN_HEADS
        heads = [f">{number if is_numbered else name}" for number, name in enumerate(names, 1)]
        rows = table("is", *heads, title="Images by class (rows) and decision (columns)")
        for number, (name, row) in enumerate(zip(names, counts, strict=True), 1):
            cells = (Text(f"{n:,}", style="bold" if i == number else "") for i, n in enumerate(row, 1))
            rows.add_row(Text(f"{number} {name}" if is_numbered else name), *cells)
        yield FirstBeside(rows, *_pairs(names, counts))
        return
    yield from _pairs(names, counts)


def _pairs(names: Sequence[str], counts: Sequence[Sequence[int]]) -> Iterator[Table]:
    """The pairs of classes that are confused most."""
    pairs = [(n, names[i], names[j]) for i, row in enumerate(counts) for j, n in enumerate(row) if i != j and n]
    rows = table("is", "decided as", ">images", title="Most frequent confusions")
    for n, name, other in sorted(pairs, key=lambda pair: -pair[0])[:MAX_PAIRS]:
        rows.add_row(Text(name), Text(other), f"{n:,}")
    yield rows
