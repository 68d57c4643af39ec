"""Genes that decide are found, and where a model does not fit it says so."""

from __future__ import annotations

import numpy as np
import pytest

from edgenas.search.importance import MIN_NETS, gene_importance


def genes(num: int, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 3, size=(num, 5)).astype(np.int16)


def test_the_gene_that_decides_most_comes_first_and_one_without_effect_is_worth_nothing() -> None:
    rng = np.random.default_rng(0)
    rows = genes(120, rng)
    values = 0.5 + 0.04 * rows[:, 3] + 0.01 * (rows[:, 1] == 2) + 0.002 * rng.standard_normal(120)
    found = gene_importance(rows, values, rng=np.random.default_rng(1))
    assert found is not None
    assert found.r2.value > 0.95
    assert list(found.drops)[:2] == [3, 1]
    assert found.drops[3].low > 0.5
    assert abs(found.drops[0].value) < 0.02
    for share in found.drops.values():
        assert share.low <= share.value <= share.high


def test_the_effect_of_a_gene_that_is_absent_is_seen() -> None:
    rng = np.random.default_rng(0)
    rows = genes(80, rng)
    rows[rows[:, 0] == 0, 1] = -1
    values = 0.1 * (rows[:, 1] < 0) + 0.001 * rng.standard_normal(80)
    found = gene_importance(rows, values, rng=np.random.default_rng(1))
    assert found is not None
    assert found.r2.value > 0.95
    assert set(list(found.drops)[:2]) == {0, 1}


def test_of_noise_no_variance_is_explained() -> None:
    rng = np.random.default_rng(2)
    found = gene_importance(genes(60, rng), rng.standard_normal(60), rng=np.random.default_rng(1))
    assert found is not None
    assert found.r2.low <= 0


def test_the_same_draws_give_the_same_importance() -> None:
    rng = np.random.default_rng(3)
    rows, values = genes(40, rng), rng.random(40)
    assert gene_importance(rows, values, rng=np.random.default_rng(5)) == gene_importance(
        rows, values, rng=np.random.default_rng(5)
    )


@pytest.mark.parametrize("case", ["few nets", "equal values", "one net"])
def test_nothing_is_fitted_where_nothing_can_be(case: str) -> None:
    rng = np.random.default_rng(4)
    rows = genes(MIN_NETS - 1 if case == "few nets" else MIN_NETS, rng)
    if case == "one net":
        rows[:] = rows[0]
    values = np.full(len(rows), 0.5) if case == "equal values" else rng.random(len(rows))
    assert gene_importance(rows, values, rng=rng) is None
