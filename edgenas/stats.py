"""Intervals and paired tests on arrays of predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy  # whose parts are loaded when they are asked for: `scipy.stats` takes longer than most commands
from numpy.typing import NDArray

from edgenas.records.proportion import Proportion as Proportion  # what all of these give

DEFAULT_SENSITIVITY = 0.95  # that a threshold must find of its class where no floor is asked for
BESIDE = 1e-12  # a difference of shares that is none
MAX_TO_SHOW = 1 << 24  # images that are worth naming
NUM_BINS = 15  # of the calibration error, as Guo et al. take


def normal_quantile(probability: float) -> float:
    """What a standard normal variable stays below with a probability; without `scipy.stats`, which takes long to import."""
    return float(scipy.special.ndtri(probability))


def wilson(successes: int, n: int, *, confidence: float = 0.95) -> Proportion:
    """Wilson's score interval of a proportion (Wilson, JASA 1927).

    Args:
        successes: 0 to n.
        n: trials; 0 gives NaN with the interval [0, 1].
        confidence: two-sided, in (0, 1).
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} trials")
    if n == 0:
        return Proportion(math.nan, 0.0, 1.0, 0)
    z, p = normal_quantile(0.5 + 0.5 * confidence), successes / n
    denominator = 2 * (n + z**2)
    centre, half = (2 * n * p + z**2) / denominator, z / denominator * math.sqrt(4 * n * p * (1 - p) + z**2)
    return Proportion(p, centre - half if successes else 0.0, centre + half if successes < n else 1.0, n)


def clopper_pearson(successes: int, n: int, *, confidence: float = 0.95) -> Proportion:
    """The exact interval of a proportion (Clopper & Pearson, Biometrika 1934)."""
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} trials")
    if n == 0:
        return Proportion(math.nan, 0.0, 1.0, 0)
    interval = scipy.stats.binomtest(successes, n).proportion_ci(confidence, method="exact")
    return Proportion(successes / n, float(interval.low), float(interval.high), n)


def trials_to_prove(share: float, *, confidence: float = 0.95) -> int:
    """How many trials without a miss put Wilson's lower bound at ``share`` or above, e.g. 73 for 0.95."""
    if not 0 < share < 1:
        raise ValueError(f"share {share} is not in (0, 1)")
    z2 = normal_quantile(0.5 + confidence / 2) ** 2
    return math.ceil(share / (1 - share) * z2 - 1e-9)


def difference_of_means(first_N: NDArray[np.floating], second_M: NDArray[np.floating], *, confidence: float = 0.95) -> Proportion:
    """The mean of some values in [0, 1] less that of others that were drawn apart, with its interval.

    Of zeros and ones alone the interval is Newcombe's, made of two of Wilson's (Statistics in Medicine 1998, method 10); of other
    values, e.g. shares of several nets that got an image right, it is Welch's in the normal approximation.

    Returns:
        The difference in [-1, 1] and how many values it comes from in all; NaN in [-1, 1] where a side has none.
    """
    n, m = len(first_N), len(second_M)
    if n == 0 or m == 0:
        return Proportion(math.nan, -1.0, 1.0, n + m)
    first, second = float(np.mean(first_N)), float(np.mean(second_M))
    if np.isin(first_N, (0, 1)).all() and np.isin(second_M, (0, 1)).all():
        one = wilson(int(np.sum(first_N)), n, confidence=confidence)
        other = wilson(int(np.sum(second_M)), m, confidence=confidence)
        down, up = math.hypot(first - one.low, other.high - second), math.hypot(one.high - first, second - other.low)
    else:
        error = math.sqrt(float(np.var(first_N)) / n + float(np.var(second_M)) / m)
        down = up = normal_quantile(0.5 + confidence / 2) * error
    value = first - second
    return Proportion(value, max(-1.0, value - down), min(1.0, value + up), n + m)


def share_to_show(share: float, n: int, *, confidence: float) -> float:
    """The least share of so many trials whose interval's lower end is at ``share`` or above; 1 where none is."""
    return next((k / n for k in range(n + 1) if wilson(k, n, confidence=confidence).low >= share), 1.0)


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


