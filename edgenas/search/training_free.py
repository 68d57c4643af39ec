"""Search by a training-free indicator: many nets are scored, the best of them evaluated.

TF-TAS (Zhou et al., CVPR 2022, arXiv:2203.12217, section 4) draws 8,000 nets within a window of parameters, scores each by DSS and
takes the best. Deviations: no net is drawn twice; not the best alone is evaluated, but as many as the budget allows, in the order
of their scores, so that what the indicator says can be compared with what nets are worth; where no more nets than the budget meet
the limits all are evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import UsageError
from edgenas.search.base import Evaluator, EvolutionSettings, Generation, Score
from edgenas.search.constraints import CostConstraint, MetricConstraint
from edgenas.search.drawing import feasible_rows, given_rows
from edgenas.search.enumeration import every_net, few_nets
from edgenas.search.judging import Judge
from edgenas.search.objectives import DEFAULT, Objective
from edgenas.search.progress import Search
from edgenas.spaces import Genes, SearchSpace

SCORED = 64  # nets scored between two records
SCORING = 0.5  # share of the last generation that scoring counts for


def training_free(
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
    """Evaluate what the search starts with, then the best by ``score`` of ``num_samples`` nets, until the budget is spent.

    Arguments and errors are those of `edgenas.search.Algorithm`.

    Raises:
        UsageError: if no score is given.
    """
    if score is None:
        raise UsageError("a training-free search needs a score", hint="give score, e.g. of edgenas.proxies")
    settings = settings if settings is not None else EvolutionSettings()
    judge = Judge(evaluate, labels_N, floors, objectives)
    few_AG = few_nets(space, constraints, settings.budget)
    if few_AG is not None:
        yield from every_net(space, judge, constraints, keep=settings.population, rows_AG=few_AG)
        return
    search = Search(judge, settings.population, num_generations=1)
    given = list(given_rows(constraints, start or {}, settings.budget, search.seen))
    drawn_AG = feasible_rows(space, constraints, rng, settings.num_samples)
    yield from search.evaluated(0, given)
    drawn_AG = np.array([row_G for row_G in drawn_AG if row_G.tobytes() not in search.seen], dtype=np.int16)
    scores: list[NDArray[np.float64]] = []
    for first in range(0, len(drawn_AG), SCORED):
        scores.append(score(drawn_AG[first : first + SCORED]))
        yield search.waited(1, SCORING * min(1.0, (first + SCORED) / len(drawn_AG)))
    order_A = np.argsort(-np.concatenate([np.empty(0), *scores]), kind="stable")
    best_AG = drawn_AG.reshape(-1, space.num_genes)[order_A[: settings.budget - len(search.candidates)]]
    yield from search.evaluated(1, [("training-free", best_AG)], begun=SCORING)
