"""The zone that a person decides: as small as the error asked for allows, and what it is worth is counted."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgenas.project.deployed import threshold_choice, with_referral
from edgenas.project.settings import DecisionSettings
from edgenas.stats import pick_referral, refers
from edgenas.training.evaluation import report

RNG = np.random.default_rng(0)
SCORES = np.concatenate([RNG.beta(4, 2, 200), RNG.beta(2, 4, 300)])
ILL = np.arange(500) < 200


def kept_and_wrong(
    scores_N: NDArray[np.float64], ill_N: NDArray[np.bool_], threshold: float, low: float, high: float
) -> tuple[int, int]:
    kept_N = ~refers(scores_N, low, high)
    return int(kept_N.sum()), int((kept_N & ((scores_N >= threshold) != ill_N)).sum())


@given(
    st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=25),
    st.integers(0, 40),
    st.sampled_from([0.0, 0.1, 0.25, 0.5]),
)
def test_no_other_zone_refers_fewer_images_at_the_error_asked_for(
    images: list[tuple[int, bool]], at: int, max_error: float
) -> None:
    scores_N, ill_N = np.array([s / 20 for s, _ in images]), np.array([ill for _, ill in images], dtype=bool)
    threshold = at / 40
    low, high = pick_referral(scores_N, ill_N, threshold, max_error=max_error)
    assert 0 <= low <= threshold <= high <= 1
    kept, wrong = kept_and_wrong(scores_N, ill_N, threshold, low, high)
    assert wrong <= max_error * kept + 1e-9
    grid = [i / 40 for i in range(41)]
    zones = [zone for zone in itertools.product(grid, grid) if zone[0] <= threshold <= zone[1]]
    others = (kept_and_wrong(scores_N, ill_N, threshold, *zone) for zone in zones)
    assert kept >= max(k for k, w in others if w <= max_error * k + 1e-9)


def test_a_zone_that_is_chosen_keeps_to_its_error_and_says_so() -> None:
    choice = with_referral(threshold_choice(SCORES, ILL, 0.9), SCORES, ILL, DecisionSettings(refer="auto", refer_error=0.05))
    zone = choice.refer
    assert zone is not None
    assert zone.low < choice.threshold < zone.high
    assert zone.found.error.value <= 0.05 < zone.found.error_without.value
    assert zone.found.share.n == 500
    assert zone.found.missed.n == 200
    assert zone.words.startswith(
        f"to a person from {zone.low:.4g} to {zone.high:.4g} (chosen for at most 5 % wrong): on calibrate "
    )


def test_a_zone_that_is_set_is_taken_as_it_is_and_counted_on_other_images() -> None:
    choice = with_referral(threshold_choice(SCORES, ILL, 0.9), SCORES, ILL, DecisionSettings(refer=(0.2, 0.8)))
    assert choice.refer is not None
    assert (choice.refer.low, choice.refer.high, choice.refer.target) == (0.2, 0.8, None)
    probabilities_NC = np.stack([1 - SCORES, SCORES], axis=1)
    metrics = report(
        probabilities_NC,
        ILL.astype(int),
        ("well", "ill"),
        positive="ill",
        threshold=choice.threshold,
        choice=choice,
        split="confirm",
    )
    assert metrics.referral is not None
    assert metrics.referral.split == "confirm"
    referred = int(((SCORES >= 0.2) & (SCORES <= 0.8)).sum())
    assert metrics.referral.share.value == pytest.approx(referred / 500)
    assert metrics.referral.missed.value == pytest.approx((ILL & (SCORES < 0.2)).sum() / 200)


def test_without_a_zone_nothing_is_referred_or_said() -> None:
    choice = with_referral(threshold_choice(SCORES, ILL, 0.9), SCORES, ILL, DecisionSettings())
    assert choice.refer is None
    assert "refer" not in choice.as_json()


def test_where_no_small_zone_keeps_to_the_error_everything_is_referred_and_it_is_said() -> None:
    rng = np.random.default_rng(3)
    scores_N, ill_N = np.linspace(0, 1, 40), rng.random(40) < 0.5
    ill_N[0], ill_N[-1] = True, False
    choice = with_referral(threshold_choice(scores_N, ill_N, 0.9), scores_N, ill_N, DecisionSettings(refer="auto", refer_error=0.0))
    assert choice.refer is not None
    assert (choice.refer.low, choice.refer.high) == (0.0, 1.0)
    assert "every image is referred: no smaller zone keeps to that" in choice.refer.words


@pytest.mark.parametrize("refer", [(0.6, 0.2), (0.5,), (0.1, 0.2, 0.3)])
def test_a_zone_has_two_ends_in_order(refer: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="two probabilities, the lower one first"):
        DecisionSettings(refer=refer)
