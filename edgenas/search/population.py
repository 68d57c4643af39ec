"""What a search starts from: hand-designed nets, those of most capacity within the limits, nets spread evenly over cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from edgenas.costs import CostModels, decompose, shape_models
from edgenas.search.constraints import CostConstraint, UpperLimit, total_violation
from edgenas.search.extremes import best_within
from edgenas.search.feasibility import Feasibility
from edgenas.search.feasible_set import feasible_set
from edgenas.search.limits import LATENCY
from edgenas.search.proof_scores import HAND
from edgenas.spaces import Genes, SearchSpace, unique_rows
from edgenas.spaces.even import even_pool

EVEN = "even"  # origin of nets that are spread over cost
KNOWN = 8192  # rows drawn from what limits leave, where draws from the whole space would miss it
CAPACITY_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of parameters beside MACs
ROOMS = (1.0, 0.95, 0.9)  # of limits on latency: a net at the limit may measure beyond it, and those a little below learn as well


def first_population(
    space: SearchSpace,
    costs: CostModels,
    limits: Sequence[CostConstraint],
    hand_AG: Genes,
    surveyed: Feasibility,
    *,
    population: int,
    seed: int,
) -> dict[str, Genes]:
    """The first population by origin: hand-designed nets that meet the limits, those of most parameters and MACs within them, and
    nets spread evenly over cost and depth.

    Args:
        space: that is searched.
        costs: ``params``, ``macs`` and, with a table, ``latency_ms``, over which nets are spread.
        limits: that all of them meet.
        hand_AG: rows of hand-designed nets; where there are more than have room, some of all over the list are taken, which goes by
            kinds and sides of images.
        surveyed: by `survey`.
        population: rows wanted; hand-designed nets are half of them at most, those of most capacity a quarter, the ones at the
            limits first, then those a little below the limits on latency.
        seed: of the draws.
    """

    def is_allowed(genes_AG: Genes) -> NDArray[np.bool_]:
        return np.asarray(total_violation(limits, genes_AG) == 0)

    hand_AG = _some_of(hand_AG[is_allowed(hand_AG)], population // 2)
    depth = shape_models(decompose(space, space.default_task)).depth
    cost = costs.latency_or_macs
    left = feasible_set(space, limits) if surveyed.counted is not None else None
    known_AG = None if left is None else left.distinct(KNOWN, np.random.default_rng(seed))
    pool = even_pool(space, cost, depth, np.random.default_rng(seed), allowed=is_allowed, known_AG=known_AG)
    largest_AG = _of_most_capacity(space, costs, limits, surveyed, np.random.default_rng(seed))[: population // 4]
    spread_AG = pool.spread(population - len(hand_AG) - len(largest_AG), np.random.default_rng(seed))
    return {HAND: hand_AG, "capacity": largest_AG, EVEN: spread_AG}


def _some_of(rows_AG: Genes, num: int) -> Genes:
    """So many rows at most, in order and equally far apart, the first among them."""
    places = np.arange(len(rows_AG)) if len(rows_AG) <= num else np.arange(num) * len(rows_AG) // max(1, num)
    chosen_AG: Genes = rows_AG[places]
    return chosen_AG


def _of_most_capacity(
    space: SearchSpace,
    costs: CostModels,
    limits: Sequence[CostConstraint],
    surveyed: Feasibility,
    rng: np.random.Generator,
) -> Genes:
    """Distinct nets within the limits, then within less of the latency, that have most MACs, most parameters, and most of both at
    several weights.
    """
    params, macs = costs.params, costs.macs
    rows = []
    for tighter, share in product(_with_rooms(limits), CAPACITY_WEIGHTS):

        def both(genes_AG: Genes, share: float = share) -> NDArray[np.float64]:
            return np.asarray(share * np.log(params(genes_AG)) + (1 - share) * np.log(macs(genes_AG)))

        within = replace(surveyed, feasible_A=total_violation(tighter, surveyed.genes_AG) == 0)
        row_G = best_within(space, tighter, [both], within, rng)
        rows += [row_G] if row_G is not None else []
    return unique_rows(np.array(rows, dtype=np.int16).reshape(-1, space.num_genes))


def _with_rooms(limits: Sequence[CostConstraint]) -> list[list[CostConstraint]]:
    """The limits, then with less and less of those on latency; once where there are none."""
    tighter = [[_with_room(limit, room) for limit in limits] for room in ROOMS]
    return tighter if tighter[-1] != list(limits) else tighter[:1]


def _with_room(limit: CostConstraint, room: float) -> CostConstraint:
    if isinstance(limit, UpperLimit) and limit.name.startswith(LATENCY):
        return replace(limit, limit=room * limit.limit)
    return limit
