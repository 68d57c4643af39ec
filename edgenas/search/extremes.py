"""The net that limits allow and that has most (or least) of something a formula tells, such as MACs or depth.

A space that was surveyed whole is decided by enumeration, exactly. Any other is searched by evolution over the cost tables, which
takes no training and judges a million nets in a second, and ends with an exchange of two genes at a time; it can miss the best net.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.search.constraints import CostConstraint, total_violation
from edgenas.search.feasibility import Feasibility, neighbours, repair
from edgenas.spaces import Genes, SearchSpace, unique_rows

Magnitude = Callable[[Genes], NDArray[np.float64]]

POPULATION = 256
OFFSPRING = 2048
GENERATIONS = 60
PATIENCE = 10  # generations without a better net
REPAIRED = 32  # nets that break limits a little, repaired at the start


def best_within(
    space: SearchSpace,
    limits: Sequence[CostConstraint],
    magnitudes: Sequence[Magnitude],
    surveyed: Feasibility,
    rng: np.random.Generator,
) -> NDArray[np.int16] | None:
    """The row that meets all limits and is largest in the first magnitude, of equal ones in the next, and so on.

    Args:
        space: of the rows.
        limits: on costs.
        magnitudes: of whole matrices of genes; most important first.
        surveyed: the survey of these limits.
        rng: of the evolution; an exact answer needs none.

    Returns:
        Shape (genes,); None if no row is known that meets the limits.
    """
    feasible_AG = surveyed.genes_AG[surveyed.feasible_A]
    if surveyed.is_exact:
        return _ranked(feasible_AG, magnitudes)[0] if len(feasible_AG) else None
    start_AG = _start(space, limits, magnitudes, surveyed, rng)
    if len(start_AG) == 0:
        return None
    elite_AG = _evolved(space, limits, magnitudes, start_AG, rng)
    best_G: NDArray[np.int16] = _climbed(space, limits, magnitudes, elite_AG[0])
    return best_G


def _ranked(genes_AG: Genes, magnitudes: Sequence[Magnitude]) -> Genes:
    """Best first; rows that are equal in everything in the order of their genes, so that draws do not matter."""
    keys: list[NDArray[Any]] = [genes_AG[:, column] for column in reversed(range(genes_AG.shape[1]))]
    keys += [-magnitude(genes_AG) for magnitude in reversed(magnitudes)]
    return genes_AG[np.lexsort(keys)]


def _start(
    space: SearchSpace,
    limits: Sequence[CostConstraint],
    magnitudes: Sequence[Magnitude],
    surveyed: Feasibility,
    rng: np.random.Generator,
) -> Genes:
    feasible_AG = _ranked(surveyed.genes_AG[surveyed.feasible_A], magnitudes)[:POPULATION]
    rest_AG = surveyed.genes_AG[~surveyed.feasible_A]
    nearest = np.argsort(total_violation(limits, rest_AG), kind="stable")[:REPAIRED]
    return unique_rows(np.concatenate([feasible_AG, repair(space, rest_AG[nearest], limits, rng)]))


def _evolved(
    space: SearchSpace, limits: Sequence[CostConstraint], magnitudes: Sequence[Magnitude], elite_AG: Genes, rng: np.random.Generator
) -> Genes:
    """The best rows after generations of mutation and crossover; what breaks a limit is dropped."""
    waited = 0
    elite_AG = _ranked(elite_AG, magnitudes)
    for _ in range(GENERATIONS):
        best_G = elite_AG[0]
        parents_AG = elite_AG[rng.integers(len(elite_AG), size=OFFSPRING)]
        others_AG = elite_AG[rng.integers(len(elite_AG), size=OFFSPRING)]
        mutants_AG = space.mutate(parents_AG, rng, prob=float(rng.choice([1.0, 2.0, 4.0])) / space.num_genes)
        fresh_AG = np.concatenate([mutants_AG, space.crossover(parents_AG, others_AG, rng)])
        fresh_AG = fresh_AG[total_violation(limits, fresh_AG) == 0]
        elite_AG = _ranked(unique_rows(np.concatenate([elite_AG, fresh_AG])), magnitudes)[:POPULATION]
        waited = waited + 1 if (elite_AG[0] == best_G).all() else 0
        if waited == PATIENCE:
            break
    return elite_AG


def _climbed(
    space: SearchSpace, limits: Sequence[CostConstraint], magnitudes: Sequence[Magnitude], best_G: NDArray[np.int16]
) -> NDArray[np.int16]:
    """The best that changing one gene or two at a time leads to."""
    while True:
        singles_AG = neighbours(space, best_G)
        pairs_AG = np.concatenate([neighbours(space, row_G) for row_G in singles_AG]) if len(singles_AG) else singles_AG
        around_AG = unique_rows(np.concatenate([best_G[None], singles_AG, pairs_AG]))
        around_AG = around_AG[total_violation(limits, around_AG) == 0]
        better_G = _ranked(around_AG, magnitudes)[0]
        if all((magnitude(better_G[None]) == magnitude(best_G[None])).all() for magnitude in magnitudes):
            return best_G
        best_G = better_G
