from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from edgenas.stats import (
    accuracy,
    beats_most_frequent,
    clopper_pearson,
    decide,
    holm,
    images_to_show,
    kendall_tau,
    mcnemar,
    median_interval,
    most_frequent,
    paired_difference,
    paired_mean_difference,
    paired_score,
    pick_threshold,
    sensitivities,
    trials_to_prove,
    wilson,
)


def test_wilson_gives_the_textbook_interval() -> None:
    share = wilson(15, 20)
    assert (share.value, share.n) == (0.75, 20)
    assert share.low == pytest.approx(0.5313, abs=1e-4)
    assert share.high == pytest.approx(0.8881, abs=1e-4)


def test_73_positives_without_a_miss_prove_a_sensitivity_of_95_percent() -> None:
    assert trials_to_prove(0.95) == 73
    assert wilson(73, 73).low >= 0.95 > wilson(72, 72).low
    assert trials_to_prove(0.99) == 381


@given(n=st.integers(1, 500), data=st.data())
def test_intervals_hold_the_share_and_clopper_pearson_is_exact(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    for share in (wilson(hits, n), clopper_pearson(hits, n)):
        assert 0 <= share.low <= share.value <= share.high <= 1


def test_without_trials_nothing_is_known() -> None:
    share = wilson(0, 0)
    assert math.isnan(share.value)
    assert share.as_json() == {"value": None, "low": 0.0, "high": 1.0, "n": 0}
    with pytest.raises(ValueError, match="3 successes in 2 trials"):
        wilson(3, 2)


def test_the_decision_is_positive_from_the_threshold_on_else_the_best_other() -> None:
    probabilities = np.array([[0.3, 0.5, 0.2], [0.29, 0.5, 0.21], [0.9, 0.05, 0.05]])
    assert decide(probabilities, 0, 0.3).tolist() == [0, 1, 0]
    assert decide(probabilities, 0, 0.95).tolist() == [1, 1, 1]
    assert decide(probabilities, None, None).tolist() == [1, 1, 0]


def test_accuracy_and_sensitivity_count_images() -> None:
    decisions, labels = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0])
    assert accuracy(decisions, labels).value == 0.75
    found = sensitivities(decisions, labels, ["a", "b", "c"])
    assert found["a"].value == pytest.approx(2 / 3)
    assert found["b"].value == 1.0
    assert found["c"].n == 0


def test_mcnemar_is_symmetric_and_certain_only_with_evidence() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(1, 9) == mcnemar(9, 1) == pytest.approx(0.0215, abs=1e-3)


def test_the_threshold_is_the_highest_that_finds_the_floor() -> None:
    scores = np.array([0.45, 0.40, 0.30, 0.20, 0.35, 0.05, 0.01, 0.01])
    positive = np.array([True, True, True, True, False, False, False, False])
    assert pick_threshold(scores, positive, min_sensitivity=1.0) == pytest.approx((0.20 + 0.05) / 2)
    assert pick_threshold(scores, positive, min_sensitivity=0.75) == pytest.approx((0.30 + 0.20) / 2)
    assert pick_threshold(scores, positive, min_sensitivity=0.5) == pytest.approx((0.40 + 0.35) / 2)
    assert pick_threshold(scores, np.zeros(8, dtype=bool), min_sensitivity=0.9) == 0.5


def test_without_a_floor_the_threshold_finds_95_percent_where_youden_would_miss_more() -> None:
    scores = np.concatenate([np.linspace(0.05, 0.9, 100), np.linspace(0.0, 0.4, 100)])
    positive = np.arange(200) < 100
    threshold = pick_threshold(scores, positive, min_sensitivity=None)
    assert (scores[positive] >= threshold).sum() == 95
    youden = max(np.unique(scores), key=lambda t: (scores[positive] >= t).mean() - (scores[~positive] >= t).mean())
    assert (scores[positive] >= youden).mean() < 0.7


