"""What the demo says of each rival."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgenas.project.comparing.judging import compared
from edgenas.project.comparing.plain_words import CHANCE, NEAR, doubts, is_ahead, sentences
from tests.project.test_compare_verdict import answers


def rows(*nets: tuple[str, int, bool]):  # type: ignore[no-untyped-def]
    """The searched net misses 100 images; rivals by name, how many they miss, whether they keep to the limit."""
    found = compared([answers("searched", 100), *(answers(name, wrong, fits=fits) for name, wrong, fits in nets)], seed=0)
    return [replace(row, kind="hand") if row.name == "hand" else row for row in found]


def test_a_rival_behind_is_named_with_the_interval_and_what_both_take() -> None:
    (text,) = sentences(rows(("hand", 150, True)), 5.0)
    assert text.startswith("ahead of the best hand-made net by 5.0 [")
    assert text.endswith("points; both within the limit, 4 against 4 ms")


def test_a_rival_ahead_is_said_to_be() -> None:
    found = rows(("hand", 40, True))
    (text,) = sentences(found, 5.0)
    assert text.startswith("behind the best hand-made net by 6.0 [")
    assert not is_ahead(found)


def test_a_hand_made_net_that_the_search_chose_too_is_called_that() -> None:
    ours, hand = (replace(row, arch=[1, 2]) for row in rows(("hand", 102, True)))
    (text,) = sentences([ours, hand], 5.0)
    assert "points), another training of the same architecture; both within the limit" in text


def test_what_chance_could_have_done_is_not_called_ahead() -> None:
    found = rows(("hand", 102, True))
    (text,) = sentences(found, 5.0)
    assert text.startswith("not told apart from the best hand-made net (0.2 [")
    assert not is_ahead(found)


def test_a_rival_that_breaks_the_limit_says_by_how_much() -> None:
    found = rows(("hand", 150, True), ("starnet_s050@16", 160, False))
    *_, text = sentences(found, 5.0)
    assert text.startswith("ahead of timm's starnet_s050@16 by 6.0 [")
    assert text.endswith("it takes 1.4 times the limit")
    assert is_ahead(found)


def test_a_searched_net_that_breaks_the_limit_when_all_are_timed_is_not_ahead_and_says_so() -> None:
    ours, rival = rows(("hand", 150, True))
    (text,) = sentences([replace(ours, fits=False), rival], 3.9)
    assert text.startswith("ahead of the best hand-made net by 5.0 [")
    assert text.endswith("; the searched net took 1.03 times the limit when all were timed, 4 against 4 ms")
    assert not is_ahead([replace(ours, fits=False), rival])
    assert doubts([replace(ours, fits=False), rival]) == (NEAR,)
    assert doubts(rows(("hand", 102, True))) == (CHANCE,)
    assert doubts([ours, rival]) == ()


def test_a_slower_rival_as_good_is_said_and_takes_nothing_from_the_lead_within_the_limit() -> None:
    found = rows(("hand", 150, True), ("starnet_s050@16", 98, False))
    *_, text = sentences(found, 5.0)
    assert text.startswith("not told apart from timm's starnet_s050@16 (-0.2 [")
    assert is_ahead(found)


@pytest.mark.parametrize("wrong", [100, 99])
def test_equal_nets_are_not_called_ahead(wrong: int) -> None:
    assert not is_ahead(rows(("hand", wrong, True)))
