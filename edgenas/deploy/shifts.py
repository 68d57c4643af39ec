"""How a conversion moves numbers that no gate judges: the distances of logits, and how right the probabilities are.

Shapes: N images, C classes.
"""

from __future__ import annotations

import math

import numpy as np
import scipy
from numpy.typing import NDArray

from edgenas import stats
from edgenas.records import CalibrationShift, LogitErrors, Proportion

NUM_RESAMPLES = 200  # of the images


def logit_errors(reference_NC: NDArray[np.floating], candidate_NC: NDArray[np.floating]) -> LogitErrors:
    """Distances of two nets' logits; NaN without images, NaN or infinite where a logit is."""
    if not reference_NC.size:
        return LogitErrors(max_abs=math.nan, mean_abs=math.nan, min_cosine=math.nan)
    first_NC, second_NC = reference_NC.astype(np.float64), candidate_NC.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        difference_NC = np.abs(first_NC - second_NC)
        norms_N = np.linalg.norm(first_NC, axis=1) * np.linalg.norm(second_NC, axis=1)
        cosine_N = np.where(norms_N == 0, 1.0, (first_NC * second_NC).sum(axis=1) / norms_N)
        signal, noise = float((first_NC**2).sum()), float((difference_NC**2).sum())
    ratio = signal / noise if noise and math.isfinite(noise) and math.isfinite(signal) else 0.0
    return LogitErrors(
        max_abs=float(difference_NC.max()),
        mean_abs=float(difference_NC.mean()),
        min_cosine=float(cosine_N.min()),
        snr_db=10 * math.log10(ratio) if ratio else None,
    )


def calibration_shift(
    reference_NC: NDArray[np.floating], candidate_NC: NDArray[np.floating], labels_N: NDArray[np.integer], *, seed: int = 0
) -> CalibrationShift | None:
    """Calibration errors of two nets on the same images; None without images, or where a logit is not finite.

    The interval of the difference is of resampled images, the same for both nets.
    """
    num = len(labels_N)
    if not num or not (np.isfinite(reference_NC).all() and np.isfinite(candidate_NC).all()):
        return None
    sure_2N, right_2N = zip(*(_sure(each_NC, labels_N) for each_NC in (reference_NC, candidate_NC)), strict=True)

    def errors(rows_N: NDArray[np.int64] | slice) -> tuple[float, float]:
        source, file = (stats.expected_calibration_error(s[rows_N], r[rows_N]) for s, r in zip(sure_2N, right_2N, strict=True))
        return source, file

    source, file = errors(slice(None))
    rng, shifts = np.random.default_rng(seed), []
    for _ in range(NUM_RESAMPLES):
        before, after = errors(rng.integers(num, size=num))
        shifts.append(after - before)
    low, high = np.quantile(shifts, [0.025, 0.975])
    shift = file - source
    return CalibrationShift(source=source, file=file, shift=Proportion(shift, min(float(low), shift), max(float(high), shift), num))


def _sure(logits_NC: NDArray[np.floating], labels_N: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probability of the likeliest class, and whether it is the image's."""
    p_NC = scipy.special.softmax(logits_NC.astype(np.float64), axis=1)
    return p_NC.max(axis=1), np.asarray(p_NC.argmax(axis=1) == labels_N)
