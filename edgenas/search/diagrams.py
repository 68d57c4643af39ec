"""A space and a cost as a layered diagram: every path is one canonical row, and the costs along it add up to the row's.

A layer decides one gene. Its states are what the genes before it leave open: values of genes that some table or condition to come
still asks for, values that all of these treat alike being one. A sum of tables over few genes each has few states in every layer
when genes are taken in a good order, so that counting, drawing and optimising over a space of 10^20 nets is a walk over some
thousand states (bucket elimination: Dechter, Artificial Intelligence 113, 1999, in its form for paths).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.costs import CostModel
from edgenas.spaces import SearchSpace

MAX_STATES = 50_000  # of a layer; a cost that needs more is no sum of small tables
INACTIVE = -1

Table = tuple[tuple[int, ...], NDArray[np.float64]]  # genes, ascending, and a value for each combination of their values


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """The decision of one gene.

    Attributes:
        column: of the gene.
        values_O: what it may be, -1 last where it may be inactive.
        next_SO: per state and value the state of the next layer; -1 where the value is not allowed.
        cost_SO: per state and value what the tables cost whose last gene this is.
    """

    column: int
    values_O: NDArray[np.int16]
    next_SO: NDArray[np.int64]
    cost_SO: NDArray[np.float64]

    @property
    def allowed(self) -> NDArray[np.bool_]:
        """Which values a state allows, shape (states, values)."""
        return np.asarray(self.next_SO >= 0)


@dataclass(frozen=True, slots=True, eq=False)
class Diagram:
    """All canonical rows of a space with one cost.

    Attributes:
        num_genes: columns of a row.
        layers: in the order in which genes are decided.
        constant: cost of every row beside what the layers cost.
    """

    num_genes: int
    layers: tuple[Layer, ...]
    constant: float

    @property
    def num_states(self) -> int:
        """Over all layers."""
        return sum(len(layer.next_SO) for layer in self.layers)

    def extreme(self, *, largest: bool) -> tuple[float, NDArray[np.int16]]:
        """The smallest or the largest cost, exactly, and a row that has it, shape (genes,)."""
        sign = -1.0 if largest else 1.0
        after_S = np.zeros(1)
        picks: list[NDArray[np.intp]] = []
        for layer in reversed(self.layers):
            total_SO = np.where(layer.allowed, sign * layer.cost_SO + after_S[layer.next_SO], np.inf)
            picks.append(total_SO.argmin(axis=1))
            after_S = total_SO.min(axis=1)
        row_G = np.full(self.num_genes, INACTIVE, dtype=np.int16)
        state = 0
        for layer, pick_S in zip(self.layers, reversed(picks), strict=True):
            row_G[layer.column] = layer.values_O[pick_S[state]]
            state = int(layer.next_SO[state, pick_S[state]])
        return sign * float(after_S[0]) + self.constant, row_G


def build_diagram(space: SearchSpace, model: CostModel) -> Diagram | None:
    """The diagram of a cost's sum before its scale and offset.

    None where an entry is not known, or where there would be too many states.
    """
    if any(np.isnan(factor.table).any() for factor in model.factors):
        return None
    tables = _joined([_reduced(*_by_value(space, factor.genes, factor.table)) for factor in model.factors])
    constant = sum(float(table) for genes, table in tables if not genes)
    builder = _Builder(space, tuple(table for table in tables if table[0]))
    layers = []
    states_SF = np.zeros((1, 0), dtype=np.int64)
    frontier: tuple[int, ...] = ()
    order = min(builder.by_tables(), builder.by_place(), key=builder.num_open)
    for position, column in enumerate(order):
        layer, states_SF, frontier = builder.layer(column, frozenset(order[: position + 1]), states_SF, frontier)
        if len(states_SF) > MAX_STATES:
            return None
        layers.append(layer)
    return Diagram(space.num_genes, tuple(layers), constant)


def num_values(space: SearchSpace, column: int) -> int:
    """Options of a gene, and one more where it may be inactive."""
    choice = space.choices[column]
    return len(choice.options) + (choice.active_when is not None)


def _by_value(space: SearchSpace, genes: tuple[int, ...], table: NDArray[np.float64]) -> Table:
    """The table with an entry for every value of its genes; the inactive one reads its last."""
    table = np.asarray(table, dtype=np.float64)
    for axis, gene in enumerate(genes):
        entries = [*range(len(space.choices[gene].options))]
        entries += [table.shape[axis] - 1] * (num_values(space, gene) - len(entries))
        table = table.take(entries, axis)
    order = np.argsort(genes, kind="stable")
    return tuple(genes[axis] for axis in order), np.transpose(table, order) if genes else table


def _reduced(genes: tuple[int, ...], table: NDArray[np.float64]) -> Table:
    """The table without genes that it does not change with."""
    for axis in reversed(range(len(genes))):
        if (table == table.take([0], axis)).all():
            genes, table = genes[:axis] + genes[axis + 1 :], np.asarray(table.take(0, axis))
    return genes, table


def _joined(tables: Sequence[Table]) -> list[Table]:
    """Fewer tables of the same sum: those whose genes are all among another's are added to it."""
    joined: list[Table] = []
    for genes, table in sorted(tables, key=lambda entry: -len(entry[0])):
        hosts = [place for place, (others, _) in enumerate(joined) if set(genes) <= set(others)]
        if hosts:
            others, total = joined[hosts[0]]
            shape = [size if gene in genes else 1 for gene, size in zip(others, total.shape, strict=True)]
            joined[hosts[0]] = (others, total + table.reshape(shape))
        else:
            joined.append((genes, table))
    return joined


