"""Costs of architectures as sums of small tables indexed by genes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgenas.costs.gather import Gather, plan
from edgenas.errors import LatencyTableError
from edgenas.spaces import Genes


@dataclass(frozen=True, slots=True)
class Factor:
    """One additive term of a cost: a table indexed by the options of a few genes."""

    genes: tuple[int, ...]
    table: NDArray[np.float64]  # NaN where never measured


@dataclass(frozen=True, slots=True)
class CostModel:
    """Params, MACs or latency of any architecture of a space, as a sum of factors.

    Attributes:
        name: e.g. ``params`` or ``latency_ms``.
        unit: e.g. ``MACs`` or ``ms``.
        factors: every gene of a factor is active in every architecture, or its table is indexed by -1 as a last entry.
        scale: multiplies the sum; with ``offset`` the affine calibration of a latency table.
        offset: added to the scaled sum, in ``unit``.
    """

    name: str
    unit: str
    factors: tuple[Factor, ...]
    scale: float = 1.0
    offset: float = 0.0
    _sum: Gather = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sum", plan([(factor.genes, factor.table) for factor in self.factors]))

    def __call__(self, genes_AG: Genes) -> NDArray[np.float64]:
        """Cost of every row, shape (archs,).

        Raises:
            LatencyTableError: naming how many rows need entries that were never measured, and `edgenas profile`.
            ValueError: if a gene is no option, or this is no matrix of genes.
        """
        total_A = self._sum(genes_AG)
        missing = int(np.isnan(total_A).sum())
        if missing:
            raise LatencyTableError(
                f"{self.name} is unknown for {missing} of {len(genes_AG)} architectures: the table lacks their entries",
                hint="run `edgenas profile`",
            )
        return total_A * self.scale + self.offset

    def bounds(self) -> tuple[float, float]:
        """A lower and an upper bound over the whole space, reached when no gene is in two factors."""
        low = sum(float(np.nanmin(factor.table)) for factor in self.factors)
        high = sum(float(np.nanmax(factor.table)) for factor in self.factors)
        return low * self.scale + self.offset, high * self.scale + self.offset


@dataclass(frozen=True, slots=True)
class Term:
    """Which components a few genes choose: ``cells[i, j, ...]`` holds them, in order, with repetitions.

    The whole net is the union of the terms' cells; a term without genes holds what every net has.
    """

    genes: tuple[int, ...]
    cells: NDArray[np.object_]

    def __iter__(self) -> Iterator[tuple[tuple[int, ...], tuple[Hashable, ...]]]:
        """Option indices and components of every cell."""
        for index in np.ndindex(self.cells.shape):
            components: tuple[Hashable, ...] = self.cells[index]  # type: ignore[assignment]  # an object array holds tuples
            yield index, components


def distinct_components(terms: Sequence[Term]) -> tuple[Hashable, ...]:
    """Every component that occurs in a term, once, in order of first appearance."""
    arrays = {id(term.cells): term.cells for term in terms}.values()
    return tuple(dict.fromkeys(component for cells in arrays for component in _objects(cells)))


def _objects(cells: NDArray[np.object_]) -> Collection[Hashable]:
    """Every object in the cells once; of thousands of cells most hold the same ones."""
    return {id(component): component for cell in cells.reshape(-1).tolist() for component in cell}.values()


def sum_of_components(
    name: str, unit: str, terms: Sequence[Term], cost: Callable[[Hashable], float], **calibration: float
) -> CostModel:
    """The cost model in which a net costs what its components cost together.

    Args:
        name: of the cost.
        unit: of ``cost``.
        terms: from the family's decomposition.
        cost: of one component; NaN where it is not known.
        calibration: ``scale`` and ``offset`` of the model.
    """
    costs = {component: float(cost(component)) for component in distinct_components(terms)}
    known: dict[int, float] = {}  # by the object
    tables: dict[int, NDArray[np.float64]] = {}  # by the cells
    for term in terms:
        if id(term.cells) not in tables:
            known |= {id(component): costs[component] for component in _objects(term.cells) if id(component) not in known}
            sums = [sum([known[id(component)] for component in cell], 0.0) for cell in term.cells.reshape(-1).tolist()]
            tables[id(term.cells)] = np.array(sums, dtype=np.float64).reshape(term.cells.shape)
    return CostModel(name, unit, tuple(Factor(term.genes, tables[id(term.cells)]) for term in terms), **calibration)
