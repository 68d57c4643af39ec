"""Rows that a search starts with: given ones and random ones, all within the limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edgenas.errors import InfeasibleError
from edgenas.search.constraints import CostConstraint, total_violation
from edgenas.search.feasibility import repair
from edgenas.spaces import Genes, SearchSpace, unique_rows


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
    """Distinct feasible rows: uniform draws, repaired ones where too few of them are feasible."""
    drawn_AG = unique_rows(space.sample(num * 40, rng))
    feasible_AG = drawn_AG[total_violation(constraints, drawn_AG) == 0][:num]
    if len(feasible_AG) < num:
        smallest_AG = space.corners(largest=False)
        mended_AG = repair(space, np.concatenate([drawn_AG[: 2 * num], smallest_AG]), constraints, rng)
        if len(feasible_AG) == 0 and len(mended_AG) == 0:  # a lower limit: from above
            nearest = np.argsort(total_violation(constraints, drawn_AG), kind="stable")[: 2 * num]
            largest_AG = space.corners(largest=True)
            mended_AG = repair(space, np.concatenate([drawn_AG[nearest], largest_AG]), constraints, rng)
        feasible_AG = unique_rows(np.concatenate([feasible_AG, mended_AG]))[:num]
    if len(feasible_AG) == 0:
        raise InfeasibleError(
            f"none of {len(drawn_AG)} random architectures of {space.name} can be made to meet {listed(constraints)}"
        )
    return np.asarray(feasible_AG, dtype=np.int16)


def listed(constraints: Sequence[CostConstraint]) -> str:
    """Constraints in words."""
    return ", ".join(str(constraint) for constraint in constraints)


def unseen(rows_AG: Genes, seen: set[bytes]) -> Genes:
    """The distinct rows that are not among ``seen``, in the order of their genes; they are added to it."""
    rows_AG = unique_rows(rows_AG)
    new = [row for row in rows_AG if row.tobytes() not in seen]
    seen.update(row.tobytes() for row in new)
    return np.array(new, dtype=np.int16).reshape(-1, rows_AG.shape[1])
