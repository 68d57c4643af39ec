"""The threshold that is deployed: what it must find, what it costs, and whether that is shown."""

from __future__ import annotations

import numpy as np
import pytest

from edgenas.project.deployed import threshold_choice
from edgenas.stats import wilson

RNG = np.random.default_rng(0)
SCORES = np.concatenate([RNG.beta(4, 2, 200), RNG.beta(2, 4, 300)])
ILL = np.arange(500) < 200


def test_a_floor_that_was_asked_for_is_reached_by_the_lower_end_and_by_no_higher_threshold() -> None:
    choice = threshold_choice(SCORES, ILL, 0.9, confidence=0.95)
    assert choice.is_asked
    assert choice.is_shown
    assert choice.sensitivity.low >= 0.9
    higher = np.sort(SCORES[ILL & (choice.threshold <= SCORES)])[1]  # one positive fewer
    assert wilson(int((SCORES[ILL] >= higher).sum()), 200).low < 0.9
    alarms = int((SCORES[~ILL] >= choice.threshold).sum())
    assert choice.false_alarms == wilson(alarms, 300)
    found = round(choice.sensitivity.value * 200)
    assert choice.words == (
        "the highest whose sensitivity on calibrate has its lower end (95 %) at 0.9 as asked; "
        f"it finds {found} of 200 there, at the price of false alarms for {alarms} of 300 others"
    )


def test_without_a_floor_it_finds_the_default_share() -> None:
    choice = threshold_choice(SCORES, ILL, 0.95)
    assert (choice.is_asked, choice.is_shown, round(choice.sensitivity.value * 200)) == (False, True, 190)
    assert choice.words.startswith("the highest that finds 95 % on calibrate (default); it finds 190 of 200 there")


def test_too_few_positives_for_the_floor_are_all_found_and_it_is_said() -> None:
    some = np.concatenate([np.arange(20), np.arange(200, 500)])
    choice = threshold_choice(SCORES[some], ILL[some], 0.95, confidence=0.95)
    assert (choice.is_shown, choice.sensitivity.value) == (False, 1.0)
    assert "they are too few to show the 0.95 asked for" in choice.words


@pytest.mark.parametrize(("num", "is_said"), [(19, True), (20, False)])
def test_that_one_image_sets_the_threshold_is_said(num: int, is_said: bool) -> None:
    some = np.concatenate([np.arange(num), np.arange(200, 500)])
    choice = threshold_choice(SCORES[some], ILL[some], 0.95)
    assert choice.enough == 20
    assert choice.is_set_by_one == is_said == (choice.sensitivity.value == 1.0)
    assert ("the least likely of so few images sets it: 20 or more on calibrate would be steadier" in choice.words) == is_said


@pytest.mark.parametrize("ill", [np.zeros(500, dtype=bool), np.ones(500, dtype=bool)])
def test_where_nothing_can_be_chosen_it_is_one_half_and_not_shown_of_none(ill: np.ndarray) -> None:
    choice = threshold_choice(SCORES, ill, 0.95)
    assert choice.threshold == 0.5
    assert choice.is_shown == bool(ill.any() and (SCORES >= 0.5).mean() >= 0.95)
