"""Looking at a space under limits, whole or a sample of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgenas.search.constraints import CostConstraint, CostLimit, LowerLimit, UpperLimit, total_violation
from edgenas.search.extremes import best_within
from edgenas.search.feasibility import FEW, Feasibility, repair
from edgenas.search.feasible_set import FeasibleSet, extreme_rows, feasible_set
from edgenas.spaces import Genes, SearchSpace, unique_rows

MENDED = 64  # rows of a sample that come nearest to limits that none of it meets
ENOUGH = 100  # feasible rows of a sample from which on its share is precise enough
DRAWN = 256  # rows drawn from what limits leave


def survey(
    space: SearchSpace, constraints: Sequence[CostConstraint], rng: np.random.Generator, *, max_rows: int = 200_000
) -> Feasibility:
    """Judge the whole space when it has at most ``max_rows`` nets, else as many uniform draws and the extremes.

    Where a sample shows too little of what the limits leave, this is counted and drawn from directly. Where that finds nothing
    either, because several limits leave next to nothing together or none is on a sum of tables, the rows of the sample that come
    nearest are repaired gene by gene; where that fails, what breaks the limits least is looked for by evolution, which is no proof
    that nothing is left. Limits that no net of the space meets are proven to be, and what comes nearest to each limit is among the
    rows.
    """
    if space.cardinality <= max_rows:
        return _judged(constraints, space.enumerate(), is_exact=True)
    extremes_AG = np.concatenate([space.corners(largest=False), space.corners(largest=True)])
    genes_AG = np.concatenate([extremes_AG, space.sample(max_rows, rng)])
    sampled = replace(_judged(constraints, genes_AG, is_exact=False), num_first=len(extremes_AG))
    if sampled.feasible_A.sum() >= min(ENOUGH, max_rows // 2):
        return sampled
    left = feasible_set(space, constraints)
    if left is not None and left.programme is not None:
        drawn_AG = left.distinct(DRAWN, rng)
        if len(drawn_AG):
            return replace(_with_first(constraints, drawn_AG, sampled), counted=left.share(rng))
    if sampled.feasible_A.any():
        return sampled
    if left is None or left.programme is not None:
        mended_AG = _mended(space, constraints, sampled, rng)
        if len(mended_AG):
            return replace(_with_first(constraints, mended_AG, sampled), is_mended=True)
    return _with_nearest(space, constraints, sampled, left, rng)


def _judged(constraints: Sequence[CostConstraint], genes_AG: Genes, *, is_exact: bool) -> Feasibility:
    """Which rows meet the limits, and which limits keep out others."""
    broken_LA = np.array([c.violation(genes_AG) > 0 for c in constraints]).reshape(len(constraints), len(genes_AG))
    num_broken_A = broken_LA.sum(axis=0)
    names = [constraint.name for constraint in constraints]
    rejected = {name: int(broken_A.sum()) for name, broken_A in zip(names, broken_LA, strict=True)}
    alone = [name for name, broken_A in zip(names, broken_LA, strict=True) if (broken_A & (num_broken_A == 1)).any()]
    impossible = tuple(name for name, num in rejected.items() if num == len(genes_AG)) if is_exact else ()
    if len(genes_AG) and (num_broken_A > 0).all():
        alone += [name for name in impossible if name not in alone]
    return Feasibility(genes_AG, num_broken_A == 0, is_exact, rejected, tuple(alone), impossible=impossible)


def _with_first(constraints: Sequence[CostConstraint], first_AG: Genes, sampled: Feasibility) -> Feasibility:
    """The survey of a sample with other rows before it."""
    known = _judged(constraints, np.concatenate([first_AG, sampled.genes_AG]), is_exact=False)
    return replace(known, num_first=len(first_AG) + sampled.num_first)


def _with_nearest(
    space: SearchSpace,
    constraints: Sequence[CostConstraint],
    sampled: Feasibility,
    left: FeasibleSet | None,
    rng: np.random.Generator,
) -> Feasibility:
    """The survey that finds nothing, with the rows that come nearest to each limit: of all, and of those that meet the others."""
    nearest = [extreme_rows(space, constraints)]
    for limit in constraints:
        others = [other for other in constraints if other is not limit]
        if others and isinstance(limit, (UpperLimit, LowerLimit)):
            nearest.append(_nearest_with(space, limit, others, sampled, rng))
    known = _with_first(constraints, unique_rows(np.concatenate(nearest)), sampled)
    impossible = left.impossible if left is not None else ()
    binding = [*known.binding, *(name for name in impossible if name not in known.binding)]
    return replace(known, impossible=impossible, binding=tuple(binding))


def _nearest_with(
    space: SearchSpace, limit: CostLimit, others: Sequence[CostConstraint], sampled: Feasibility, rng: np.random.Generator
) -> Genes:
    """The row that comes nearest to a limit of those that meet the others, shape (1, genes); none where none is found."""
    left = feasible_set(space, others)
    if left is not None and left.programme is None:
        return sampled.genes_AG[:0]
    drawn_AG = sampled.genes_AG if left is None else np.concatenate([left.draw(DRAWN, rng, most_tried=FEW), sampled.genes_AG])
    row_G = best_within(
        space, others, [lambda genes_AG: -limit.distance(limit.cost(genes_AG))], _judged(others, drawn_AG, is_exact=False), rng
    )
    return sampled.genes_AG[:0] if row_G is None else row_G[None]


def _mended(
    space: SearchSpace, constraints: Sequence[CostConstraint], surveyed: Feasibility, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Distinct rows that meet limits which no row of a sample meets, shape (archs, genes); none where none is found."""
    nearest = np.argsort(total_violation(constraints, surveyed.genes_AG), kind="stable")[:MENDED]
    mended_AG = unique_rows(repair(space, surveyed.genes_AG[nearest], constraints, rng))
    if len(mended_AG):
        return mended_AG
    anything = replace(surveyed, feasible_A=np.ones_like(surveyed.feasible_A))
    least_G = best_within(space, (), [lambda genes_AG: -total_violation(constraints, genes_AG)], anything, rng)
    assert least_G is not None
    return least_G[None] if total_violation(constraints, least_G[None])[0] == 0 else mended_AG
