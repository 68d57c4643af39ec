"""What the images that were seen say of those that were not: how near other decisions are, and how many a conversion changes.

Shapes: N images, C classes.
"""

from __future__ import annotations

import math

import numpy as np
import scipy
from numpy.typing import NDArray

from edgenas import stats
from edgenas.deploy.margins import margins
from edgenas.records import MarginBin, Margins, Proportion, UnseenFlips

EDGES = (0.0, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)  # of distances, the same for all files: they compare
CONFIDENCE = 0.95


def reach_of(reference_NC: NDArray[np.floating], candidate_NC: NDArray[np.floating]) -> NDArray[np.float64]:
    """How far the conversion can have moved every image towards another decision: twice its largest logit error."""
    reach_N: NDArray[np.float64] = 2 * np.abs(reference_NC.astype(np.float64) - candidate_NC.astype(np.float64)).max(axis=1)
    return reach_N


def margins_of(
    reference_NC: NDArray[np.floating],
    candidate_NC: NDArray[np.floating],
    flipped_N: NDArray[np.bool_],
    positive: int | None,
    threshold: float | None,
) -> Margins | None:
    """The distances to other decisions beside the errors; None without images, or where a logit is not finite."""
    if not _are_finite(reference_NC, candidate_NC):
        return None
    margin_N, reach_N = margins(reference_NC, positive, threshold), reach_of(reference_NC, candidate_NC)
    bin_N = np.searchsorted(EDGES, margin_N, side="right") - 1
    images, flips = (np.bincount(bin_N[mine_N], minlength=len(EDGES)) for mine_N in (np.isfinite(margin_N), flipped_N))
    nearest = float(margin_N.min())
    return Margins(
        bins=tuple(
            MarginBin(at_least=low, below=high, images=int(images[i]), flips=int(flips[i]))
            for i, (low, high) in enumerate(zip(EDGES, (*EDGES[1:], None), strict=True))
        ),
        nearest=nearest if math.isfinite(nearest) else None,
        median_reach=float(np.median(reach_N)),
        largest_reach=float(reach_N.max()),
        num_within=int((margin_N < reach_N).sum()),
    )


def unseen_flips(
    flipped_N: NDArray[np.bool_], margin_N: NDArray[np.float64] | None, reach_N: NDArray[np.float64] | None
) -> UnseenFlips | None:
    """Bounds on the share of unseen images whose decision changes; None without images.

    The first takes the flips that were seen for a binomial number. The second takes errors and distances for independent, so that
    every error seen may meet every distance seen: the share of such pairs in which the error reaches. It is a mean over pairs, and
    such a mean exceeds its expectation no more easily than that of N independent trials (Hoeffding, JASA 58, 1963, section 5), so
    its upper end is Chernoff's bound for N of these.

    Args:
        flipped_N: images whose decision changed.
        margin_N: distances to another decision in the source; None where its logits are not known.
        reach_N: how far each of the images can be moved.
    """
    num = len(flipped_N)
    if not num:
        return None
    seen = stats.clopper_pearson(int(flipped_N.sum()), num, confidence=CONFIDENCE)
    if margin_N is None or reach_N is None or np.isnan(margin_N).any() or not np.isfinite(reach_N).all():
        return UnseenFlips(seen=seen)
    share = float(np.searchsorted(np.sort(margin_N), reach_N, side="left").mean() / num)
    return UnseenFlips(seen=seen, independent=Proportion(share, 0.0, _chernoff(share, num), num))


def _chernoff(share: float, num: int) -> float:
    """The largest expectation that a mean of ``num`` trials is as low as ``share`` under with a probability of 5 %."""
    room = -math.log(1 - CONFIDENCE) / num

    def beyond(high: float) -> float:
        divergence = scipy.special.rel_entr(share, high) + scipy.special.rel_entr(1 - share, 1 - high)
        return float(divergence - room)

    if share >= 1 or beyond(1 - stats.BESIDE) <= 0:
        return 1.0
    return float(scipy.optimize.brentq(beyond, share, 1 - stats.BESIDE, xtol=stats.BESIDE))


def _are_finite(reference_NC: NDArray[np.floating], candidate_NC: NDArray[np.floating]) -> bool:
    return bool(reference_NC.size and np.isfinite(reference_NC).all() and np.isfinite(candidate_NC).all())
