"""The decision rule on arrays of probabilities, its thresholds, and how right it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgenas.records.proportion import Proportion
from edgenas.stats.intervals import normal_quantile, share_to_show, wilson

DEFAULT_SENSITIVITY = 0.95  # that a threshold must find of its class where no floor is asked for
NUM_BINS = 15  # of the calibration error, as Guo et al. take


def decide(probabilities_NC: NDArray[np.floating], positive: int | None, threshold: float | None) -> NDArray[np.int64]:
    """Class of every image by the decision rule: positive from ``threshold`` on, else the best of the others.

    Args:
        probabilities_NC: class probabilities, shape (images, classes).
        positive: index of the class that must not be missed; None gives the argmax.
        threshold: least probability at which ``positive`` is decided; None gives the argmax.
    """
    if positive is None or threshold is None:
        return np.asarray(np.argmax(probabilities_NC, axis=-1), dtype=np.int64)
    others_NC = probabilities_NC.astype(np.float64)
    others_NC[:, positive] = -np.inf
    decided_N = np.where(probabilities_NC[:, positive] >= threshold, positive, np.argmax(others_NC, axis=-1))
    return np.asarray(decided_N, dtype=np.int64)


def accuracy(decisions_N: NDArray[np.integer], labels_N: NDArray[np.integer], *, confidence: float = 0.95) -> Proportion:
    """Share of right decisions with its Wilson interval."""
    return wilson(int((decisions_N == labels_N).sum()), int(labels_N.size), confidence=confidence)


def sensitivities(
    decisions_N: NDArray[np.integer],
    labels_N: NDArray[np.integer],
    class_names: Sequence[str],
    *,
    confidence: float = 0.95,
) -> dict[str, Proportion]:
    """Per class, the share of its images that were decided as it, with Wilson intervals."""
    result = {}
    for index, name in enumerate(class_names):
        mine_N = labels_N == index
        result[name] = wilson(int((decisions_N[mine_N] == index).sum()), int(mine_N.sum()), confidence=confidence)
    return result


def pick_threshold(
    positive_probability_N: NDArray[np.floating],
    is_positive_N: NDArray[np.bool_],
    *,
    min_sensitivity: float | None,
    confidence: float | None = None,
) -> float:
    """The operating threshold of the positive class, from a split that nothing else reads.

    The highest threshold, half-way between two scores, at which the share of positives found reaches a floor; with a confidence, at
    which the lower end of the share's interval does. A higher threshold costs fewer false alarms, so the floor alone says what a
    miss may cost; Youden's index would weigh a miss and a false alarm alike. Where the positives are too few for that confidence,
    it is the highest at which all of them are found.

    Args:
        positive_probability_N: p(positive) of every image.
        is_positive_N: which images are positive; without any, or with nothing else, 0.5 is returned.
        min_sensitivity: floor in [0, 1]; None takes 0.95 and holds the share itself against it, whatever the confidence.
        confidence: two-sided, in (0, 1); None holds the share itself against the floor.
    """
    if not is_positive_N.any() or is_positive_N.all():
        return 0.5
    scores_N = positive_probability_N.astype(np.float64)
    num = int(is_positive_N.sum())
    if min_sensitivity is None:
        min_sensitivity = DEFAULT_SENSITIVITY
    elif confidence is not None:
        min_sensitivity = share_to_show(min_sensitivity, num, confidence=confidence)
    needed = max(1, math.ceil(min_sensitivity * num - 1e-9))
    last = float(np.sort(scores_N[is_positive_N])[num - needed])  # the lowest score that must be found
    below_N = scores_N[scores_N < last]
    return last if not below_N.size else (last + float(below_N.max())) / 2


def refers(positive_probability_N: NDArray[np.floating], low: float, high: float) -> NDArray[np.bool_]:
    """Which images a person decides: those whose p(positive) lies from ``low`` to ``high``, both included."""
    scores_N = positive_probability_N.astype(np.float64)
    return np.asarray((scores_N >= low) & (scores_N <= high))


def pick_referral(
    positive_probability_N: NDArray[np.floating], is_positive_N: NDArray[np.bool_], threshold: float, *, max_error: float
) -> tuple[float, float]:
    """The zone of p(positive) around a threshold that a person decides, from a split that nothing else reads.

    The one with the fewest images in it that leaves at most a share ``max_error`` of the images outside it wrongly decided as to
    whether they are positive. An image below the zone costs its miss and pays ``max_error``, one above it its false alarm, so both
    ends add up; for each lower end the best upper one is found by sorting. Ends lie half-way between two scores, or at 0 and 1.

    Args:
        positive_probability_N: p(positive) of every image.
        is_positive_N: which images are positive.
        threshold: from which an image is decided as positive; the zone holds it.
        max_error: share in [0, 1) of the images that are decided without a person.

    Returns:
        Lower and upper end; both are the threshold where nothing needs a person, 0 and 1 where everything does.
    """
    scores_N = positive_probability_N.astype(np.float64)
    lows, kept_below, cost_below = _ends(scores_N, is_positive_N, threshold, max_error, below=True)
    highs, kept_above, cost_above = _ends(scores_N, ~is_positive_N, threshold, max_error, below=False)
    order = np.argsort(cost_above, kind="stable")
    best = np.maximum.accumulate(kept_above[order])
    fits = np.searchsorted(cost_above[order], -cost_below + 1e-9, side="right")  # upper ends that each lower end can pay for
    kept = np.where(fits > 0, kept_below + best[np.maximum(fits, 1) - 1], -1)
    low = int(kept.argmax())
    allowed = np.flatnonzero(cost_above <= -cost_below[low] + 1e-9)
    return float(lows[low]), float(highs[allowed[kept_above[allowed].argmax()]])


def _ends(
    scores_N: NDArray[np.float64], is_wrong_N: NDArray[np.bool_], threshold: float, max_error: float, *, below: bool
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Possible ends of a zone on one side of a threshold, from it outwards: images beyond each, and what they cost.

    Args:
        is_wrong_N: images that are wrongly decided on this side.
        below: the side of lower scores.
    """
    side_N = scores_N < threshold if below else scores_N >= threshold
    values_V = np.unique(scores_N[side_N])
    last = np.array([0.0 if below else 1.0])
    inner = (values_V[:-1] + values_V[1:]) / 2
    ends = np.concatenate([[threshold], inner[::-1] if below else inner, last])
    sorted_all, sorted_wrong = np.sort(scores_N[side_N]), np.sort(scores_N[side_N & is_wrong_N])
    if below:
        kept, wrong = (np.searchsorted(each, ends, side="left") for each in (sorted_all, sorted_wrong))
    else:
        kept, wrong = (len(each) - np.searchsorted(each, ends, side="right") for each in (sorted_all, sorted_wrong))
    return ends, kept.astype(np.int64), wrong - max_error * kept


