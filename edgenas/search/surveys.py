"""Looking at a space under limits, whole or a sample of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgenas.search.constraints import CostConstraint, total_violation
from edgenas.search.extremes import best_within
from edgenas.search.feasibility import Feasibility, repair
from edgenas.spaces import Genes, SearchSpace, unique_rows

MENDED = 64  # rows of a sample that come nearest to limits that none of it meets


def survey(
    space: SearchSpace, constraints: Sequence[CostConstraint], rng: np.random.Generator, *, max_rows: int = 200_000
) -> Feasibility:
    """Judge the whole space when it has at most ``max_rows`` nets, else as many uniform draws and the extremes.

    Limits that leave less than a sample shows, such as a narrow band between a lower and an upper one, are not given up at once:
    the rows of the sample that come nearest are mended gene by gene; where that fails, what breaks the limits least is looked for
    by evolution. Neither is a proof that nothing is left.
    """
    if space.cardinality <= max_rows:
        return _judged(constraints, space.enumerate(), is_exact=True)
    extremes_AG = np.concatenate([space.corners(largest=False), space.corners(largest=True)])
    genes_AG = np.concatenate([extremes_AG, space.sample(max_rows, rng)])
    sampled = replace(_judged(constraints, genes_AG, is_exact=False), num_first=len(extremes_AG))
    if sampled.feasible_A.any():
        return sampled
    mended_AG = _mended(space, constraints, sampled, rng)
    if len(mended_AG) == 0:
        return sampled
    known = _judged(constraints, np.concatenate([mended_AG, genes_AG]), is_exact=False)
    return replace(known, num_first=len(mended_AG) + len(extremes_AG), is_mended=True)


def _judged(constraints: Sequence[CostConstraint], genes_AG: Genes, *, is_exact: bool) -> Feasibility:
    """Which rows meet the limits, and which limits keep out others."""
    broken_LA = np.array([c.violation(genes_AG) > 0 for c in constraints]).reshape(len(constraints), len(genes_AG))
    num_broken_A = broken_LA.sum(axis=0)
    names = [constraint.name for constraint in constraints]
    rejected = {name: int(broken_A.sum()) for name, broken_A in zip(names, broken_LA, strict=True)}
    alone = [name for name, broken_A in zip(names, broken_LA, strict=True) if (broken_A & (num_broken_A == 1)).any()]
    return Feasibility(genes_AG, num_broken_A == 0, is_exact, rejected, tuple(alone))


def _mended(
    space: SearchSpace, constraints: Sequence[CostConstraint], found: Feasibility, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Distinct rows that meet limits which no row of a sample meets, shape (archs, genes); none where none is found."""
    nearest = np.argsort(total_violation(constraints, found.genes_AG), kind="stable")[:MENDED]
    mended_AG = unique_rows(repair(space, found.genes_AG[nearest], constraints, rng))
    if len(mended_AG):
        return mended_AG
    anything = replace(found, feasible_A=np.ones_like(found.feasible_A))
    least_G = best_within(space, (), [lambda genes_AG: -total_violation(constraints, genes_AG)], anything, rng)
    assert least_G is not None
    return least_G[None] if total_violation(constraints, least_G[None])[0] == 0 else mended_AG
