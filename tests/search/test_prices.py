"""What more of a cost buys, step by step along a front."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenas.search.pareto import pareto_front
from edgenas.search.prices import ends_differ, price_steps, thinned


def right(*shares: float, num: int = 200) -> np.ndarray:
    """Nets that get the first images right."""
    return np.array([np.arange(num) < round(share * num) for share in shares])


def test_steps_go_from_the_cheapest_to_the_best_net_of_the_front() -> None:
    costs = np.array([3.0, 1.0, 2.0, 2.5])
    steps = list(price_steps(costs, right(0.9, 0.5, 0.8, 0.7), rng=np.random.default_rng(0)))
    assert [(step.first, step.second, step.extra) for step in steps] == [(1, 2, 1.0), (2, 0, 1.0), (1, 0, 2.0)]
    assert [step.gain.value for step in steps] == pytest.approx([0.3, 0.1, 0.4])
    assert [step.is_whole for step in steps] == [False, False, True]
    assert all(0 < step.gain.low < step.gain.value < step.gain.high for step in steps)


def test_a_step_of_one_image_may_be_nothing() -> None:
    (step,) = price_steps(np.array([1.0, 2.0]), right(0.5, 0.505), rng=np.random.default_rng(0))
    assert step.gain.low <= 0


def test_one_net_and_no_images_have_no_price() -> None:
    assert list(price_steps(np.array([1.0]), right(0.5), rng=np.random.default_rng(0))) == []
    assert list(price_steps(np.array([1.0, 2.0]), right(0.5, 0.6)[:, :0], rng=np.random.default_rng(0))) == []


@given(seed=st.integers(0, 2**32), num=st.integers(1, 30), most=st.integers(2, 8))
def test_a_long_front_is_thinned_but_for_its_ends(seed: int, num: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    costs = rng.random(num)
    front = pareto_front(costs, rng.random(num))
    left = thinned(costs, front, most)
    assert len(left) == min(most, len(front))
    assert (left[0], left[-1]) == (front[0], front[-1])
    assert [place for place in front if place in left] == left.tolist()


def test_what_is_left_of_a_long_front_is_spread_over_cost() -> None:
    assert thinned(np.arange(33.0), np.arange(33), 5).tolist() == [0, 8, 16, 24, 32]


def test_ends_that_differ_by_few_images_are_not_told_apart() -> None:
    assert ends_differ(right(0.5, 0.525), np.array([0, 1])) > 0.05  # five images
    assert ends_differ(right(0.5, 0.55), np.array([0, 1])) < 0.05
    assert ends_differ(right(0.5), np.array([0])) == 1.0
