"""How far images are from another decision, beside how far a conversion has moved their logits.

Shapes: N images, C classes. Distances are differences of logits. By the decision rule an image is positive where
``z[positive] - logsumexp(z[others])`` reaches the logit of the threshold, else of the best other class.
"""

from __future__ import annotations

import math

import numpy as np
import scipy
from numpy.typing import NDArray

from edgenas.deploy.gates import Help
from edgenas.records import Equality
from edgenas.stats import wilson

EQUAL_SHARE = 1e-5  # of the logits' range on the images: what rounding may move them by
EQUAL_TIMES = 100.0  # a decision must be so many times the largest error away from every image
NEAR_TIMES = 10.0  # images within so many times the largest error of another decision are near it


def margins(logits_NC: NDArray[np.floating], positive: int | None, threshold: float | None) -> NDArray[np.float64]:
    """Distance of every image to another decision, shape (N,): by the threshold, and by the margin between two classes.

    Infinite where no logits of that kind change the decision.
    """
    z_NC = logits_NC.astype(np.float64)
    if positive is None or threshold is None:
        return _gap(z_NC)
    others_NC = np.delete(z_NC, positive, axis=1)
    limit = math.inf if threshold >= 1 else -math.inf if threshold <= 0 else math.log(threshold) - math.log1p(-threshold)
    with np.errstate(invalid="ignore"):
        above_N = z_NC[:, positive] - scipy.special.logsumexp(others_NC, axis=1) - limit
    distance_N: NDArray[np.float64] = np.where(above_N >= 0, above_N, np.minimum(-above_N, _gap(others_NC)))
    return distance_N


def _gap(z_NC: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest less the second largest of every row; infinite of a single column."""
    if z_NC.shape[1] < 2:
        return np.full(len(z_NC), np.inf)
    best_N2 = np.partition(z_NC, -2, axis=1)[:, -2:]
    gap_N: NDArray[np.float64] = best_N2[:, 1] - best_N2[:, 0]
    return gap_N


def equality(
    reference_NC: NDArray[np.floating], candidate_NC: NDArray[np.floating], positive: int | None, threshold: float | None
) -> Equality | None:
    """Whether a conversion is equal within rounding on some images; None without images, or where a logit is not finite."""
    first_NC, second_NC = reference_NC.astype(np.float64), candidate_NC.astype(np.float64)
    if not first_NC.size or not (np.isfinite(first_NC).all() and np.isfinite(second_NC).all()):
        return None
    error, spread = float(np.abs(first_NC - second_NC).max()), float(np.ptp(first_NC))
    nearest = float(margins(reference_NC, positive, threshold).min())
    is_equal = error <= EQUAL_SHARE * spread and nearest >= EQUAL_TIMES * error
    return Equality(
        is_equal=is_equal,
        max_abs_error=error,
        logits_range=spread,
        nearest_decision=nearest if math.isfinite(nearest) else None,
    )


def flip_bound(error_N: NDArray[np.float64], margin_M: NDArray[np.float64]) -> Help:
    """A bound on the share of images whose decision a conversion changes, where it changed none that was seen.

    A decision changes only where the error exceeds the margin. An error above the largest of those seen has a probability of at
    most the upper end of an interval of 0 of N images. For smaller ones the margin must be below that largest error. How many
    margins are is not seen, but how many are within ten times of it is; the density of margins is taken not to be higher at the
    boundary than on average within these ten times, so that a tenth of that share is a bound. Both ends are those of 95 %
    intervals, and their sum holds with at least 95 %.

    Args:
        error_N: largest logit error of every image; a margin between two logits moves by at most twice that.
        margin_M: distances of the images that are asked about to another decision, in the source.
    """
    if not len(error_N) or not len(margin_M) or not (np.isfinite(error_N).all() and not np.isnan(margin_M).any()):
        return Help()
    largest = 2 * float(error_N.max())
    near = int((margin_M <= NEAR_TIMES * largest).sum())
    bound = wilson(0, len(error_N)).high + wilson(near, len(margin_M)).high / NEAR_TIMES
    words = f"{near:,} of {len(margin_M):,} images are within {NEAR_TIMES:g} times the largest error of another decision, "
    return Help(bound=bound, words=f"{words}which leaves room for {bound:.4f} to change")
