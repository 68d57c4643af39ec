"""Nets of a space drawn evenly over what they cost and how deep they are, instead of evenly over their names.

Most nets of a space are of middling cost and nearly as deep as possible, because deep nets have more genes: of `pvt-elastic-nano`,
86 % have 8 or 9 of 9 blocks. What a device can afford is often among the few others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenas.spaces.base import RESOLUTION, Genes, SearchSpace
from edgenas.spaces.rows import unique_rows

Cost = Callable[[Genes], NDArray[np.float64]]

POOL = 30_000  # rows drawn, half of them tilted
NUM_COSTS = 16  # equal steps of the cost's logarithm
MAX_DEPTHS = 12
NEAR = 0.75  # of the limit, and up to it: what is near
BY_RESOLUTION = frozenset({"pvt_mobile"})  # families for which `resolutions_of` says something


def tilted(space: SearchSpace, num: int, rng: np.random.Generator) -> Genes:
    """Canonical rows, shape (num, genes), of all sizes alike: every row has two tilts, one for its depths and one for the rest.

    A tilt is uniform in [0, 1]; a choice with options in growing order takes the option that a binomial draw with that probability
    gives, any other a uniform one.
    """
    depth_A, width_A = rng.random((2, num))
    columns = []
    for choice in space.choices:
        last = len(choice.options) - 1
        is_depth = bool(choice.length_of) or "depth" in choice.name
        drawn_A = rng.integers(last + 1, size=num) if choice.keys else rng.binomial(last, depth_A if is_depth else width_A)
        columns.append(drawn_A)
    return space.canonical(np.column_stack(columns).astype(np.int16))


def resolutions_of(space: SearchSpace) -> Callable[[Genes], NDArray[np.int64]] | None:
    """Which resolution every row has, where nets of like cost are to be drawn from each alike; None where they are not.

    Cheap nets are mostly of the lowest resolution and dear ones of the highest, so that cells of cost and depth show a shared
    convolution hardly any of the nets in between. What that costs: docs/measurements/mobile-sharing_fashion-mnist_202611.md.
    """
    if space.family not in BY_RESOLUTION or RESOLUTION not in space.index:
        return None
    column = space.index[RESOLUTION]
    if len(space.choices[column].options) == 1:
        return None
    return lambda genes_AG: genes_AG[:, column].astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class EvenPool:
    """Rows in cells of similar cost and depth; every cell is drawn from alike.

    Attributes:
        genes_AG: distinct canonical rows that meet the limit, or all where there is none or it does not bind.
        cells: positions in ``genes_AG``, a cell each; none is empty.
        levels: indices of the cells of like cost, cheapest first; no cell is in two of them.
        near_cells: those that lie near the limit, likewise; empty without one.
        near_share: of the draws that are near the limit.
    """

    genes_AG: Genes
    cells: tuple[NDArray[np.int64], ...]
    near_cells: tuple[NDArray[np.int64], ...] = ()
    near_share: float = 0.0
    levels: tuple[tuple[int, ...], ...] = ()

    def draw(self, num: int, rng: np.random.Generator) -> Genes:
        """``num`` rows, shape (num, genes)."""
        rows = []
        for _ in range(num):
            near = bool(self.near_cells) and rng.random() < self.near_share
            cells = self.near_cells if near else self.cells
            cell = cells[rng.integers(len(cells))]
            rows.append(cell[rng.integers(len(cell))])
        return self.genes_AG[np.array(rows, dtype=np.int64)]

    def draw_level(self, level: int, num: int, rng: np.random.Generator) -> Genes:
        """``num`` rows of one level of cost, shape (num, genes), its cells alike."""
        cells = self.levels[level]
        picked = [self.cells[cells[rng.integers(len(cells))]] for _ in range(num)]
        return self.genes_AG[np.array([cell[rng.integers(len(cell))] for cell in picked], dtype=np.int64)]

    def spread(self, num: int, rng: np.random.Generator) -> Genes:
        """``num`` distinct rows (fewer when there are no more) that take turns over the cells."""
        if not self.cells:
            return self.genes_AG[:0]
        order = [rng.permutation(cell) for cell in self.cells]
        picked: list[int] = []
        for turn in range(max(len(cell) for cell in order)):
            picked += [int(cell[turn]) for cell in (order[i] for i in rng.permutation(len(order))) if turn < len(cell)]
            if len(picked) >= num:
                break
        return self.genes_AG[np.array(picked[:num], dtype=np.int64)]


def even_pool(
    space: SearchSpace,
    cost: Cost,
    depth: Cost,
    rng: np.random.Generator,
    *,
    limit: float | None = None,
    near_share: float = 0.0,
    allowed: Callable[[Genes], NDArray[np.bool_]] | None = None,
    known_AG: Genes | None = None,
    strata: Callable[[Genes], NDArray[np.int64]] | None = None,
    num: int = POOL,
) -> EvenPool:
    """A pool of a space's nets.

    Args:
        space: whole, where it has no more than ``num`` nets, else drawn from: half uniformly, half `tilted`.
        cost: positive, e.g. latency or MACs.
        depth: blocks.
        rng: of the draws.
        limit: on ``cost``; nets from `NEAR` of it up to it are near.
        near_share: of the draws that are to be near the limit.
        allowed: rows that may be in the pool; all by default.
        known_AG: rows that are looked at beside those drawn, where draws would miss what is allowed.
        strata: of every row a number from 0; rows of different ones lie in different cells, as those of `resolutions_of`.
        num: rows looked at.
    """
    if space.cardinality <= num:
        genes_AG = space.enumerate()
    else:
        drawn = [space.sample(num // 2, rng), tilted(space, num - num // 2, rng)]
        genes_AG = unique_rows(np.concatenate(drawn if known_AG is None else [known_AG, *drawn]))
    if allowed is not None:
        genes_AG = genes_AG[allowed(genes_AG)]
    if len(genes_AG) == 0:
        return EvenPool(genes_AG, ())
    cost_A, depth_A = cost(genes_AG), depth(genes_AG)
    strata_A = np.zeros(len(genes_AG), dtype=np.int64) if strata is None else strata(genes_AG)
    near_A = np.zeros(len(genes_AG), dtype=np.bool_) if limit is None else (cost_A <= limit) & (cost_A >= NEAR * limit)
    near_cells, _ = _cells(cost_A[near_A], depth_A[near_A], strata_A[near_A])
    cells, levels = _cells(cost_A, depth_A, strata_A)
    return EvenPool(genes_AG, cells, tuple(np.flatnonzero(near_A)[cell] for cell in near_cells), near_share, levels)


def _cells(
    cost_A: NDArray[np.float64], depth_A: NDArray[np.float64], strata_A: NDArray[np.int64]
) -> tuple[tuple[NDArray[np.int64], ...], tuple[tuple[int, ...], ...]]:
    """Positions of every cell that is not empty, and which cells have a like cost."""
    if len(cost_A) == 0:
        return (), ()
    num_strata = int(strata_A.max()) + 1
    keys_A = _steps(np.log(np.maximum(cost_A, 1e-12)), NUM_COSTS) * MAX_DEPTHS + _steps(depth_A, MAX_DEPTHS)
    keys_A = keys_A * num_strata + strata_A
    order = np.argsort(keys_A, kind="stable")
    edges = np.flatnonzero(np.diff(keys_A[order])) + 1
    cells = tuple(np.split(order, edges))
    level_of = [int(keys_A[cell[0]]) // (MAX_DEPTHS * num_strata) for cell in cells]
    levels = tuple(tuple(index for index, own in enumerate(level_of) if own == level) for level in dict.fromkeys(level_of))
    return cells, levels


def _steps(values_A: NDArray[np.float64], num: int) -> NDArray[np.int64]:
    """Which of ``num`` equal steps between the smallest and the largest value each one lies in."""
    low, span = values_A.min(), np.ptp(values_A)
    if span == 0:
        return np.zeros(len(values_A), dtype=np.int64)
    steps_A: NDArray[np.int64] = np.minimum(((values_A - low) / span * num).astype(np.int64), num - 1)
    return steps_A
