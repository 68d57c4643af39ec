"""A cost model answers as the sum of its tables does, bit by bit."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenas.costs import CostModel, Factor
from edgenas.costs import gather as costs_gather
from edgenas.errors import LatencyTableError
from edgenas.spaces import Choice, Condition, Genes, SearchSpace, Task
from tests.spaces.reference import spaces


def naive(model: CostModel, genes_AG: Genes) -> np.ndarray:
    """One table after another; an index of -1 is the last entry."""
    total_A = np.zeros(len(genes_AG))
    for factor in model.factors:
        total_A += factor.table[tuple(genes_AG[:, gene] for gene in factor.genes)] if factor.genes else factor.table
    return total_A * model.scale + model.offset


@st.composite
def models(draw: st.DrawFn, space: SearchSpace, *, integers: bool) -> CostModel:
    """Up to eight factors of up to three genes in any order, one of which may be without genes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    factors = []
    for _ in range(draw(st.integers(1, 8))):
        genes = tuple(draw(st.lists(st.integers(0, space.num_genes - 1), unique=True, max_size=3)))
        shape = [len(space.choices[gene].options) + (space.choices[gene].active_when is not None) for gene in genes]
        factors.append(Factor(genes, rng.integers(0, 10**9, shape).astype(float) if integers else rng.normal(size=shape)))
    return CostModel("cost", "ms", tuple(factors), draw(st.sampled_from((1.0, 1.1))), draw(st.sampled_from((0.0, 0.3))))


@given(data=st.data(), space=spaces(), integers=st.booleans(), num=st.integers(0, 60), order=st.sampled_from("CF"))
def test_a_cost_is_the_sum_of_its_tables(
    data: st.DataObject, space: SearchSpace, integers: bool, num: int, order: Literal["C", "F"]
) -> None:
    model = data.draw(models(space, integers=integers))
    genes = space.sample(num, np.random.default_rng(num)).astype(np.int16, order=order)
    assert model(genes).tobytes() == naive(model, genes).tobytes()
    assert model(genes.astype(np.int64)).tobytes() == naive(model, genes).tobytes()
    assert all(model(genes[row : row + 1])[0] == model(genes)[row] for row in range(min(num, 3)))


@pytest.mark.parametrize("integers", [True, False])
@pytest.mark.parametrize("order", ["C", "F"])
def test_more_rows_than_a_piece_and_tables_too_large_to_merge(integers: bool, order: Literal["C", "F"]) -> None:
    sizes, num_genes, rng = 9, 12, np.random.default_rng(0)
    space = SearchSpace("wide", "toy", tuple(Choice(f"gene{n}", tuple(range(sizes))) for n in range(num_genes)), Task(2))
    tables = [rng.integers(0, 10**9, (sizes,) * 5).astype(float) for _ in range(4)]
    factors = [Factor(tuple(rng.permutation(num_genes)[:5].tolist()), table if integers else table / 7) for table in tables]
    model = CostModel("cost", "MACs", (*factors, Factor((), np.array(5.0)), Factor((), np.array(6.0))))
    for num in (costs_gather.PIECE - 1, costs_gather.PIECE, 2 * costs_gather.PIECE + 3):
        genes = space.sample(num, rng).astype(np.int16, order=order)
        assert model(genes).tobytes() == naive(model, genes).tobytes()


def test_tables_of_integers_are_merged_and_others_are_not() -> None:
    factors = [((0, gene), np.arange(4.0).reshape(2, 2)) for gene in range(1, 9)]
    assert len(costs_gather.plan(factors).tables) == 1
    assert len(costs_gather.plan([(genes, table / 3) for genes, table in factors]).tables) == 8


def test_a_gene_that_a_table_does_not_change_with_makes_it_no_larger() -> None:
    table = np.repeat(np.arange(6.0).reshape(1, 2, 3), 4, axis=0)
    gather = costs_gather.plan([((0, 1, 2), table)])
    assert [entries.size for entries in gather.tables] == [6]
    rows = np.array([[3, 1, 2], [0, 1, 2], [2, 0, -1]], dtype=np.int16)
    assert gather(rows).tolist() == [5.0, 5.0, 2.0]
    with pytest.raises(ValueError, match="gene 0 of some row has none of 4 entries"):
        gather(np.array([[4, 0, 0]], dtype=np.int16))


def test_an_entry_that_was_never_measured_is_missing_after_merging() -> None:
    choices = (Choice("depth", (1, 2)), Choice("width", (1, 2), Condition("depth", (2,))))
    space = SearchSpace("two", "toy", choices, Task(2))
    model = CostModel("latency_ms", "ms", (Factor((0,), np.array([1.0, 2.0])), Factor((1,), np.array([np.nan, 3.0, 4.0]))))
    rows = space.enumerate()
    assert model(rows[[0, 2]]).tolist() == [5.0, 5.0]
    with pytest.raises(LatencyTableError, match="unknown for 1 of 3 architectures"):
        model(rows)


@pytest.mark.parametrize("wrong", [2, -2, 300, 2**16])
def test_a_gene_that_is_no_option_is_refused(wrong: int) -> None:
    model = CostModel("params", "params", (Factor((0, 2), np.ones((2, 2))),))
    genes = np.zeros((5, 3), dtype=np.int32)
    genes[3, 2] = wrong
    with pytest.raises(ValueError, match="gene 2 of some row has none of 2 entries"):
        model(genes)  # type: ignore[arg-type]
