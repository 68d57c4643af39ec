"""Views: any chain of Reshapes and Transposes is one, and its steps move every number to its place."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenas.graphs.views import ViewSteps, plain, steps_to


@st.composite
def chains(draw: st.DrawFn) -> tuple[tuple[int, ...], list[tuple[str, tuple[int, ...]]]]:
    """A shape, and Reshapes and Transposes after each other."""
    base = shape = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=4)))
    chain = []
    for _ in range(draw(st.integers(0, 5))):
        if draw(st.booleans()):
            how = tuple(draw(st.permutations(range(len(shape)))))
            shape = tuple(shape[axis] for axis in how)
            chain.append(("Transpose", how))
        else:
            left, sizes = math.prod(shape), []
            while left > 1:
                sizes.append(draw(st.sampled_from([size for size in range(1, left + 1) if left % size == 0])))
                left //= sizes[-1]
            shape = tuple(sizes) or (1,)
            chain.append(("Reshape", shape))
    return base, chain


@given(chains())
def test_a_chain_of_moves_is_at_most_three_steps_that_move_every_number_alike(
    drawn: tuple[tuple[int, ...], list[tuple[str, tuple[int, ...]]]],
) -> None:
    base, chain = drawn
    values = expected = np.arange(math.prod(base)).reshape(base)
    view = plain("x", base)
    for kind, how in chain:
        moved = view.transposed(how) if kind == "Transpose" else view.reshaped(how)
        if moved is None:  # an axis begins inside a factor of another
            break
        view = moved
        expected = expected.transpose(how) if kind == "Transpose" else expected.reshape(how)
    assert view.shape == expected.shape
    steps = steps_to(view, base, view.shape)
    assert steps.num <= 3
    made = values if steps.before is None else values.reshape(steps.before)
    made = made if steps.perm is None else made.transpose(steps.perm)
    made = made if steps.after is None else made.reshape(steps.after)
    np.testing.assert_array_equal(made, expected)


def test_what_is_undone_takes_no_step() -> None:
    tokens = plain("x", (2, 12, 5))
    image = tokens.transposed((0, 2, 1)).reshaped((2, 5, 3, 4))
    assert image is not None
    assert steps_to(image, (2, 12, 5), image.shape) == ViewSteps((2, 3, 4, 5), (0, 3, 1, 2), None)
    back = image.reshaped((2, 5, 12))
    assert back is not None
    assert steps_to(back.transposed((0, 2, 1)), (2, 12, 5), (2, 12, 5)).num == 0


def test_beside_a_convolution_all_four_axes_are_transposed() -> None:
    tokens = plain("x", (2, 5, 3, 4)).reshaped((2, 5, 12))
    assert tokens is not None
    assert steps_to(tokens.transposed((0, 2, 1)), (2, 5, 3, 4), (2, 12, 5)) == ViewSteps(None, (0, 2, 3, 1), (2, 12, 5))


@pytest.mark.parametrize("shape", [(4, 3), (2, 6), (5,)])
def test_an_axis_that_begins_inside_a_factor_is_no_view(shape: tuple[int, ...]) -> None:
    assert plain("x", (3, 4)).transposed((1, 0)).reshaped((3, 4)) is None
    assert (plain("x", (3, 5)).reshaped(shape)) is None


def test_no_axis_of_size_1_is_moved_where_it_need_not_be() -> None:
    rows = plain("x", (2, 1, 12, 5)).reshaped((2, 12, 5))
    assert rows is not None
    columns = rows.transposed((0, 2, 1))
    assert steps_to(columns, (2, 1, 12, 5), (2, 5, 12)) == ViewSteps((2, 12, 5), (0, 2, 1), None)
    heads = plain("x", (2, 5, 12)).transposed((0, 2, 1)).reshaped((2, 1, 12, 5))
    assert heads is not None
    assert steps_to(heads, (2, 5, 12), (2, 1, 12, 5)) == ViewSteps(None, (0, 2, 1), (2, 1, 12, 5))