def test_what_beats_the_most_frequent_class() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    assert most_frequent(labels) == (0, wilson(90, 100))
    constant = np.zeros(100, dtype=np.int64)
    assert not beats_most_frequent(constant, constant, labels)
    assert beats_most_frequent(labels, labels, labels)
    screening = np.array([1] * 30 + [0] * 60 + [1] * 10)  # finds all of the rare class, and 30 false alarms: 70 % right
    assert beats_most_frequent(constant, screening, labels)
    dice = np.tile([0, 1], 50)
    assert not beats_most_frequent(dice, dice, labels)
    assert most_frequent(np.array([], dtype=np.int64))[0] == -1


def right(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Which images two classifiers get right, from how many both, just one and neither do."""
    cells = np.repeat([0, 1, 2, 3], [both, first, second, neither])
    return (cells == 0) | (cells == 1), (cells == 0) | (cells == 2)


def test_a_paired_difference_has_the_interval_of_resampled_images() -> None:
    first_N, second_N = right(both=800, first=90, second=50, neither=60)
    found = paired_difference(first_N, second_N, rng=np.random.default_rng(0))
    rng = np.random.default_rng(1)
    rows_RN = rng.integers(0, 1000, (4000, 1000))
    resampled = first_N[rows_RN].mean(axis=1) - second_N[rows_RN].mean(axis=1)
    assert (found.value, found.n) == (pytest.approx(0.04), 1000)
    assert found.low == pytest.approx(np.quantile(resampled, 0.025), abs=0.002)
    assert found.high == pytest.approx(np.quantile(resampled, 0.975), abs=0.002)
    assert 0 < found.low < 0.04 < found.high
    swapped = paired_difference(second_N, first_N, rng=np.random.default_rng(0))
    assert swapped.high < 0
    assert (first_N.sum(), second_N.sum()) == (890, 850)


def test_a_paired_difference_is_narrower_than_that_of_classifiers_on_other_images() -> None:
    paired = paired_difference(*right(900, 12, 8, 80), rng=np.random.default_rng(0))
    apart = paired_difference(*right(830, 82, 78, 10), rng=np.random.default_rng(0))
    assert paired.value == pytest.approx(apart.value)
    assert paired.high - paired.low < 0.5 * (apart.high - apart.low)


def test_few_images_that_just_one_gets_right_decide_nothing() -> None:
    assert mcnemar(5, 0) == 0.0625
    assert paired_difference(*right(95, 5, 0, 0), rng=np.random.default_rng(0)).low == 0.0
    assert mcnemar(6, 0) == 0.03125
    assert paired_difference(*right(94, 6, 0, 0), rng=np.random.default_rng(0)).low > 0
    same = paired_difference(*right(97, 0, 0, 3), rng=np.random.default_rng(0))
    assert same.value == 0
    assert same.high == -same.low == pytest.approx(0.0362, abs=1e-4)  # 1 - 0.025 ** (1 / 100)


@given(cells=st.tuples(*[st.integers(0, 60)] * 4), seed=st.integers(0, 2**32 - 1))
def test_a_paired_difference_never_decides_where_the_exact_test_does_not(cells: tuple[int, int, int, int], seed: int) -> None:
    found = paired_difference(*right(*cells), rng=np.random.default_rng(seed), num_resamples=200)
    assert -1 <= found.low <= found.high <= 1
    if sum(cells):
        assert found.low <= found.value <= found.high
    if mcnemar(cells[1], cells[2]) > 0.05:
        assert found.low <= 0 <= found.high


def test_a_paired_difference_needs_the_same_images() -> None:
    with pytest.raises(ValueError, match="same images"):
        paired_difference(np.ones(3, dtype=bool), np.ones(4, dtype=bool), rng=np.random.default_rng(0))
    nothing = np.ones(0, dtype=bool)
    assert math.isnan(paired_difference(nothing, nothing, rng=np.random.default_rng(0)).value)


@pytest.mark.parametrize("n", [6, 9, 30])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_few_things_that_are_ranked_alike_prove_no_perfect_ranking(n: int, sign: float) -> None:
    tau = kendall_tau(np.arange(float(n)), sign * np.arange(float(n)))
    assert tau.value == pytest.approx(sign)
    assert tau.low <= tau.value <= tau.high
    assert (tau.high if sign > 0 else tau.low) == sign
    assert tau.high - tau.low > {6: 0.3, 9: 0.08, 30: 0.003}[n]


def test_tests_are_corrected_for_their_number() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("first", "second", "n", "confidence", "low", "high"),
    [
        (1, 7, 21, 0.95, -0.517, -0.026),  # Bentur et al. 2009, in Fagerland, Lydersen & Laake, Statistics in Medicine 33, 2014
        (48, 41, 549, 0.90, -0.0157, 0.0414),  # PropCIs::scoreci.mp of R
    ],
)
def test_the_paired_score_interval_is_the_published_one(
    first: int, second: int, n: int, confidence: float, low: float, high: float
) -> None:
    found = paired_score(first, second, n, confidence=confidence)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-4), pytest.approx(high, abs=5e-5 if n > 100 else 5e-4))


def test_with_one_kind_of_change_alone_the_paired_interval_s_end_is_wilson_s() -> None:
    for lost in (0, 3):
        assert paired_score(lost, 0, 100).high == pytest.approx(wilson(lost, 100).high, abs=1e-9)
    nothing = paired_score(0, 0, 0)
    assert (math.isnan(nothing.value), nothing.low, nothing.high) == (True, -1, 1)
    with pytest.raises(ValueError, match="6 and 5 of 10 images"):
        paired_score(6, 5, 10)


@given(st.integers(0, 400), st.integers(0, 400), st.integers(1, 4000))
def test_a_paired_loss_is_never_above_the_share_of_images_that_changed(first: int, second: int, more: int) -> None:
    n = first + second + more
    loss, gain = paired_score(first, second, n), paired_score(second, first, n)
    assert loss.low <= loss.value <= loss.high <= wilson(first + second, n).high + 1e-9
    assert (loss.low, loss.high) == (pytest.approx(-gain.high, abs=1e-9), pytest.approx(-gain.low, abs=1e-9))


def test_the_images_that_would_show_a_margin_do_show_it() -> None:
    assert images_to_show(0, 0, 10, 0.02) == trials_to_prove(0.98) == 189
    assert images_to_show(2, 0, 100, 0.02) is None  # the loss is the margin
    needed = images_to_show(1, 0, 100, 0.03)
    assert needed is not None
    assert paired_score(math.ceil(needed / 100), 0, needed).high <= 0.03


@pytest.mark.parametrize("n", [6, 9, 12, 21])
def test_the_interval_of_a_median_holds_it_as_often_as_it_says(n: int) -> None:
    rng, held = np.random.default_rng(0), 0
    for _ in range(2000):
        _, low, high = median_interval(rng.exponential(size=n))
        assert low is not None
        assert high is not None
        held += low <= math.log(2) <= high
    assert 0.945 < held / 2000 < 0.985


def test_a_few_values_say_nothing_of_a_median() -> None:
    assert median_interval(np.array([3.0, 1.0, 2.0, 5.0, 4.0])) == (3.0, None, None)
    assert median_interval(np.arange(6.0)) == (2.5, 0.0, 5.0)
    value, low, high = median_interval(np.array([1.0, np.nan] * 5))
    assert math.isnan(value)
    assert (low, high) == (None, None)
    with pytest.raises(ValueError, match="no values"):
        median_interval(np.zeros(0))


def test_a_paired_difference_of_means_is_students() -> None:
    rng = np.random.default_rng(0)
    first_N, second_N = rng.normal(size=40), rng.normal(0.3, 1.0, size=40)
    found = paired_mean_difference(first_N, second_N, confidence=0.9)
    known = scipy.stats.ttest_rel(first_N, second_N)
    low, high = known.confidence_interval(0.9)
    assert found.value == pytest.approx(float((first_N - second_N).mean()))
    assert (found.low, found.high, found.n) == (pytest.approx(low), pytest.approx(high), 40)


@pytest.mark.parametrize("n", [0, 1])
def test_a_paired_difference_of_means_of_one_image_has_no_ends(n: int) -> None:
    found = paired_mean_difference(np.zeros(n), np.ones(n))
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_means_of_other_images_are_not_paired() -> None:
    with pytest.raises(ValueError, match="not of the same images"):
        paired_mean_difference(np.zeros(3), np.ones(2))