def expected_calibration_error(sure_N: NDArray[np.floating], right_N: NDArray[np.bool_]) -> float:
    """How far shares of right answers are from the confidence in them (Guo et al., ICML 2017, arXiv:1706.04599), in [0, 1].

    The same as torchmetrics' `multiclass_calibration_error`, whose import takes longer than a small net's whole evaluation.

    Args:
        sure_N: probability of the likeliest class.
        right_N: whether that is the image's; bins of confidence are of equal width, their mean gap is weighted by their images.
    """
    bins_N = np.searchsorted(np.linspace(0, 1, NUM_BINS + 1), sure_N, side="right") - 1
    return float(np.abs(np.bincount(bins_N, weights=right_N - sure_N)).sum() / len(sure_N))


def most_frequent(labels_N: NDArray[np.integer]) -> tuple[int, Proportion]:
    """The most frequent label, of equally frequent ones the first, and its share of the images; -1 without images."""
    if labels_N.size == 0:
        return -1, wilson(0, 0)
    counts_C = np.bincount(labels_N)
    return int(counts_C.argmax()), wilson(int(counts_C.max()), int(labels_N.size))


def beats_most_frequent(
    argmax_N: NDArray[np.integer], decided_N: NDArray[np.integer], labels_N: NDArray[np.integer], *, confidence: float = 0.95
) -> bool:
    """Whether answers are worth more than always answering the most frequent class.

    They are if the argmax or the decisions are right more often than that; or, as where a rare class is looked for and false alarms
    are the price, if the mean sensitivity of the classes is above what any constant answer has, by more than chance explains
    (normal approximation, shares drawn to 1/2 by one image each way).

    Args:
        argmax_N: most probable class of every image.
        decided_N: class by the decision rule.
        labels_N: true classes.
        confidence: two-sided, of the mean sensitivity.
    """
    share = most_frequent(labels_N)[1].value
    if any(float((answers_N == labels_N).mean()) > share for answers_N in (argmax_N, decided_N)):
        return True
    present_K = np.unique(labels_N)
    num_K = np.array([(labels_N == label).sum() for label in present_K])
    found_K = np.array([((decided_N == label) & (labels_N == label)).sum() for label in present_K])
    drawn_K = (found_K + 1) / (num_K + 2)
    error = math.sqrt(float((drawn_K * (1 - drawn_K) / (num_K + 2)).sum())) / len(present_K)
    low = float((found_K / num_K).mean()) - normal_quantile(0.5 + confidence / 2) * error
    return low > 1 / len(present_K)
