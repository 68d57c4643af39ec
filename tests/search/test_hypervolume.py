"""The hypervolume against counting, and what may not change it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenas.search.hypervolume import hypervolume, undominated_rows


def counted(losses_AO: np.ndarray, side: int) -> float:
    """The volume up to the corner (side, side, ...) of rows of whole numbers, cell by cell."""
    cells = np.stack(np.meshgrid(*[np.arange(side)] * losses_AO.shape[1], indexing="ij"), axis=-1).reshape(-1, losses_AO.shape[1])
    return float((cells[:, None] >= losses_AO[None]).all(axis=2).any(axis=1).sum())


@given(seed=st.integers(0, 2**32), num=st.integers(0, 12), objectives=st.integers(1, 4))
def test_it_is_what_counting_cells_gives(seed: int, num: int, objectives: int) -> None:
    losses = np.random.default_rng(seed).integers(0, 7, size=(num, objectives))
    assert hypervolume(losses.astype(float), np.full(objectives, 5.0)) == counted(losses, 5)


def test_two_nets_and_a_reference_point() -> None:
    losses = np.array([[1.0, 3.0], [2.0, 1.0], [2.5, 2.0]])  # the last one is beaten
    assert hypervolume(losses, np.array([4.0, 4.0])) == pytest.approx(1 * 1 + 2 * 3)


def test_a_net_that_reaches_only_the_reference_point_counts_for_nothing() -> None:
    assert hypervolume(np.array([[1.0, 4.0]]), np.array([4.0, 4.0])) == 0.0


def test_a_reference_point_of_other_objectives_is_refused() -> None:
    with pytest.raises(ValueError, match="no reference point of 3 objectives"):
        hypervolume(np.zeros((1, 2)), np.ones(3))


@given(seed=st.integers(0, 2**32), num=st.integers(1, 20), objectives=st.integers(1, 3))
def test_what_is_kept_is_beaten_by_nothing_and_beats_or_equals_the_rest(seed: int, num: int, objectives: int) -> None:
    losses = np.random.default_rng(seed).integers(0, 4, size=(num, objectives))
    kept = undominated_rows(losses)
    no_worse = (losses[:, None] <= losses[None]).all(axis=2)
    better = no_worse & ~no_worse.T
    assert not better[:, kept].any()
    assert no_worse[kept].any(axis=0).all()
    assert len(np.unique(losses[kept], axis=0)) == len(kept)