def median_interval(values_N: NDArray[np.floating], *, confidence: float = 0.95) -> tuple[float, float | None, float | None]:
    """The median of some values, and an interval that holds the true one whatever their distribution: the sign test's.

    Args:
        values_N: drawn independently of each other, at least one.
        confidence: two-sided, in (0, 1).

    Returns:
        The median, and two of the values around it; None for both where so few values say nothing, fewer than 6 at 0.95.
    """
    n = len(values_N)
    if n == 0:
        raise ValueError("there is no median of no values")
    middle, sorted_N = float(np.median(values_N)), np.sort(values_N)
    outside = int(scipy.stats.binom.ppf((1 - confidence) / 2, n, 0.5))  # fewest values below the median that are no surprise
    if outside < 1 or math.isnan(middle):
        return middle, None, None
    return middle, float(sorted_N[outside - 1]), float(sorted_N[n - outside])


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value that two paired classifiers are equally often right (McNemar, 1947).

    Args:
        only_first: pairs that just the first got right.
        only_second: pairs that just the second got right.
    """
    if only_first + only_second == 0:
        return 1.0
    return float(scipy.stats.binomtest(only_first, only_first + only_second).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of several tests, each corrected so that with none of the differences real one is called so in 5 % at most.

    The step-down procedure of Holm (Scandinavian Journal of Statistics 6, 1979): the smallest counts times the number of tests, the
    next times one fewer, and none less than one before it. In the order given.
    """
    corrected, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda each: p_values[each])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = least
    return corrected


def paired_difference(
    first_right_N: NDArray[np.bool_],
    second_right_N: NDArray[np.bool_],
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
) -> Proportion:
    """How much more often the first of two classifiers is right on the same images, with a paired percentile bootstrap interval.

    Resampling images (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13) changes nothing but how many of them
    both, one or neither got right: counts of a multinomial distribution, which are drawn directly. With few images that just one of
    them gets right such intervals are too narrow. So where `mcnemar` does not tell them apart the interval is made to hold 0, and
    where no image does, it holds what the exact upper bound on their share leaves possible.

    Args:
        first_right_N: which images the first gets right.
        second_right_N: the same of the second, in the same order.
        rng: draws the resamples.
        confidence: two-sided, in (0, 1).
        num_resamples: of the bootstrap.

    Returns:
        The share that the first gets right minus the second's, in [-1, 1]; NaN in [-1, 1] without images.
    """
    if first_right_N.shape != second_right_N.shape:
        raise ValueError(f"{first_right_N.shape} and {second_right_N.shape} are not of the same images")
    n = first_right_N.size
    if n == 0:
        return Proportion(math.nan, -1.0, 1.0, 0)
    only_first, only_second = int((first_right_N & ~second_right_N).sum()), int((second_right_N & ~first_right_N).sum())
    if only_first + only_second == 0:
        share = clopper_pearson(0, n, confidence=confidence).high
        return Proportion(0.0, -share, share, n)
    both = int((first_right_N & second_right_N).sum())
    cells = np.array([only_first, only_second, both, n - both - only_first - only_second])
    drawn_RC = rng.multinomial(n, cells / n, size=num_resamples)
    low, high = np.quantile((drawn_RC[:, 0] - drawn_RC[:, 1]) / n, [0.5 - confidence / 2, 0.5 + confidence / 2])
    if mcnemar(only_first, only_second) > 1 - confidence:
        low, high = min(low, 0.0), max(high, 0.0)
    value = (only_first - only_second) / n
    return Proportion(value, min(float(low), value), max(float(high), value), n)


