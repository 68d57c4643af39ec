"""Memory of nets: their weights, and the largest tensor that one layer of them writes for one image.

Tensors are the image, what a layer (a module without others inside) writes, and the scores of an attention, one a head, query and
key, which a runtime without fused attention writes. Not in it is that what a layer reads and shortcuts are kept beside what it
writes, what a runtime copies, and its own code: a net needs at least so much, and runtimes take more. The largest tensor is a
maximum over layers, so that the memory of a net is no sum of tables.

Shapes: A rows of genes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenas.costs.model import CostModel, Factor, Term
from edgenas.spaces import Genes

BYTES = 4  # of a number in fp32
MEGA = 1e6  # bytes of a MB
ROUNDED = 1e-12  # of a limit, that a sum may be off
BARRED = 2.0  # times the most parameters that a net can have: more than any
PIECE = 8192  # rows worked on at a time


@dataclass(frozen=True, slots=True)
class Largest:
    """The largest of some tables' entries, by rows of genes.

    Attributes:
        tables: the genes that index each, and its entries; -1 is the last.
    """

    tables: tuple[tuple[tuple[int, ...], NDArray[np.float64]], ...]

    def __call__(self, genes_AG: Genes) -> NDArray[np.float64]:
        """The largest entry of every row, shape (archs,)."""
        largest_A = np.zeros(len(genes_AG))
        for start in range(0, len(genes_AG), PIECE):
            piece_GA = np.ascontiguousarray(genes_AG[start : start + PIECE].T)
            part_A = largest_A[start : start + PIECE]
            for genes, table in self.tables:
                places_A = np.zeros(len(part_A), dtype=np.intp)
                for gene, size in zip(genes, table.shape, strict=True):
                    places_A *= size
                    places_A += np.minimum(piece_GA[gene].view(np.uint16), np.uint16(size - 1))  # -1 is the largest unsigned number
                np.maximum(part_A, table.reshape(-1).take(places_A), out=part_A)
        return largest_A


@dataclass(frozen=True, slots=True)
class MemoryCost:
    """``memory_mb`` of any architecture of a space: fp32 weights and the largest tensor of one image, in 10^6 bytes.

    Attributes:
        params: of the net.
        activation: numbers in its largest tensor.
    """

    params: CostModel
    activation: Largest

    def __call__(self, genes_AG: Genes) -> NDArray[np.float64]:
        """Megabytes of every row, shape (archs,)."""
        return (self.params(genes_AG) + self.activation(genes_AG)) * (BYTES / MEGA)

    def necessary(self, limit_mb: float) -> tuple[CostModel, float]:
        """A sum of tables and what it is at most in every net within a limit, though in others, too.

        It is the parameters, beside which the least of all largest tensors must find room, and so many that nothing has room beside
        them where a tensor is too large by itself.
        """
        numbers, (fewest, most) = limit_mb * MEGA / BYTES * (1 + ROUNDED), self.params.bounds()
        too_large = [(genes, table > numbers - fewest) for genes, table in self.activation.tables]
        barred = [Factor(genes, np.where(table, BARRED * most, 0.0)) for genes, table in too_large if table.any()]
        factors = (*self.params.factors, *barred)
        least = max(float(table.min()) for _, table in self.activation.tables)
        return CostModel("params", "params", factors, self.params.scale, self.params.offset), numbers - least


def memory(terms: Sequence[Term], params: CostModel, largest_tensor: Callable[[Hashable], int]) -> MemoryCost:
    """The memory of a space's nets.

    Args:
        terms: from the family's decomposition.
        params: of the same nets.
        largest_tensor: numbers in the largest tensor that a component reads as an image or writes for one image.
    """
    known: dict[int, int] = {}  # by the object, as thousands of cells hold the same ones

    def largest(cell: Sequence[Hashable]) -> int:
        for component in cell:
            if id(component) not in known:
                known[id(component)] = largest_tensor(component)
        return max([known[id(component)] for component in cell], default=0)

    seen: dict[int, NDArray[np.float64]] = {}
    joined: dict[tuple[int, ...], NDArray[np.float64]] = {}
    for term in terms:
        if id(term.cells) not in seen:
            sizes = [largest(cell) for cell in term.cells.reshape(-1).tolist()]
            seen[id(term.cells)] = np.array(sizes, dtype=np.float64).reshape(term.cells.shape)
        genes, table = _varying(term.genes, seen[id(term.cells)])
        same = joined.get(genes)
        joined[genes] = table if same is None else np.maximum(same, table)
    floor = max(float(table.min()) for table in joined.values())
    return MemoryCost(params, Largest(tuple((genes, table) for genes, table in joined.items() if table.max() >= floor)))


def _varying(genes: tuple[int, ...], table: NDArray[np.float64]) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """The table without genes that it does not change with."""
    for axis in reversed(range(len(genes))):
        if (table == table.take([0], axis)).all():
            genes, table = genes[:axis] + genes[axis + 1 :], np.asarray(table.take(0, axis))
    return genes, table


__all__ = ["Largest", "MemoryCost", "memory"]
