"""What a search starts from: hand-designed nets, those of most capacity within the limits, nets spread evenly over cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgenas.costs import decompose, shape_models
from edgenas.project.opening import Project
from edgenas.project.searching.budget import Budget
from edgenas.search import Feasibility, best_within, total_violation
from edgenas.search.proof_scores import HAND
from edgenas.spaces import Genes, unique_rows
from edgenas.spaces.designed import hand_designed
from edgenas.spaces.even import even_pool

CAPACITY_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of parameters beside MACs


def hand_designed_rows(project: Project) -> Genes:
    """Rows of the space's hand-designed nets."""
    return np.concatenate([project.space.from_json(arch) for arch in hand_designed(project.space)])


def first_population(project: Project, budget: Budget, hand_AG: Genes, found: Feasibility, population: int) -> dict[str, Genes]:
    """The first population by origin: hand-designed nets that meet the limits, those of most parameters and MACs within them, and
    nets spread evenly over cost and depth.
    """
    space = project.space

    def is_allowed(genes_AG: Genes) -> NDArray[np.bool_]:
        return np.asarray(total_violation(budget.limits, genes_AG) == 0)

    hand_AG = hand_AG[is_allowed(hand_AG)][: population // 2]
    depth = shape_models(decompose(space, space.default_task))["depth"]
    cost = budget.costs.get("latency_ms", budget.costs["macs"])
    pool = even_pool(space, cost, depth, np.random.default_rng(project.settings.search.seed), allowed=is_allowed)
    largest_AG = _of_most_capacity(budget, found, np.random.default_rng(project.settings.search.seed))[: population // 4]
    spread_AG = pool.spread(population - len(hand_AG) - len(largest_AG), np.random.default_rng(project.settings.search.seed))
    return {HAND: hand_AG, "capacity": largest_AG, "even": spread_AG}


def _of_most_capacity(budget: Budget, found: Feasibility, rng: np.random.Generator) -> Genes:
    """Distinct nets within the limits that have most MACs, most parameters, and most of both at several weights."""
    params, macs = budget.costs["params"], budget.costs["macs"]
    rows = []
    for share in CAPACITY_WEIGHTS:

        def both(genes_AG: Genes, share: float = share) -> NDArray[np.float64]:
            return np.asarray(share * np.log(params(genes_AG)) + (1 - share) * np.log(macs(genes_AG)))

        row_G = best_within(budget.space, budget.limits, [both], found, rng)
        rows += [row_G] if row_G is not None else []
    return unique_rows(np.array(rows, dtype=np.int16).reshape(-1, budget.space.num_genes))
