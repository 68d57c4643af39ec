"""Rows that a search starts with: given ones and random ones, all within the limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edgenas.errors import InfeasibleError
from edgenas.search.constraints import CostConstraint, total_violation
from edgenas.search.feasibility import repair
from edgenas.search.feasible_set import feasible_set
from edgenas.spaces import Genes, SearchSpace, unique_rows

_CHANGES, _WALKS = 2, 8  # genes that a step changes on average, and steps in a row that may find nothing


def given_rows(
    constraints: Sequence[CostConstraint], start: Mapping[str, Genes], num: int, seen: set[bytes]
) -> Iterator[tuple[str, Genes]]:
    """What the search is started with, by origin, as far as it is feasible and distinct; at most ``num`` rows."""
    for origin, rows_AG in start.items():
        feasible_AG = rows_AG[total_violation(constraints, rows_AG) == 0] if len(rows_AG) else rows_AG
        fresh_AG = unseen(feasible_AG[:num], seen) if len(feasible_AG) else feasible_AG
        if len(fresh_AG):
            num -= len(fresh_AG)
            yield origin, fresh_AG


def feasible_rows(space: SearchSpace, constraints: Sequence[CostConstraint], rng: np.random.Generator, num: int) -> Genes:
    """Distinct feasible rows, uniform over what the limits leave, as far as that can be had.

    Draws from the whole space where enough of them meet the limits, else draws from what the limits leave; where these are too few,
    because several limits leave next to nothing together, or none is on a sum of tables, others are repaired, and those found
    changed a little.

    Raises:
        InfeasibleError: if no row is found.
    """
    drawn_AG = unique_rows(space.sample(num * 40, rng))
    feasible_AG = drawn_AG[total_violation(constraints, drawn_AG) == 0][:num]
    left = feasible_set(space, constraints) if len(feasible_AG) < num else None
    if left is not None and left.programme is None:
        raise InfeasibleError(f"no architecture of {space.name} meets {listed(constraints)}")
    if left is not None:
        more_AG = left.distinct(num, rng)
        feasible_AG = more_AG if len(more_AG) >= len(feasible_AG) else feasible_AG
    if len(feasible_AG) < num and not (left is not None and left.is_listable):
        near_AG = drawn_AG if left is None else np.concatenate([left.near(2 * num, rng), drawn_AG])
        feasible_AG = unique_rows(np.concatenate([feasible_AG, _mended(space, constraints, near_AG, feasible_AG, rng, num)]))[:num]
        feasible_AG = _walked(space, constraints, feasible_AG, rng, num)
    if len(feasible_AG) == 0:
        raise InfeasibleError(
            f"none of {len(drawn_AG)} random architectures of {space.name} can be made to meet {listed(constraints)}"
        )
    return np.asarray(feasible_AG, dtype=np.int16)


def _mended(
    space: SearchSpace,
    constraints: Sequence[CostConstraint],
    drawn_AG: Genes,
    feasible_AG: Genes,
    rng: np.random.Generator,
    num: int,
) -> Genes:
    """Rows that were changed until they meet the limits."""
    mended_AG = repair(space, np.concatenate([drawn_AG[: 2 * num], space.corners(largest=False)]), constraints, rng)
    if len(feasible_AG) == 0 and len(mended_AG) == 0:  # a lower limit: from above
        nearest = np.argsort(total_violation(constraints, drawn_AG), kind="stable")[: 2 * num]
        mended_AG = repair(space, np.concatenate([drawn_AG[nearest], space.corners(largest=True)]), constraints, rng)
    return mended_AG


def _walked(
    space: SearchSpace, constraints: Sequence[CostConstraint], known_AG: Genes, rng: np.random.Generator, num: int
) -> Genes:
    """The known feasible rows, and others a few genes away from them, until there are ``num`` or walks find nothing for long."""
    walks, first_AG = 0, known_AG
    while 0 < len(known_AG) < num and walks < _WALKS:
        parents_AG = known_AG[rng.integers(len(known_AG), size=8 * num)]
        children_AG = space.mutate(parents_AG, rng, prob=min(1.0, _CHANGES / space.num_genes))
        children_AG = children_AG[total_violation(constraints, children_AG) == 0]
        found_AG = unique_rows(np.concatenate([known_AG, children_AG]))
        walks = walks + 1 if len(found_AG) == len(known_AG) else 0
        known_AG = found_AG
    if known_AG is first_AG or len(known_AG) <= num:
        return known_AG
    return known_AG[np.sort(rng.permutation(len(known_AG))[:num])]


def more_rows(space: SearchSpace, constraints: Sequence[CostConstraint], rng: np.random.Generator, num: int) -> Genes:
    """As `feasible_rows`; none where none is found, for a search that has nets already."""
    try:
        return feasible_rows(space, constraints, rng, num)
    except InfeasibleError:
        return np.empty((0, space.num_genes), dtype=np.int16)


def listed(constraints: Sequence[CostConstraint]) -> str:
    """Constraints in words."""
    return ", ".join(str(constraint) for constraint in constraints)


def unseen(rows_AG: Genes, seen: set[bytes]) -> Genes:
    """The distinct rows that are not among ``seen``, in the order of their genes; they are added to it."""
    rows_AG = unique_rows(rows_AG)
    new = [row for row in rows_AG if row.tobytes() not in seen]
    seen.update(row.tobytes() for row in new)
    return np.array(new, dtype=np.int16).reshape(-1, rows_AG.shape[1])
