"""Evaluating every feasible net of a small space; other algorithms do the same where the budget allows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import InfeasibleError, UsageError
from edgenas.search.base import Evaluator, EvolutionSettings, Generation, Score
from edgenas.search.constraints import CostConstraint, MetricConstraint, total_violation
from edgenas.search.drawing import given_rows, listed, unseen
from edgenas.search.feasible_set import feasible_set
from edgenas.search.judging import Judge
from edgenas.search.objectives import DEFAULT, Objective
from edgenas.search.progress import Search
from edgenas.spaces import Genes, SearchSpace

ENUMERATION = "enumeration"  # origin of nets that were evaluated because all are
ENUMERABLE = 200_000  # nets of a space that are looked at one by one to see how many of them limits leave
COUNTABLE = 4_000_000  # likewise where a user asks for all of them


def few_nets(space: SearchSpace, constraints: Sequence[CostConstraint], budget: int) -> Genes | None:
    """Every net that meets the limits where these are no more than the budget; None where they are more, or nobody counted.

    Raises:
        InfeasibleError: if none of a space that was looked at meets them.
    """
    feasible_AG = feasible_nets(space, constraints) if space.cardinality <= max(budget, ENUMERABLE) else _listed(space, constraints)
    return feasible_AG if feasible_AG is not None and len(feasible_AG) <= budget else None


def _listed(space: SearchSpace, constraints: Sequence[CostConstraint]) -> Genes | None:
    """Every net that meets the limits of a space too large to be looked at, where so few are left that they can be listed.

    Raises:
        InfeasibleError: if there is none.
    """
    left = feasible_set(space, constraints)
    every_AG = None if left is None else left.every()
    if every_AG is not None and len(every_AG) == 0:
        raise InfeasibleError(f"no architecture of {space.name} meets {listed(constraints)}")
    return every_AG


def feasible_nets(space: SearchSpace, constraints: Sequence[CostConstraint]) -> Genes:
    """Every net of the space that meets the limits, shape (archs, genes).

    Raises:
        InfeasibleError: if none does.
    """
    all_AG = space.enumerate()
    feasible_AG: Genes = all_AG[total_violation(constraints, all_AG) == 0]
    if len(feasible_AG) == 0:
        raise InfeasibleError(f"none of the {len(all_AG):,} architectures of {space.name} meets {listed(constraints)}")
    return feasible_AG


def every_net(
    space: SearchSpace, judge: Judge, constraints: Sequence[CostConstraint], *, keep: int, rows_AG: Genes | None = None
) -> Iterator[Generation]:
    """Evaluate every feasible net, as one generation; ``rows_AG`` are those, where they are known."""
    feasible_AG = feasible_nets(space, constraints) if rows_AG is None else rows_AG
    yield from Search(judge, keep, num_generations=0).evaluated(0, [(ENUMERATION, feasible_AG)])


def exhaustive(
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
    """Evaluate every net that meets the limits.

    Arguments are those of `edgenas.search.Algorithm`; nothing is drawn.

    Raises:
        UsageError: if these are more than the budget, with their number.
        InfeasibleError: if there is none.
    """
    settings = settings if settings is not None else EvolutionSettings()
    hint = "tighten the limits, raise search.num_generations, or take another algorithm"
    is_large = space.cardinality > max(settings.budget, COUNTABLE)
    feasible_AG = _listed(space, constraints) if is_large else feasible_nets(space, constraints)
    if feasible_AG is None:
        text = f"{space.name} has {space.cardinality} nets, too many to look at each"
        raise UsageError(f"{text}; the budget of this search is {settings.budget} evaluations", hint=hint)
    if len(feasible_AG) > settings.budget:
        text = f"{len(feasible_AG):,} nets of {space.name} meet the limits"
        raise UsageError(f"{text}, the budget of this search is {settings.budget} evaluations", hint=hint)
    seen: set[bytes] = set()
    batches = list(given_rows(constraints, start or {}, settings.budget, seen))
    search = Search(Judge(evaluate, labels_N, floors, objectives), settings.population, num_generations=0)
    yield from search.evaluated(0, [*batches, (ENUMERATION, unseen(feasible_AG, seen))])
