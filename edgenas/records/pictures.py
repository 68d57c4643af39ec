"""What pictures show; `edgenas.report` draws them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgenas.records.candidates import CandidateRow
from edgenas.records.compare import CompareResult
from edgenas.records.fidelity import FidelityReport
from edgenas.records.search_analysis import FrontAxis, SearchAnalysis


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoPicture:
    """Accuracy over cost of the nets of a search, or the objectives that it was asked for.

    Attributes:
        rows: candidates as in `search.jsonl`.
        front: indices of the Pareto set of what is drawn, by the horizontal axis.
        cost: of ``rows``, on the horizontal axis where ``axes`` are not given.
        limit: of that cost, drawn as a line; None without one.
        winner: one of ``rows``, with what was measured of it; None without one.
        title: above the plot.
        words: below the title, e.g. that the images are too few to tell nets apart; None for nothing.
        axes: the horizontal one, the vertical one, then other objectives, of which colours tell the first; none for accuracy.
        asked: objectives in words, e.g. ``min latency_ms``; none for accuracy.
        unbeaten: indices of the nets that no other beats in all of more than two objectives.
    """

    rows: tuple[CandidateRow, ...]
    front: tuple[int, ...]
    cost: str
    limit: float | None
    winner: CandidateRow | None
    title: str
    words: str | None = None
    axes: tuple[FrontAxis, ...] = ()
    asked: tuple[str, ...] = ()
    unbeaten: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisPicture:
    """One part of what the nets of a search say together.

    Attributes:
        part: which.
        analysis: all of it.
        rows: candidates as in `search.jsonl`.
        cost: of ``rows``, whose front it is.
        winner: one of ``rows``, with what was measured of it; None without one.
        title: above the plot.
    """

    part: Literal["hypervolume", "top", "importance", "prices"]
    analysis: SearchAnalysis
    rows: tuple[CandidateRow, ...]
    cost: str
    winner: CandidateRow | None
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPicture:
    """How a training went.

    Attributes:
        epochs: 1, 2, ...
        loss: mean over each of these epochs.
        select: accuracies on select, fractions by epoch, by what was judged.
        title: above the panels.
        learning_rate: of the last step of each of these epochs; empty where the log does not say.
        spread: standard deviation of the accuracies in the ``random set`` of ``select``, by epoch.
    """

    epochs: tuple[int, ...]
    loss: tuple[float, ...]
    select: Mapping[str, Mapping[int, float]]
    title: str
    learning_rate: tuple[float, ...] = ()
    spread: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FidelityPicture:
    """What nets are worth alone over what they were with the supernet's weights.

    Attributes:
        report: with one row a net.
        title: above the plot.
    """

    report: FidelityReport
    title: str


@dataclass(frozen=True, slots=True)
class ComparePicture:
    """Nets of a comparison: accuracy, and the positive class's sensitivity, over measured latency.

    Attributes:
        result: with one row a net.
        title: above the plot.
    """

    result: CompareResult
    title: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SamplePair:
    """One image of a data set.

    Attributes:
        class_name: its label's.
        image: its id.
        words: what its file holds.
        before_HW3: as the file shows it.
        after_HW3: pixels that a net reads, before they are normalised.
    """

    class_name: str
    image: str
    words: str
    before_HW3: NDArray[np.uint8]
    after_HW3: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SamplePicture:
    """Images of every class before and after preprocessing.

    Attributes:
        pairs: those of a class one after another.
        title: the source's name.
        how: what preprocessing does, in words.
        num_more: classes that are not shown.
    """

    pairs: tuple[SamplePair, ...]
    title: str
    how: str
    num_more: int = 0
