"""By how much the class that must not be missed is raised, and what logits are then."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgenas.deploy.adjusting import adjusted, adjustment_of
from edgenas.deploy.calibrating import CalibrationImages

CALIBRATION = CalibrationImages(np.zeros((4, 1, 1, 1), dtype=np.float32), positive=2)
BEFORE_NK = np.array([[0, 1, 3], [2, 0, 1], [0, 0, 0], [5, 1, 4]], dtype=np.float32)
MOVED_N = np.array([-0.5, 0.25, 0.0, 0.25])  # of the positive class' logit


def moved(by_N: np.ndarray) -> np.ndarray:
    after_NK = BEFORE_NK.astype(np.float64)
    after_NK[:, 2] += by_N
    return after_NK


@pytest.mark.parametrize("threshold", [None, 0.2])
def test_it_makes_up_for_the_mean_and_three_standard_deviations(threshold: float | None) -> None:
    calibration = replace(CALIBRATION, threshold=threshold)
    expected = 3 * MOVED_N.std(ddof=1)
    assert adjustment_of(BEFORE_NK, moved(MOVED_N), calibration) == pytest.approx(expected)
    assert adjustment_of(BEFORE_NK, moved(MOVED_N - 0.1), calibration) == pytest.approx(expected + 0.1)
    assert adjustment_of(BEFORE_NK, moved(np.full(4, -0.5)), calibration) == pytest.approx(0.5)
    assert adjustment_of(BEFORE_NK, moved(MOVED_N + 10), calibration) == 0  # rounding raises it by more than it scatters


def test_what_rounding_does_to_other_classes_counts_as_far_as_the_rule_asks_them() -> None:
    after_NK = BEFORE_NK.copy()
    after_NK[:, 1] += 0.5  # the largest other class of the first image alone, of the third with another
    by_largest = adjustment_of(BEFORE_NK, after_NK, CALIBRATION)
    assert by_largest == pytest.approx(3 * np.std([0.5, 0, 0.5, 0], ddof=1) + 0.25)
    odds_N = [np.log(np.exp(row[:2]).sum()) for row in BEFORE_NK.astype(float)]
    odds_after_N = [np.log(np.exp(row[:2]).sum()) for row in after_NK.astype(float)]
    moved_N = np.subtract(odds_N, odds_after_N)
    by_threshold = adjustment_of(BEFORE_NK, after_NK, replace(CALIBRATION, threshold=0.7))
    assert by_threshold == pytest.approx(3 * moved_N.std(ddof=1) - moved_N.mean())


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_nothing_is_added_where_it_cannot_be_said_or_is_not_asked_for(number: float) -> None:
    after_NK = moved(MOVED_N)
    assert adjustment_of(BEFORE_NK, after_NK, replace(CALIBRATION, positive=None)) == 0
    assert adjustment_of(BEFORE_NK, after_NK, replace(CALIBRATION, adjusts=False)) == 0
    assert adjustment_of(BEFORE_NK[:1], after_NK[:1], CALIBRATION) == 0
    assert adjustment_of(BEFORE_NK[:, 2:], after_NK[:, 2:], replace(CALIBRATION, positive=0)) == 0
    broken_NK = after_NK.copy()
    broken_NK[1, 0] = number
    assert adjustment_of(BEFORE_NK, broken_NK, CALIBRATION) == 0
    assert adjustment_of(broken_NK, after_NK, CALIBRATION) == 0


def test_one_class_is_raised_in_a_copy() -> None:
    raised_NK = adjusted(BEFORE_NK, 0.25, 2)
    assert raised_NK.dtype == np.float32
    np.testing.assert_array_equal(raised_NK - BEFORE_NK, np.tile([0, 0, 0.25], (4, 1)))
    assert adjusted(BEFORE_NK, 0.0, 2) is BEFORE_NK
    assert adjusted(BEFORE_NK, 0.25, None) is BEFORE_NK


def test_what_is_added_is_a_float32_number() -> None:
    found = adjustment_of(BEFORE_NK, moved(MOVED_N), CALIBRATION)
    assert found == float(np.float32(found))
