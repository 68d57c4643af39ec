"""The axes that a search for something else than accuracy is drawn on.

Two objectives are drawn over each other, of more the first to be large over the first to be small; one alone is drawn with the cost
or the accuracy that it is paid with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgenas.project.searching.question import Question
from edgenas.records import CandidateRow, FrontAxis
from edgenas.search import Accuracy, Candidate, CostObjective, Objective, Sensitivity, UpperLimit
from edgenas.search.objectives import DEFAULT


def axes_of(question: Question, candidates: Sequence[Candidate], rows: Sequence[CandidateRow]) -> tuple[FrontAxis, ...]:
    """The horizontal axis, the vertical one, and the other objectives as they were asked for; none for accuracy alone.

    Args:
        question: with its objectives and limits.
        candidates: all that were evaluated.
        rows: of the same nets.
    """
    if question.objectives == DEFAULT:
        return ()
    genes_AG = np.array([candidate.genes for candidate in candidates], dtype=np.int16).reshape(len(candidates), -1)
    return tuple(_axis(question, objective, genes_AG, rows) for objective in _in_order(question))


def _in_order(question: Question) -> list[Objective]:
    """The objectives, or one and what it is drawn with: what lies on the horizontal axis, on the vertical one, the others."""
    asked = list(question.objectives)
    if len(asked) == 1:
        return [asked[0], Accuracy()] if isinstance(asked[0], CostObjective) else [_main_cost(question), asked[0]]
    large, small = ([each for each in asked if each.maximize is way] for way in (True, False))
    x, y = (small[0], large[0]) if large and small else (asked[0], asked[1])
    if not small and not isinstance(asked[0], CostObjective):
        x, y = asked[1], asked[0]  # the first metric upwards
    return [x, y, *(each for each in asked if each not in (x, y))]


def _main_cost(question: Question) -> CostObjective:
    """The first device's latency, else MACs."""
    devices = question.costing.devices
    return CostObjective(devices[0].name, devices[0].limited) if devices else CostObjective("macs", question.costing.costs.macs)


def _axis(question: Question, objective: Objective, genes_AG: NDArray[np.int16], rows: Sequence[CandidateRow]) -> FrontAxis:
    upper, lower = _limits(question, objective)
    return FrontAxis(
        name=objective.name,
        maximize=objective.maximize,
        values=_values(objective, genes_AG, rows),
        upper=upper,
        lower=lower,
        is_bound=any(device.name == objective.name and device.bound is not None for device in question.costing.devices),
        is_asked=objective in question.objectives,
    )


def _values(objective: Objective, genes_AG: NDArray[np.int16], rows: Sequence[CandidateRow]) -> tuple[float, ...]:
    """The objective of every net, on the images of select that it has seen; 0 for a class that has none there."""
    if isinstance(objective, Sensitivity):
        shares = [row.sensitivity[objective.class_name] for row in rows]
        return tuple(share.value if share.n else 0.0 for share in shares)
    if isinstance(objective, CostObjective):
        return tuple(np.asarray(objective.cost(genes_AG), dtype=np.float64).tolist())
    return tuple(row.top1 for row in rows)


def _limits(question: Question, objective: Objective) -> tuple[float | None, float | None]:
    """The upper and the lower limit on the quantity itself: not a floor that a threshold of every net's own is held against."""
    if isinstance(objective, Sensitivity):
        floors = {each.name: each.floor for each in question.floors if each.confidence is None}
        return None, floors.get(objective.name)
    above: Mapping[str, float] = {each.name: each.limit for each in question.costing.limits if isinstance(each, UpperLimit)}
    below = {getattr(each, "quantity", None): each.limit for each in question.costing.limits if not isinstance(each, UpperLimit)}
    return above.get(objective.name), below.get(objective.name)
