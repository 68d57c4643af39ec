from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenas.errors import ArchError
from edgenas.spaces import Choice, Condition, SearchSpace, Task, get_space

TREE = SearchSpace(
    name="tree",
    family="toy",
    choices=(
        Choice("depth", (1, 2, 3)),
        Choice("width[0]", (8, 16)),
        Choice("width[1]", (8, 16), Condition("depth", (2, 3))),
        Choice("width[2]", (8, 16), Condition("depth", (3,))),
    ),
    default_task=Task(2),
)
SEEDS = st.integers(0, 2**32 - 1)


def test_cardinality_counts_distinct_networks() -> None:
    assert TREE.cardinality == 2 + 4 + 8
    assert get_space("pvt-covidx").cardinality == 120
    assert get_space("pvt-nano").cardinality == 62_208


def test_sampling_is_uniform_over_distinct_networks() -> None:
    rows = TREE.sample(14_000, np.random.default_rng(0))
    _, counts = np.unique(rows, axis=0, return_counts=True)
    assert len(counts) == 14
    assert counts.min() > 850
    assert counts.max() < 1150


def test_inactive_genes_make_equal_networks_equal_rows() -> None:
    rows = np.array([[0, 1, 0, 1], [0, 1, 1, 0]], dtype=np.int16)
    assert (TREE.canonical(rows) == [[0, 1, -1, -1]] * 2).all()


@given(seed=SEEDS, prob=st.floats(0, 1))
def test_mutation_and_crossover_stay_in_the_space(seed: int, prob: float) -> None:
    rng = np.random.default_rng(seed)
    first, second = TREE.sample(6, rng), TREE.sample(6, rng)
    TREE.require_valid(TREE.mutate(first, rng, prob=prob))
    TREE.require_valid(TREE.crossover(first, second, rng))


@given(seed=SEEDS)
def test_readable_architectures_round_trip(seed: int) -> None:
    row = TREE.sample(1, np.random.default_rng(seed))
    assert (TREE.from_json(TREE.to_json(row[0])) == row).all()


def test_the_readable_form_is_the_contracts() -> None:
    space = get_space("pvt-covidx")
    arch = {"pool_size": 7, "depths": [2, 2, 2, 2], "qkv_dims": [16, 32, 80, 128], "mlp_ratios": [8, 8, 8, 4]}
    assert space.to_json(space.from_json(arch)[0]) == arch
    assert set(get_space("pvt-nano").to_json(get_space("pvt-nano").extreme(largest=True)[0])) == set(arch)


def test_every_illegal_gene_is_named_with_what_is_allowed() -> None:
    arch = {"pool_size": 9, "depths": [2, 2, 2, 2], "qkv_dims": [1, 2, 3, 4]}
    with pytest.raises(ArchError) as caught:
        get_space("pvt-covidx").from_json(arch)
    assert len(caught.value.problems) == 3
    assert "pool_size is 9; allowed: 7, 15, 31" in caught.value.problems
    assert any(problem.startswith("mlp_ratios is missing") for problem in caught.value.problems)


def test_surplus_keys_and_entries_are_refused() -> None:
    space = get_space("pvt-nano")
    arch = space.to_json(space.extreme(largest=False)[0])
    with pytest.raises(ArchError, match="heads is unknown"):
        space.from_json({**arch, "heads": 3})
    with pytest.raises(ArchError, match="depths has 5 entries; allowed: 4"):
        space.from_json({**arch, "depths": [*arch["depths"], 1]})


@pytest.mark.parametrize("value", [True, "2", None, 2.5, [2]])
def test_a_value_of_another_type_is_no_option(value: object) -> None:
    space = get_space("pvt-nano")
    arch = space.to_json(space.extreme(largest=False)[0]) | {"pool_size": value}
    with pytest.raises(ArchError, match="pool_size"):
        space.from_json(arch)


def test_rows_outside_the_space_are_named() -> None:
    with pytest.raises(ArchError, match="row 1: depth has option 7"):
        TREE.require_valid(np.array([[0, 1, -1, -1], [7, 0, 0, 0]], dtype=np.int16))
    with pytest.raises(ArchError, match="row 0 is not canonical"):
        TREE.require_valid(np.array([[0, 1, 0, -1]], dtype=np.int16))


def test_a_space_with_a_wrong_condition_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="depends on no earlier choice"):
        SearchSpace("bad", "toy", (Choice("a", (1, 2), Condition("b", (1,))),), Task(2))
    with pytest.raises(ValueError, match="doubled"):
        SearchSpace("bad", "toy", (Choice("a", (1, 1)),), Task(2))


def test_a_choice_may_be_the_length_of_a_list() -> None:
    space = SearchSpace("short", "toy", (Choice("depth", (1, 2), length_of=("width",)), Choice("width[0]", (8, 16))), Task(2))
    assert space.from_json({"width": [16]}).tolist() == [[0, 1]]
    with pytest.raises(ArchError, match=r"depth \(the length of width\) is missing; allowed: 1, 2"):
        space.from_json({})


def test_corners_are_the_ends_with_every_option_of_the_trade_offs() -> None:
    space = SearchSpace("two", "toy", (Choice("a", (1, 2, 3)), Choice("b", (4, 5)), Choice("c", (6, 7))), Task(2), ("a", "c"))
    assert space.corners(largest=True).tolist() == [[a, 1, c] for a in (0, 1, 2) for c in (0, 1)]
    assert space.corners(largest=False).tolist() == [[a, 0, c] for a in (0, 1, 2) for c in (0, 1)]
    assert np.array_equal(TREE.corners(largest=True), TREE.extreme(largest=True))
