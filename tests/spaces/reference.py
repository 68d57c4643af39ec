"""Random spaces, and the operations on genes written down as plainly as possible, for comparison."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from edgenas.spaces import Choice, Condition, Genes, SearchSpace, Task


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Spaces of up to eight genes, each of which may hang on any earlier one."""
    choices: list[Choice] = []
    for number in range(draw(st.integers(1, 8))):
        when = None
        if choices and draw(st.booleans()):
            parent = draw(st.sampled_from(choices))
            values = draw(st.lists(st.sampled_from(parent.options), min_size=1, unique=True))
            when = Condition(parent.name, tuple(values))
        choices.append(Choice(f"gene{number}", tuple(range(draw(st.integers(1, 15)))), when))
    return SearchSpace("random", "toy", tuple(choices), Task(2))


def canonical(space: SearchSpace, genes_AG: Genes) -> Genes:
    """Row by row: a gene is -1 unless its condition holds, and 0 where it was missing."""
    result = []
    for row in genes_AG.tolist():
        for column, choice in enumerate(space.choices):
            if choice.active_when is not None:
                parent = space.index[choice.active_when.choice]
                chosen = row[parent]
                holds = chosen >= 0 and space.choices[parent].options[chosen] in choice.active_when.values
                row[column] = max(row[column], 0) if holds else -1
        result.append(row)
    return np.array(result, dtype=np.int16).reshape(-1, space.num_genes)


def num_networks(space: SearchSpace, column: int, option: int) -> int:
    """How many ways there are to fill the genes that hang on this one."""
    total = 1
    for child, choice in enumerate(space.choices):
        when = choice.active_when
        if when is not None and space.index[when.choice] == column and space.choices[column].options[option] in when.values:
            total *= sum(num_networks(space, child, other) for other in range(len(choice.options)))
    return total


def sample(space: SearchSpace, num: int, rng: np.random.Generator) -> Genes:
    """Gene after gene by a search among cumulated shares, then canonical."""
    genes_AG = np.empty((num, space.num_genes), dtype=np.int16)
    for column, choice in enumerate(space.choices):
        counts = [num_networks(space, column, option) for option in range(len(choice.options))]
        shares = np.array([float(Fraction(count, sum(counts))) for count in counts])
        genes_AG[:, column] = np.searchsorted(np.cumsum(shares)[:-1], rng.random(num), side="right")
    return canonical(space, genes_AG)


def unique_rows(genes_AG: Genes) -> Genes:
    """Rows that no earlier row equals."""
    rows = list(dict.fromkeys(map(tuple, genes_AG.tolist())))
    return np.array(rows, dtype=np.int16).reshape(-1, genes_AG.shape[1])
