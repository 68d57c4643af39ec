"""What the nets that a search has evaluated say together; see `edgenas.records.SearchAnalysis`.

Shapes: A nets, G genes, N images, C classes, O objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenas.records import (
    CandidateRow,
    FrontAxis,
    FrontFacts,
    HypervolumeFacts,
    HypervolumeRow,
    ImportanceFacts,
    ImportanceRow,
    PriceRow,
    SearchAnalysis,
    TopNets,
)
from edgenas.search import Candidate, UpperLimit, pareto_front
from edgenas.search.hypervolume import hypervolume, undominated_rows
from edgenas.search.importance import MIN_NETS, gene_importance
from edgenas.search.prices import Step, ends_differ, price_steps
from edgenas.stats import Proportion

TOP1 = "top1"
NUM_TOP = 100
FAR = 1.25  # times the dearest net: where a limit is no reference point any more
MAX_P = 0.05  # of a front's ends, above which nets are not told apart


@dataclass(frozen=True, slots=True)
class ObjectiveValues:
    """An objective of every net.

    Attributes:
        name: a key of a candidate's row, or ``sensitivity[CLASS]``.
        values_A: of every net.
        maximize: whether larger is better.
        limit: that was set on it; None without one.
    """

    name: str
    values_A: NDArray[np.float64]
    maximize: bool
    limit: float | None = None

    @property
    def losses(self) -> NDArray[np.float64]:
        """The values turned so that smaller is better, shape (archs,)."""
        return -self.values_A if self.maximize else self.values_A


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """The nets that a search has evaluated on all images of select.

    Attributes:
        genes_AG: their rows.
        gene_names: of the columns.
        rows: what is known of each before anything was measured.
        lines_A: of each in `search.jsonl`, counted from 0.
        generations: of all nets there.
        metrics: which of its images every net gets right, shape (archs, images of the metric), by name; ``top1`` is the first.
        positive: the class of the second one; None without.
        cost: what prices are of.
        objectives: what nets are better or worse in; none takes the cost and every metric.
        limited: further costs that are limited, which prices are of as well.
        drawn: axes of the picture; none for the accuracy over the cost.
    """

    genes_AG: NDArray[np.int16]
    gene_names: tuple[str, ...]
    rows: tuple[CandidateRow, ...]
    lines_A: NDArray[np.int64]
    generations: tuple[int, ...]
    metrics: Mapping[str, NDArray[np.bool_]]
    positive: str | None
    cost: ObjectiveValues
    objectives: tuple[ObjectiveValues, ...] = ()
    limited: tuple[ObjectiveValues, ...] = ()
    drawn: tuple[FrontAxis, ...] = ()

    @property
    def allowed(self) -> NDArray[np.int64]:
        """Places of the nets that meet every limit; of all where none does."""
        meets = [place for place, row in enumerate(self.rows) if not row.rejected_by]
        return np.array(meets or range(len(self.rows)), dtype=np.int64)

    @property
    def axes(self) -> tuple[ObjectiveValues, ...]:
        """The objectives."""
        if self.objectives:
            return self.objectives
        return self.cost, *(ObjectiveValues(name, right_AN.mean(axis=1), True) for name, right_AN in self.metrics.items())


def evaluated(
    candidates: Sequence[Candidate],
    rows: Sequence[CandidateRow],
    labels_N: NDArray[np.int64],
    gene_names: Sequence[str],
    *,
    cost: str,
    limit: float | None,
    positive: tuple[str, int] | None,
    limited: Sequence[UpperLimit] = (),
    drawn: Sequence[FrontAxis] = (),
) -> Evaluated:
    """What a search has evaluated, as arrays; nets that have not seen all images are left out.

    Args:
        candidates: in order.
        rows: of the same nets.
        labels_N: of select.
        gene_names: of the space.
        cost: a cost of the rows.
        limit: on it.
        positive: name and index of the class that must not be missed.
        limited: what limits nets besides.
        drawn: axes of the picture, of all ``rows``; where several of them are objectives, these take the place of cost and metrics.
    """
    lines = [line for line, candidate in enumerate(candidates) if len(candidate.probabilities_NC) == len(labels_N)]
    whole, generations = [candidates[line] for line in lines], tuple(row.generation for row in rows)
    rows = [rows[line] for line in lines]
    right_AN = np.array([candidate.probabilities_NC.argmax(axis=1) == labels_N for candidate in whole], dtype=np.bool_)
    right_AN = right_AN.reshape(len(whole), len(labels_N))
    metrics = {TOP1: right_AN}
    if positive is not None and (labels_N == positive[1]).any():
        metrics[f"sensitivity[{positive[0]}]"] = right_AN[:, labels_N == positive[1]]
    genes_AG = np.array([candidate.genes for candidate in whole], dtype=np.int16)
    asked = tuple(_of_axis(axis, lines) for axis in drawn if axis.is_asked)
    return Evaluated(
        genes_AG=genes_AG,
        gene_names=tuple(gene_names),
        rows=tuple(rows),
        lines_A=np.array(lines, dtype=np.int64),
        generations=generations,
        metrics=metrics,
        positive=positive[0] if len(metrics) > 1 and positive is not None else None,
        cost=ObjectiveValues(cost, np.array([row.cost(cost) for row in rows], dtype=np.float64), False, limit),
        limited=tuple(ObjectiveValues(each.name, each.cost(genes_AG), False, each.limit) for each in limited) if whole else (),
        objectives=asked if len(asked) > 1 else (),
        drawn=tuple(drawn),
    )


def _of_axis(axis: FrontAxis, lines: Sequence[int]) -> ObjectiveValues:
    """The axis as nets are better or worse in it, of those nets alone."""
    return ObjectiveValues(axis.name, np.array(axis.values, dtype=np.float64)[lines], axis.maximize, axis.upper)


def analyse(nets: Evaluated, seed: int) -> SearchAnalysis:
    """Front, hypervolume, genes and prices; the same for the same nets and ``seed``."""
    rng = np.random.default_rng(seed)
    return SearchAnalysis(
        front=_front(nets),
        hypervolume=_hypervolume(nets),
        top=_top(nets),
        importance=tuple(_importance(nets, name, rng) for name in nets.metrics),
        prices=tuple(
            price for cost in (nets.cost, *nets.limited) for name in nets.metrics for price in _prices(nets, cost, name, rng)
        ),
    )


def _front(nets: Evaluated) -> FrontFacts:
    allowed_A, axes = nets.allowed, nets.axes
    losses_AO = np.stack([axis.losses[allowed_A] for axis in axes], axis=1)
    return FrontFacts(
        objectives=tuple(axis.name for axis in axes),
        rows=tuple(nets.lines_A[allowed_A[undominated_rows(losses_AO)]].tolist()),
        drawn=tuple(nets.lines_A[allowed_A[_drawn(nets)]].tolist()),
        num_images=nets.metrics[TOP1].shape[1],
        words={name: words for name in nets.metrics if (words := _too_few(nets, name)) is not None},
        axes=nets.drawn or None,
    )


def _drawn(nets: Evaluated) -> NDArray[np.int64]:
    """Which of the allowed nets no other one beats in what the picture shows, by its horizontal axis."""
    allowed_A = nets.allowed
    if not nets.drawn:
        return pareto_front(nets.cost.values_A[allowed_A], nets.metrics[TOP1][allowed_A].mean(axis=1))
    x, y = (_of_axis(axis, nets.lines_A[allowed_A].tolist()) for axis in nets.drawn[:2])
    unbeaten_A = undominated_rows(np.stack([x.losses, y.losses], axis=1))
    return unbeaten_A[::-1] if x.maximize else unbeaten_A


def _too_few(nets: Evaluated, name: str) -> str | None:
    """That the images of a metric cannot tell the ends of its front apart, in words; None where they can."""
    allowed_A = nets.allowed
    right_AN = nets.metrics[name][allowed_A]
    score_A = right_AN.mean(axis=1)
    front = pareto_front(nets.cost.values_A[allowed_A], score_A)
    p = ends_differ(right_AN, front)
    if len(allowed_A) < 2 or p <= MAX_P:
        return None
    num = right_AN.shape[1]
    gained = int(right_AN[front[-1]].sum() - right_AN[front[0]].sum())
    images = "image" if gained == 1 else "images"
    split = "select" if name == TOP1 else f"select's {name}"
    text = f"{split} is too small to tell nets apart: {num} images, one image = {100 / num:.2g} points;"
    levels = f"{len(allowed_A)} nets lie on {len(np.unique(score_A))} levels"
    return f"{text} {levels}, and the dearest net of the front is {gained} {images} better than the cheapest (p = {p:.2g})."


def _hypervolume(nets: Evaluated) -> HypervolumeFacts | None:
    """None where all nets are alike in some objective."""
    allowed_A, axes = nets.allowed, nets.axes
    losses_AO = np.stack([axis.losses[allowed_A] for axis in axes], axis=1)
    reference_O, ideal_O = losses_AO.max(axis=0), losses_AO.min(axis=0)
    for place, axis in enumerate(axes):
        if axis.limit is not None and not axis.maximize and axis.limit <= FAR * reference_O[place]:
            reference_O[place] = axis.limit
    box = float(np.prod(reference_O - ideal_O))
    if not (reference_O > ideal_O).all():
        return None
    generation_A = np.array([nets.rows[place].generation for place in allowed_A])
    of_all_A = np.array(nets.generations)
    rows = [
        HypervolumeRow(
            generation=int(generation),
            evaluated=int((of_all_A <= generation).sum()),
            share=hypervolume(losses_AO[generation_A <= generation], reference_O) / box,
        )
        for generation in np.unique(of_all_A)
    ]
    signs_O = [-1.0 if axis.maximize else 1.0 for axis in axes]
    return HypervolumeFacts(
        reference={axis.name: sign * float(worst) for axis, sign, worst in zip(axes, signs_O, reference_O, strict=True)},
        ideal={axis.name: sign * float(best) for axis, sign, best in zip(axes, signs_O, ideal_O, strict=True)},
        rows=tuple(rows),
    )


def _top(nets: Evaluated) -> TopNets | None:
    """The most accurate nets; of equal ones the cheaper first."""
    if nets.positive is None:
        return None
    order = np.lexsort((nets.cost.values_A, -nets.metrics[TOP1].mean(axis=1)))
    return TopNets(class_name=nets.positive, rows=tuple(nets.lines_A[order[:NUM_TOP]].tolist()))


def _importance(nets: Evaluated, name: str, rng: np.random.Generator) -> ImportanceFacts:
    values_A = nets.metrics[name].mean(axis=1)
    importance = gene_importance(nets.genes_AG, values_A, rng=rng)
    num = len(values_A)
    if importance is None:
        words = f"{num} nets, fewer than {MIN_NETS}" if num < MIN_NETS else "all nets are alike"
        return ImportanceFacts(metric=name, num_nets=num, r2=None, words=f"nothing is said of genes: {words}")
    r2 = importance.r2
    fit = f"r2 {r2.value:.2f} [{r2.low:.2f}, {r2.high:.2f}] on nets that were left out"
    if r2.low <= 0:
        return ImportanceFacts(metric=name, num_nets=num, r2=r2, words=f"nothing is said of genes: the model does not fit, {fit}")
    rows = tuple(ImportanceRow(gene=nets.gene_names[gene], drop=drop) for gene, drop in importance.drops.items())
    words = f"by a ridge regression of {num} nets, {fit}; the nets are those that the search chose to evaluate"
    return ImportanceFacts(metric=name, num_nets=num, r2=r2, words=words, rows=rows)


def _prices(nets: Evaluated, cost: ObjectiveValues, name: str, rng: np.random.Generator) -> list[PriceRow]:
    allowed_A = nets.allowed
    steps = price_steps(cost.values_A[allowed_A], nets.metrics[name][allowed_A], rng=rng)
    return [
        PriceRow(
            metric=name,
            cost=cost.name,
            first=int(nets.lines_A[allowed_A[step.first]]),
            second=int(nets.lines_A[allowed_A[step.second]]),
            extra=step.extra,
            start=float(cost.values_A[allowed_A[step.first]]),
            gain=step.gain,
            words=_words(step, cost.name, name),
            is_whole=step.is_whole,
        )
        for step in steps
    ]


def _words(step: Step, cost: str, metric: str) -> str:
    """E.g. ``+0.5 ms buys +0.4 points of top-1 [0.1, 0.8]``."""
    gain: Proportion = step.gain
    what = "top-1" if metric == TOP1 else f"the {metric}"
    span = f"[{100 * gain.low:.1f}, {100 * gain.high:.1f}]"
    unsure = ", or nothing" if gain.low <= 0 else ""
    along = "all along the front, " if step.is_whole else ""
    return f"{along}+{_amount(step.extra, cost)} buys {100 * gain.value:+.1f} points of {what} {span}{unsure}"


_UNITS = {"macs": "MACs", "params": "parameters", "reference_macs": "reference MACs"}
_PLAIN = {"memory_mb": "MB of memory", "depth": "blocks"}


def _amount(extra: float, cost: str) -> str:
    """A difference of costs with its unit."""
    if cost.startswith("latency_ms"):
        device = cost.removeprefix("latency_ms").strip("[]") if "[" in cost else ""
        return f"{extra:.2g} ms{f' on {device}' if device else ''}"
    if cost not in _UNITS:
        return f"{extra:.3g} {_PLAIN.get(cost, cost)}"
    unit = _UNITS[cost]
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if extra >= factor:
            return f"{extra / factor:.3g} {letter} {unit}"
    return f"{extra:.0f} {unit}"