def paired_score(only_first: int, only_second: int, n: int, *, confidence: float = 0.95) -> Proportion:
    """How much more often the first of two classifiers is right on the same images, with Tango's score interval.

    It holds the differences that the score test of the paired table does not refuse (Tango, Statistics in Medicine 17, 1998), and
    so keeps its level where few images, or none, are right in just one of the two: of none it is what `wilson` says of 0 of ``n``.
    Nothing is drawn: the same counts give the same interval.

    Args:
        only_first: images that just the first got right.
        only_second: images that just the second got right.
        n: images in all; 0 gives NaN in [-1, 1].
        confidence: two-sided, in (0, 1).
    """
    if min(only_first, only_second) < 0 or only_first + only_second > n:
        raise ValueError(f"{only_first} and {only_second} of {n} images")
    if n == 0:
        return Proportion(math.nan, -1.0, 1.0, 0)
    z = normal_quantile(0.5 + confidence / 2)
    value = (only_first - only_second) / n

    def above(difference: float) -> float:
        """The score of ``difference`` as the true one, less the quantile on its side of what was seen."""
        linear = (2 * n - only_first + only_second) * difference - only_first - only_second
        root = math.sqrt(max(0.0, linear**2 + 8 * n * only_second * difference * (1 - difference)))
        spread = (root - linear) / (2 * n) + difference * (1 - difference)
        side = 1.0 if difference > value else -1.0
        return n * (difference - value) - side * z * math.sqrt(n * max(0.0, spread))

    # beside the value the score is all but nothing, at the ends of [-1, 1] the spread is
    low = -1.0 if value <= -1.0 else scipy.optimize.brentq(above, -1.0, value - BESIDE, xtol=BESIDE)
    high = 1.0 if value >= 1.0 else scipy.optimize.brentq(above, value + BESIDE, 1.0, xtol=BESIDE)
    return Proportion(value, min(float(low), value), max(float(high), value), n)


def images_to_show(only_first: int, only_second: int, n: int, margin: float, *, confidence: float = 0.95) -> int | None:
    """How many images would show that the second of two classifiers loses at most ``margin``, at the rates that were seen.

    Args:
        only_first, only_second, n: as `paired_score` takes them; without images no rate was seen, and none is taken.
        margin: largest loss of the second, in (0, 1).
        confidence: of the interval whose upper end must be at the margin or below.

    Returns:
        The least number; None where the loss that was seen is not below the margin, so that no number would.
    """
    if n and (only_first - only_second) / n >= margin:
        return None

    def shown(num: int) -> bool:
        first, second = (math.ceil(each * num / n) if n else 0 for each in (only_first, only_second))
        second = min(second, num - first)
        return first <= num and paired_score(first, second, num, confidence=confidence).high <= margin

    most = 1
    while not shown(most):
        most *= 2
        if most > MAX_TO_SHOW:
            return None
    least = most // 2
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if shown(middle) else (middle, most)
    return most


def kendall_tau(first_A: NDArray[np.floating], second_A: NDArray[np.floating], *, confidence: float = 0.95) -> Proportion:
    """Kendall's rank correlation (tau-b) of two rankings of the same things, with its interval.

    The interval is normal in atanh(tau), of variance 0.437 / (n - 4) (Fieller, Hartley & Pearson, Biometrika 1957); with fewer than
    six things, or where one ranking is all ties (then the value is NaN or nearly so), it is [-1, 1]. Rankings that agree wholly are
    taken to be half a swapped pair from it, and the interval ends at 1 then: a few things prove no perfect ranking.
    """
    n = len(first_A)
    tau = float(scipy.stats.kendalltau(first_A, second_A).statistic) if n > 1 else math.nan
    if n < 6 or math.isnan(tau):
        return Proportion(tau, -1.0, 1.0, n)
    half = normal_quantile(0.5 + confidence / 2) * math.sqrt(0.437 / (n - 4))
    most = 1 - 2 / (n * (n - 1))  # a swapped pair of n (n - 1) / 2 costs 4 / (n (n - 1))
    centre = math.atanh(max(-most, min(most, tau)))
    low, high = math.tanh(centre - half), math.tanh(centre + half)
    return Proportion(tau, -1.0 if tau <= -most else min(low, tau), 1.0 if tau >= most else max(high, tau), n)


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
