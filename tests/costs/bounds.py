"""The least and the most that any architecture of a space costs, exactly, by eliminating one gene after another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgenas.costs import CostModel
from edgenas.spaces import SearchSpace

Table = tuple[tuple[int, ...], NDArray[np.float64]]  # genes, ascending, and the values of their combinations


def exact_bounds(space: SearchSpace, model: CostModel) -> tuple[float, float]:
    """Smallest and largest cost over all rows of ``space``.

    A gene that may be inactive has one more value, the last; what its condition forbids costs infinitely much.
    """
    lowest, negated = ([_ascending(factor.genes, sign * factor.table) for factor in model.factors] for sign in (1.0, -1.0))
    rules = _rules(space)
    scale, offset = model.scale, model.offset
    return _minimum(space, [*lowest, *rules]) * scale + offset, -_minimum(space, [*negated, *rules]) * scale + offset


def _ascending(genes: tuple[int, ...], table: NDArray[np.float64]) -> Table:
    order = np.argsort(genes)
    return tuple(genes[axis] for axis in order), np.transpose(table, order) if genes else table


def _rules(space: SearchSpace) -> list[Table]:
    rules = []
    for column, choice in enumerate(space.choices):
        when = choice.active_when
        if when is None:
            continue
        parent = space.choices[space.index[when.choice]]
        rule = np.full((len(parent.options) + (parent.active_when is not None), len(choice.options) + 1), np.inf)
        for value in range(len(rule)):
            holds = value < len(parent.options) and parent.options[value] in when.values
            rule[value, slice(0, -1) if holds else -1] = 0.0
        rules.append(((space.index[when.choice], column), rule))
    return rules


def _minimum(space: SearchSpace, tables: list[Table]) -> float:
    sizes = [len(choice.options) + (choice.active_when is not None) for choice in space.choices]
    for gene in reversed(range(len(sizes))):  # the genes of blocks come last and meet few others
        mine = [table for table in tables if gene in table[0]]
        tables = [table for table in tables if gene not in table[0]]
        if mine:
            genes = tuple(sorted({member for owners, _ in mine for member in owners}))
            total = sum(
                (table.reshape([sizes[member] if member in owners else 1 for member in genes]) for owners, table in mine),
                np.zeros([sizes[member] for member in genes]),
            )
            axis = genes.index(gene)
            tables.append((genes[:axis] + genes[axis + 1 :], total.min(axis=axis)))
    return float(sum(table for _, table in tables))
