"""What can be read off the nets that a search has evaluated: the front, its growth, the genes that decide, what more cost buys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from edgenas.records.codec import OMITTED, JsonRecord
from edgenas.records.proportion import Proportion


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontAxis(JsonRecord):
    """A quantity that the picture of a search for something else than accuracy shows.

    Attributes:
        name: of an objective, e.g. ``sensitivity[covid-19]``, ``latency_ms[jetson]``, ``params``.
        maximize: whether larger is better.
        values: of every line of `search.jsonl`; shares are fractions.
        upper, lower: limits on it; None without.
        is_bound: whether the values are upper bounds on a latency instead of predictions.
        is_asked: whether it is an objective; else it is what one objective is drawn against.
    """

    name: str
    maximize: bool
    values: tuple[float, ...]
    upper: float | None = None
    lower: float | None = None
    is_bound: bool = False
    is_asked: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontFacts(JsonRecord):
    """The nets that no other beats in every objective, of those that meet all limits.

    Attributes:
        objectives: by name.
        rows: lines of `search.jsonl`, counted from 0, the best in the first objective first.
        drawn: likewise the nets that no other beats in the picture's two axes, along the first: cost and accuracy, or ``axes``.
        num_images: of select, that nets were judged on.
        words: by metric, that these images are too few to tell the nets of its front apart; of those alone where they are.
        axes: of the picture where more than accuracy was asked for: the horizontal one, the vertical one, other objectives.
    """

    objectives: tuple[str, ...]
    rows: tuple[int, ...]
    drawn: tuple[int, ...]
    num_images: int
    words: Mapping[str, str] = field(default_factory=dict)
    axes: Annotated[tuple[FrontAxis, ...] | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HypervolumeRow(JsonRecord):
    """How far a search had come after a generation.

    Attributes:
        evaluated: nets so far.
        share: of the box between the reference and the ideal point that some net dominates.
    """

    generation: int
    evaluated: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HypervolumeFacts(JsonRecord):
    """The hypervolume of all nets that meet the limits, generation after generation.

    Attributes:
        reference: by objective, the worst that was evaluated; of the cost the limit, where that is not far beyond.
        ideal: by objective, the best that was evaluated.
    """

    reference: Mapping[str, float]
    ideal: Mapping[str, float]
    rows: tuple[HypervolumeRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopNets(JsonRecord):
    """Accuracy against the sensitivity of a class.

    Attributes:
        class_name: the positive class.
        rows: lines of `search.jsonl`, counted from 0, the most accurate first.
    """

    class_name: str
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportanceRow(JsonRecord):
    """One gene: by how much the model's r2 falls when it is shuffled."""

    gene: str
    drop: Proportion


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportanceFacts(JsonRecord):
    """Which genes decide a metric.

    Attributes:
        metric: ``top1`` or ``sensitivity[CLASS]``.
        num_nets: that the model was fitted on.
        r2: of nets that were left out; None where no model was fitted.
        rows: by gene, the most important first; empty where the model says nothing.
        words: how far it is to be trusted.
    """

    metric: str
    num_nets: int
    r2: Proportion | None
    words: str
    rows: tuple[ImportanceRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRow(JsonRecord):
    """What a step along the front costs and buys.

    Attributes:
        metric: ``top1`` or ``sensitivity[CLASS]``.
        cost: e.g. ``latency_ms_predicted``, or a limit's name, e.g. ``params``.
        first, second: lines of `search.jsonl`, counted from 0.
        extra: cost of the second minus that of the first, in the cost's unit.
        gain: of the metric, paired on select.
        words: the same to read.
        is_whole: from the cheapest net of the front to the best, over several steps.
        start: cost of the first.
    """

    metric: str
    cost: str
    first: int
    second: int
    extra: float
    gain: Proportion
    words: str
    is_whole: bool = False
    start: Annotated[float | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchAnalysis(JsonRecord):
    """What the nets that a search has evaluated say together.

    Attributes:
        top: None without a positive class.
        importance: one a metric.
        prices: steps along the front of each metric and the first cost, then of each metric and every other cost that is limited.
    """

    front: FrontFacts
    hypervolume: HypervolumeFacts | None
    top: TopNets | None = None
    importance: tuple[ImportanceFacts, ...] = field(default=())
    prices: tuple[PriceRow, ...] = field(default=())
