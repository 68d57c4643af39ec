"""Operators of every registered space are closed, whatever they are given."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenas.spaces import SPACES, Genes, SearchSpace, unique_rows
from edgenas.spaces.named import NAMED, find_named, named_archs
from edgenas.spaces.reported import host
from tests.spaces import reference

NAMES = sorted(SPACES)
SEEDS = st.integers(0, 2**32 - 1)


def noise(space: SearchSpace, num: int, rng: np.random.Generator) -> Genes:
    """Any option of any gene, with the conditional ones missing at times."""
    lowest = [-1 if choice.active_when is not None else 0 for choice in space.choices]
    sizes = [len(choice.options) for choice in space.choices]
    return rng.integers(lowest, sizes, size=(num, space.num_genes)).astype(np.int16)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10)
@given(seed=SEEDS, prob=st.floats(0, 1))
def test_operators_stay_in_the_space(name: str, seed: int, prob: float) -> None:
    space, rng = SPACES[name], np.random.default_rng(seed)
    settled = space.canonical(noise(space, 12, rng))
    drawn = space.sample(12, rng)
    children = space.crossover(settled, drawn, rng)
    mutants = space.mutate(children, rng, prob=prob)
    for rows in (settled, drawn, children, mutants, space.extreme(largest=False), space.extreme(largest=True)):
        space.require_valid(rows)
        assert np.array_equal(space.canonical(rows), rows)
        assert np.array_equal(rows, reference.canonical(space, rows))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10)
@given(seed=SEEDS)
def test_readable_architectures_come_back_as_the_same_row(name: str, seed: int) -> None:
    space, rng = SPACES[name], np.random.default_rng(seed)
    rows = np.concatenate([space.sample(4, rng), space.canonical(noise(space, 4, rng))])
    texts = [json.dumps(space.to_json(row), allow_nan=False) for row in rows]
    for row, text in zip(rows, texts, strict=True):
        assert np.array_equal(space.from_json(json.loads(text))[0], row)
    assert len(set(texts)) == len(unique_rows(rows))


@pytest.mark.parametrize("name", NAMES)
def test_named_architectures_are_in_their_space(name: str) -> None:
    space = SPACES[name]
    for known, named in named_archs(space).items():
        hosting = host(space, named)
        assert hosting.to_json(hosting.from_json(named.arch)[0]) == named.arch
        assert find_named(space, known.upper()) == named


def test_names_are_told_apart_in_any_case_and_their_spaces_exist() -> None:
    assert len({name.casefold() for name in NAMED}) == len(NAMED)
    assert not {name.casefold() for name in NAMED} & {"smallest", "largest"}
    assert {named.space for named in NAMED.values()} <= set(SPACES)
