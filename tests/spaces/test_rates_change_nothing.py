"""The fast operations on genes answer as plain ones do, bit by bit."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgenas.spaces import SearchSpace, get_space, unique_rows
from edgenas.spaces import base as spaces_base
from edgenas.spaces import rows as spaces_rows
from tests.spaces import reference

SEEDS = st.integers(0, 2**32 - 1)


@given(space=reference.spaces(), seed=SEEDS, num=st.integers(0, 50))
def test_draws_are_those_of_a_search_among_shares(space: SearchSpace, seed: int, num: int) -> None:
    drawn = space.sample(num, np.random.default_rng(seed))
    assert np.array_equal(drawn, reference.sample(space, num, np.random.default_rng(seed)))


@given(space=reference.spaces(), seed=SEEDS, num=st.integers(0, 50), order=st.sampled_from("CF"))
def test_canonical_rows_are_those_found_row_by_row(space: SearchSpace, seed: int, num: int, order: Literal["C", "F"]) -> None:
    sizes = [len(choice.options) for choice in space.choices]
    lowest = [-1 if choice.active_when is not None else 0 for choice in space.choices]
    noise = np.random.default_rng(seed).integers(lowest, sizes, size=(num, space.num_genes)).astype(np.int16, order=order)
    assert np.array_equal(space.canonical(noise), reference.canonical(space, noise))


@pytest.mark.parametrize("num", [spaces_base.PIECE - 1, spaces_base.PIECE, 2 * spaces_base.PIECE + 5])
def test_pieces_fit_together(num: int) -> None:
    space = get_space("pvt-nano")
    drawn = space.sample(num, np.random.default_rng(7))
    assert np.array_equal(drawn, reference.sample(space, num, np.random.default_rng(7)))
    assert np.array_equal(unique_rows(drawn), reference.unique_rows(drawn))


GENES = arrays.arrays(
    np.int16,
    st.tuples(st.integers(0, 40), st.integers(1, 30)),
    elements=st.one_of(st.integers(-1, 2), st.integers(-(2**15), 2**15 - 1)),
    fill=st.integers(-1, 1),
)


@given(genes=GENES, order=st.sampled_from("CF"))
def test_distinct_rows_keep_their_order(genes: np.ndarray, order: Literal["C", "F"]) -> None:
    genes = np.concatenate([genes, genes[::2]]).astype(np.int16, order=order)
    assert np.array_equal(unique_rows(genes), reference.unique_rows(genes))


@settings(max_examples=20)
@given(seed=SEEDS, num_genes=st.integers(1, 70), num_options=st.integers(1, 12), order=st.sampled_from("CF"))
def test_distinct_rows_of_many(seed: int, num_genes: int, num_options: int, order: Literal["C", "F"]) -> None:
    """Keys of one word and of several, with and without repetitions, more rows than a piece."""
    rng = np.random.default_rng(seed)
    genes = rng.integers(-1, num_options, size=(spaces_rows.PIECE + 100, num_genes)).astype(np.int16)
    genes = np.asarray(genes[rng.integers(len(genes), size=2 * len(genes))], order=order)
    assert np.array_equal(unique_rows(genes), reference.unique_rows(genes))


def test_equal_hashes_of_different_rows_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    genes = rng.integers(0, 10, size=(500, 40)).astype(np.int16)
    genes = genes[rng.integers(len(genes), size=1000)]
    monkeypatch.setattr(spaces_rows, "MIX", np.uint64(0))  # every hash is 0
    assert np.array_equal(unique_rows(genes), reference.unique_rows(genes))


def test_distinct_rows_are_a_copy() -> None:
    genes = get_space("pvt-nano").sample(4, np.random.default_rng(0))
    for given_rows in (genes, np.ascontiguousarray(genes), genes[:1], genes[:0]):
        assert not np.shares_memory(unique_rows(given_rows), given_rows)


def test_values_far_below_zero_do_not_blur_the_keys() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20_000):
        genes = np.ones((rng.integers(2, 40), rng.integers(1, 31)), dtype=np.int16)
        places = rng.integers(0, genes.size, rng.integers(1, 6))
        genes.reshape(-1)[places] = np.where(rng.random(len(places)) < 0.7, rng.integers(-(2**15), 2, len(places)), -1)
        genes = np.concatenate([genes, genes[::2]])
        assert np.array_equal(unique_rows(genes), reference.unique_rows(genes))
