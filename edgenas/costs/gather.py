"""Sums of tables over gene matrices, fast: flat tables, places by one matrix product, pieces that fit the cache."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PIECE = 2048  # rows worked on at a time
MAX_MERGED = 32768  # entries of a table made of several, 256 KiB
EXACT = 2**53  # sums of integers up to here are exact in float64, in any order

Entries = tuple[tuple[int, ...], NDArray[np.float64]]  # columns of the genes, and the table they index


@dataclass(frozen=True, slots=True)
class Gather:
    """A sum of tables that is ready to be evaluated.

    Attributes:
        columns: genes that matter, ascending.
        sizes: entries along each of them; -1 means the last one.
        strides: of every table along every one of the genes, shape (tables, columns); the place of a row's entry is a product
            with it, exact in its float type.
        tables: flat.
        constant: what the tables without genes that come first add up to.
    """

    columns: tuple[int, ...]
    sizes: NDArray[np.int16]
    strides: NDArray[np.floating]
    tables: tuple[NDArray[np.float64], ...]
    constant: float

    @property
    def num_genes(self) -> int:
        """Genes that a row must have, those that do not matter included."""
        return self.columns[-1] + 1 if self.columns else 0

    def __call__(self, genes_AG: NDArray[np.integer]) -> NDArray[np.float64]:
        """The sum for every row, shape (rows,); NaN where an entry is.

        Raises:
            ValueError: if a gene is outside of its tables, or this is no matrix of genes.
        """
        if genes_AG.ndim != 2 or genes_AG.shape[1] < self.num_genes:
            raise ValueError(f"genes of shape (A, G) with G at least {self.num_genes} are expected, not of shape {genes_AG.shape}")
        total_A = np.full(len(genes_AG), self.constant)
        if not self.columns or len(genes_AG) == 0:
            return total_A
        used_AC = genes_AG if self.columns == tuple(range(genes_AG.shape[1])) else genes_AG[:, list(self.columns)]
        self._require_inside(used_AC)
        unsigned_AC = used_AC.astype(np.int16, copy=False).view(np.uint16)
        last_C = (self.sizes - 1).view(np.uint16)
        num = min(PIECE, len(total_A))  # all memory is taken once: fresh pages cost more than the arithmetic
        options_AC = np.empty((num, len(last_C)), self.strides.dtype, order="F" if used_AC.flags.f_contiguous else "C")
        products_TA, places_TA = (np.empty((len(self.tables), num), kind) for kind in (self.strides.dtype, np.intp))
        entries_A = np.empty(num)
        for start in range(0, len(total_A), num):
            sums_A = total_A[start : start + num]
            piece = slice(len(sums_A))
            # -1 is the largest unsigned number, so the minimum turns it into the last entry
            np.minimum(unsigned_AC[start : start + num], last_C, out=options_AC[piece], casting="unsafe")
            np.copyto(places_TA, np.matmul(self.strides, options_AC.T, out=products_TA), casting="unsafe")
            for table, places_A in zip(self.tables, places_TA, strict=True):
                sums_A += table.take(places_A[piece], out=entries_A[piece], mode="clip")  # as checked above, none is clipped
        return total_A

    def _require_inside(self, used_AC: NDArray[np.integer]) -> None:
        wrong_C = (used_AC.max(axis=0) >= self.sizes) | (used_AC.min(axis=0) < -1)
        if wrong_C.any():
            column = int(np.argmax(wrong_C))
            raise ValueError(f"gene {self.columns[column]} of some row has none of {self.sizes[column]} entries")


def plan(factors: Sequence[Entries]) -> Gather:
    """Prepare the sum of ``factors``: column tuples with the tables that they index, where -1 is the last entry.

    Tables of integers are merged where that makes fewer of them; others are added in the order given, so that every sum is
    the one that adding them one by one gives, bit by bit.
    """
    sizes: dict[int, int] = {}
    for genes, table in factors:
        for gene, size in zip(genes, table.shape, strict=True):
            sizes[gene] = max(size, sizes.get(gene, 0))
    full = [_varying(*_padded(genes, table, sizes)) for genes, table in factors]
    merged = _merged(full, sizes) if _sum_is_exact([table for _, table in full]) else full
    constant = 0.0
    while merged and not merged[0][0]:
        constant += float(merged.pop(0)[1])
    columns = tuple(sorted(sizes))
    num_places = max((table.size for _, table in merged), default=1)
    strides = np.zeros((len(merged), len(columns)), dtype=np.float32 if num_places < 2**24 else np.float64)
    for row, (genes, table) in enumerate(merged):
        for axis, gene in enumerate(genes):
            strides[row, columns.index(gene)] += math.prod(table.shape[axis + 1 :])
    tables = tuple(np.ascontiguousarray(table, dtype=np.float64).reshape(-1) for _, table in merged)
    return Gather(columns, np.array([sizes[column] for column in columns], dtype=np.int16), strides, tables, constant)


def _padded(genes: tuple[int, ...], table: NDArray[np.float64], sizes: Mapping[int, int]) -> Entries:
    """The table as large as others of the same genes need it; its last entry along an axis stays the last."""
    table = np.asarray(table)
    if not genes:
        return genes, table
    return genes, np.pad(table, [(0, sizes[gene] - size) for gene, size in zip(genes, table.shape, strict=True)], mode="edge")


def _varying(genes: tuple[int, ...], table: NDArray[np.float64]) -> Entries:
    """The table without the genes that it does not change with: parameters are the same at every resolution."""
    for axis in reversed(range(len(genes))):
        if np.array_equal(table, np.broadcast_to(table.take([0], axis), table.shape), equal_nan=True):
            genes, table = genes[:axis] + genes[axis + 1 :], np.asarray(table.take(0, axis))
    return genes, table


def _sum_is_exact(tables: Sequence[NDArray[np.float64]]) -> bool:
    """Whether all entries that are known are integers whose sums are exact."""
    known = [table[~np.isnan(table)] for table in tables]
    largest = sum(float(np.abs(values).max(initial=0.0)) for values in known)
    return largest < EXACT and all(bool((values == np.rint(values)).all()) for values in known)


def _merged(factors: Sequence[Entries], sizes: Mapping[int, int]) -> list[Entries]:
    """Fewer and larger tables of the same sum; the one without genes, if any, first."""
    groups: list[tuple[tuple[int, ...], list[Entries]]] = []
    for genes, table in sorted(factors, key=lambda factor: factor[0]):
        last = groups[-1][0] if groups else None
        union = tuple(sorted({*(last or ()), *genes}))
        largest = max(MAX_MERGED, _num_entries(last or (), sizes))
        if last is not None and bool(last) == bool(genes) and _num_entries(union, sizes) <= largest:
            groups[-1] = (union, [*groups[-1][1], (genes, table)])
        else:
            groups.append((tuple(sorted(genes)), [(genes, table)]))
    return [(genes, _sum_over(genes, members, sizes)) for genes, members in groups]


def _num_entries(genes: Sequence[int], sizes: Mapping[int, int]) -> int:
    return math.prod(sizes[gene] for gene in genes)


def _sum_over(genes: tuple[int, ...], members: Sequence[Entries], sizes: Mapping[int, int]) -> NDArray[np.float64]:
    """The members' sum as one table over ``genes``, which are ascending and all of theirs."""
    total = np.zeros([sizes[gene] for gene in genes])
    for own, table in members:
        ascending = np.transpose(table, np.argsort(own)) if own else table
        total += ascending.reshape([sizes[gene] if gene in own else 1 for gene in genes])
    return total