@dataclass(frozen=True, slots=True)
class _Builder:
    """What layers are made from: the space, and its cost as tables that have genes."""

    space: SearchSpace
    tables: tuple[Table, ...]

    def parent(self, column: int) -> int | None:
        """The gene that decides whether this one is active."""
        when = self.space.choices[column].active_when
        return None if when is None else self.space.index[when.choice]

    def with_parents(self, genes: Sequence[int]) -> Iterator[int]:
        """The genes, each after what decides whether it is active."""
        for column in genes:
            parent = self.parent(column)
            if parent is not None:
                yield from self.with_parents((parent,))
            yield column

    def open_after(self, decided: frozenset[int]) -> tuple[int, ...]:
        """Genes among the decided ones that tables or conditions to come still ask for."""
        asked = {gene for genes, _ in self.tables if not decided.issuperset(genes) for gene in genes}
        asked |= {
            parent
            for column in range(self.space.num_genes)
            if column not in decided and (parent := self.parent(column)) is not None
        }
        return tuple(sorted(decided & asked))

    def by_place(self) -> list[int]:
        """All genes as the space has them."""
        return list(range(self.space.num_genes))

    def num_open(self, order: Sequence[int]) -> int:
        """How many combinations of open genes an order makes over all layers."""
        opened = (self.open_after(frozenset(order[:num])) for num in range(1, len(order)))
        return sum(math.prod(num_values(self.space, gene) for gene in after) for after in opened)

    def by_tables(self) -> list[int]:
        """All genes: table by table, next the one that leaves least open; then those that cost nothing."""
        groups, order = [genes for genes, _ in self.tables], list[int]()
        while groups:
            decided = frozenset(order)

            def left_open(genes: tuple[int, ...], decided: frozenset[int] = decided) -> tuple[int, tuple[int, ...]]:
                after = self.open_after(decided.union(self.with_parents(genes)))
                return math.prod(num_values(self.space, gene) for gene in after), genes

            chosen = min(groups, key=left_open)
            groups.remove(chosen)
            order += [column for column in dict.fromkeys(self.with_parents(chosen)) if column not in decided]
        rest = [column for column in range(self.space.num_genes) if column not in order]
        return [*order, *rest]

    def layer(
        self, column: int, decided: frozenset[int], states_SF: NDArray[np.int64], frontier: tuple[int, ...]
    ) -> tuple[Layer, NDArray[np.int64], tuple[int, ...]]:
        """The layer of ``column``, and the states and the open genes after it; ``decided`` has the column."""
        num_options = len(self.space.choices[column].options)
        num = num_values(self.space, column)
        after = self.open_after(decided)
        same = {gene: self.classes(gene, decided) for gene in after}
        finished = [(genes, table) for genes, table in self.tables if column in genes and decided.issuperset(genes)]
        place = {gene: position for position, gene in enumerate(frontier)}
        allowed_SO = np.ones((len(states_SF), num), dtype=bool)
        parent = self.parent(column)
        if parent is not None:
            active_S = self.activates(column)[states_SF[:, place[parent]]]
            allowed_SO = np.where(np.arange(num) < num_options, active_S[:, None], ~active_S[:, None])
        cost_SO = np.zeros(allowed_SO.shape)
        keys_SO = np.zeros(allowed_SO.shape, dtype=np.int64)
        for value in range(num):
            values = {gene: states_SF[:, position] for gene, position in place.items()}
            values[column] = np.full(len(states_SF), value, dtype=np.int64)
            for genes, table in finished:
                cost_SO[:, value] += table[tuple(values[gene] for gene in genes)]
            for gene in after:
                keys_SO[:, value] = keys_SO[:, value] * num_values(self.space, gene) + same[gene][values[gene]]
        kept, places = np.unique(keys_SO[allowed_SO], return_inverse=True)
        next_SO = np.full(allowed_SO.shape, -1, dtype=np.int64)
        next_SO[allowed_SO] = places
        sizes = [num_values(self.space, gene) for gene in after]
        states = np.array(np.unravel_index(kept, sizes), dtype=np.int64).T if sizes else np.zeros((1, 0), dtype=np.int64)
        values_O = np.where(np.arange(num) < num_options, np.arange(num), INACTIVE).astype(np.int16)
        return Layer(column, values_O, next_SO, cost_SO), states, after

    def activates(self, column: int) -> NDArray[np.bool_]:
        """For every value of the gene that ``column`` hangs on, whether it is active."""
        when = self.space.choices[column].active_when
        assert when is not None
        parent = self.space.index[when.choice]
        options = self.space.choices[parent].options
        return np.array([value < len(options) and options[value] in when.values for value in range(num_values(self.space, parent))])

    def classes(self, gene: int, decided: frozenset[int]) -> NDArray[np.int64]:
        """For every value of a gene the first one that all that is to come treats like it."""
        views: list[NDArray[Any]] = [
            np.moveaxis(table, genes.index(gene), 0)
            for genes, table in self.tables
            if gene in genes and not decided.issuperset(genes)
        ]
        views += [
            self.activates(column)
            for column in range(self.space.num_genes)
            if column not in decided and self.parent(column) == gene
        ]
        marks = [tuple(view[value].tobytes() for view in views) for value in range(num_values(self.space, gene))]
        return np.array([marks.index(mark) for mark in marks], dtype=np.int64)
