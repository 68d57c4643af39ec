"""What of a space a set of limits leaves, before anything is evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgenas.search.constraints import CostConstraint, CostLimit, total_violation
from edgenas.search.feasible_set import feasible_set
from edgenas.spaces import Genes, SearchSpace
from edgenas.stats import Proportion

ALIKE = 64  # rows drawn for each that cannot be repaired
FEW = 40_000  # draws after which nothing more is expected of others


@dataclass(frozen=True, slots=True)
class Feasibility:
    """How much of a space is left.

    Attributes:
        genes_AG: the rows looked at: the whole space, or a uniform sample with the two extremes.
        feasible_A: which of them meet every limit.
        is_exact: whether ``genes_AG`` is the whole space.
        rejected: per limit, how many rows break it.
        binding: limits that alone keep out some row.
        num_first: rows that a sample has before its draws: those that were repaired, then the ends of the space.
        is_mended: no other row meets the limits than rows that were changed until they do.
        counted: the feasible share of the space, where it was counted because a sample shows too little of it.
        impossible: limits that no net of the space meets, whatever the others: proven.
    """

    genes_AG: Genes
    feasible_A: NDArray[np.bool_]
    is_exact: bool
    rejected: Mapping[str, int]
    binding: tuple[str, ...]
    num_first: int = 0
    is_mended: bool = False
    counted: Proportion | None = None
    impossible: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Feasible share of the space where it was counted, else of the rows looked at, those that were repaired apart."""
        if self.counted is not None:
            return self.counted.value
        return 0.0 if self.is_mended else float(self.feasible_A.mean())


@dataclass(frozen=True, slots=True)
class Closest:
    """The net that comes nearest to a limit.

    Attributes:
        asked: the limit.
        achievable: the net's cost.
        genes_G: its row.
    """

    asked: float
    achievable: float
    genes_G: NDArray[np.int16]


def closest(limits: Sequence[CostLimit], survey: Feasibility) -> dict[str, Closest]:
    """The net that comes nearest to each limit that is missed, by its name; of those that meet the others where there are any.

    Where every limit can be met, but no two of them together, all are there.
    """
    result: dict[str, Closest] = {}
    missed: set[str] = set()
    for limit in limits:
        others = [other for other in limits if other is not limit]
        allowed_A = total_violation(others, survey.genes_AG) == 0
        rows_AG = survey.genes_AG[allowed_A] if allowed_A.any() else survey.genes_AG
        costs_A = limit.cost(rows_AG)
        best = int(np.argmin(limit.distance(costs_A)))
        is_missed = bool(limit.violation(rows_AG[best][None])[0] > 0)
        if is_missed or not allowed_A.any():
            result[limit.name] = Closest(limit.limit, float(costs_A[best]), rows_AG[best])
        missed |= {limit.name} if is_missed else set()
    return {name: near for name, near in result.items() if name in missed} if missed else result


def repair(
    space: SearchSpace,
    genes_AG: Genes,
    constraints: Sequence[CostConstraint],
    rng: np.random.Generator,
    *,
    max_steps: int = 64,
) -> Genes:
    """Change one gene at a time of every row that breaks a limit until it meets them all.

    Each step takes, of all single-gene changes, one drawn with a probability that grows with what it repairs. A row that is not
    repaired within ``max_steps`` or is stuck becomes the most alike of a few rows drawn from what the limits leave, brought as near
    to it as they allow; where nothing can be drawn, it is left out.

    Returns:
        The feasible rows, canonical, shape (archs <= given, genes).
    """
    mended = [
        row_G if excess == 0 else _mended(space, row_G, float(excess), constraints, rng, max_steps)
        for row_G, excess in zip(genes_AG, total_violation(constraints, genes_AG), strict=True)
    ]
    stuck = [number for number, row_G in enumerate(mended) if row_G is None]
    left = feasible_set(space, constraints) if stuck else None
    drawn_AG = left.draw(ALIKE * len(stuck), rng, most_tried=FEW) if left is not None else genes_AG[:0]
    if len(drawn_AG):
        wanted_AG = genes_AG[stuck]
        alike = [int(np.argmax((drawn_AG == row_G).sum(axis=1))) for row_G in wanted_AG]
        for number, row_G in zip(stuck, _towards(space, drawn_AG[alike], wanted_AG, constraints, rng), strict=True):
            mended[number] = row_G
    return np.array([row_G for row_G in mended if row_G is not None], dtype=np.int16).reshape(-1, space.num_genes)


def _mended(
    space: SearchSpace,
    row_G: NDArray[np.int16],
    excess: float,
    constraints: Sequence[CostConstraint],
    rng: np.random.Generator,
    max_steps: int,
) -> NDArray[np.int16] | None:
    """The row after changes of single genes; None if they do not repair it."""
    for _ in range(max_steps):
        neighbours_AG = neighbours(space, row_G)
        left_A = total_violation(constraints, neighbours_AG)
        gain_A = np.maximum(0.0, excess - left_A)
        if not gain_A.any():
            return None
        pick = int(rng.choice(len(gain_A), p=gain_A / gain_A.sum()))
        row_G, excess = neighbours_AG[pick], float(left_A[pick])
        if excess == 0:
            return row_G
    return None


def _towards(
    space: SearchSpace, feasible_AG: Genes, wanted_AG: Genes, constraints: Sequence[CostConstraint], rng: np.random.Generator
) -> Genes:
    """Feasible rows that took over gene after gene of the wanted ones, as far as they stay feasible."""
    near_AG = feasible_AG
    for column in rng.permutation(space.num_genes):
        takes_A = (near_AG[:, column] >= 0) & (wanted_AG[:, column] >= 0)
        tried_AG = near_AG.copy()
        tried_AG[takes_A, column] = wanted_AG[takes_A, column]
        tried_AG = space.canonical(tried_AG)
        near_AG = np.where((total_violation(constraints, tried_AG) == 0)[:, None], tried_AG, near_AG)
    return near_AG


def neighbours(space: SearchSpace, row_G: NDArray[np.int16]) -> Genes:
    """Every row that another option of one active gene makes, canonical."""
    columns, options = _changes(space)
    changes_A = (row_G[columns] >= 0) & (options != row_G[columns])
    rows_AG = np.repeat(row_G[None], int(changes_A.sum()), axis=0)
    rows_AG[np.arange(len(rows_AG)), columns[changes_A]] = options[changes_A]
    return space.canonical(rows_AG)


@lru_cache(maxsize=64)
def _changes(space: SearchSpace) -> tuple[NDArray[np.intp], NDArray[np.int16]]:
    """Every column with every option of it, column by column."""
    pairs = [(column, option) for column, choice in enumerate(space.choices) for option in range(len(choice.options))]
    columns, options = np.array(pairs, dtype=np.int16).T
    return columns.astype(np.intp), options
