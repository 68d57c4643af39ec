"""Random search under hard limits, what every other algorithm has to beat (Li & Talwalkar, UAI 2019, arXiv:1902.07638)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgenas.search.base import PIECE, Candidate, Evaluator, EvolutionSettings, Generation
from edgenas.search.constraints import CostConstraint, MetricConstraint
from edgenas.search.drawing import feasible_rows, given_rows, unseen
from edgenas.search.enumeration import every_net
from edgenas.search.judging import Judge
from edgenas.spaces import Genes, SearchSpace


def random_search(
    space: SearchSpace,
    evaluate: Evaluator,
    labels_N: NDArray[np.int64],
    constraints: Sequence[CostConstraint],
    floors: Sequence[MetricConstraint] = (),
    *,
    rng: np.random.Generator,
    settings: EvolutionSettings | None = None,
    start: Mapping[str, Genes] | None = None,
) -> Iterator[Generation]:
    """Evaluate what the search starts with, then uniform draws that meet the limits, until the budget is spent.

    Arguments and errors are those of `edgenas.search.Algorithm`. Where too few draws meet the limits, others are mended, as in the
    first population of an evolution; a space no larger than the budget is enumerated.
    """
    settings = settings if settings is not None else EvolutionSettings()
    judge = Judge(evaluate, labels_N, floors)
    if space.cardinality <= settings.budget:
        yield from every_net(space, judge, constraints, keep=settings.population)
        return
    seen: set[bytes] = set()
    batches = list(given_rows(constraints, start or {}, settings.budget, seen))
    missing = settings.budget - sum(len(rows_AG) for _, rows_AG in batches)
    if missing > 0:
        batches.append(("random", unseen(feasible_rows(space, constraints, rng, missing), seen)))
    pieces = [(origin, rows_AG[i : i + PIECE]) for origin, rows_AG in batches for i in range(0, len(rows_AG), PIECE)]
    elite: list[Candidate] = []
    num_evaluated = 0
    for position, (origin, piece_AG) in enumerate(pieces, 1):
        fresh = judge(piece_AG, 0, origin)
        elite = sorted([*elite, *fresh], key=lambda candidate: candidate.rank)[: settings.population]
        num_evaluated += len(fresh)
        yield Generation(0, 0, tuple(fresh), tuple(elite), num_evaluated, position / len(pieces))
