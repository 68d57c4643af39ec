"""Random search under hard limits, what every other algorithm has to beat (Li & Talwalkar, UAI 2019, arXiv:1902.07638)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgenas.search.base import Evaluator, EvolutionSettings, Generation, Score
from edgenas.search.constraints import CostConstraint, MetricConstraint
from edgenas.search.drawing import feasible_rows, given_rows, more_rows, unseen
from edgenas.search.enumeration import every_net, few_nets
from edgenas.search.judging import Judge
from edgenas.search.objectives import DEFAULT, Objective
from edgenas.search.progress import Search
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
    objectives: Sequence[Objective] = DEFAULT,
    score: Score | None = None,
) -> Iterator[Generation]:
    """Evaluate what the search starts with, then uniform draws that meet the limits, until the budget is spent.

    Arguments and errors are those of `edgenas.search.Algorithm`. Where too few draws meet the limits, others are repaired, as in
    the first population of an evolution; where no more nets than the budget meet them all are evaluated.
    """
    settings = settings if settings is not None else EvolutionSettings()
    judge = Judge(evaluate, labels_N, floors, objectives)
    few_AG = few_nets(space, constraints, settings.budget)
    if few_AG is not None:
        yield from every_net(space, judge, constraints, keep=settings.population, rows_AG=few_AG)
        return
    search = Search(judge, settings.population, num_generations=0)
    batches = list(given_rows(constraints, start or {}, settings.budget, search.seen))
    missing = settings.budget - sum(len(rows_AG) for _, rows_AG in batches)
    if missing > 0:
        draw = more_rows if batches else feasible_rows
        batches.append(("random", unseen(draw(space, constraints, rng, missing), search.seen)))
    yield from search.evaluated(0, batches)
