"""Two classifiers on the same images: tests, intervals and how many images they take."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy  # whose parts are loaded when they are asked for: `scipy.stats` takes longer than most commands
from numpy.typing import NDArray

from edgenas.records.proportion import Proportion
from edgenas.stats.intervals import clopper_pearson, normal_quantile

MAX_TO_SHOW = 1 << 24  # images that are worth naming
BESIDE = 1e-12  # a difference of shares that is none


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


def paired_mean_difference(
    first_N: NDArray[np.floating], second_N: NDArray[np.floating], *, confidence: float = 0.95
) -> Proportion:
    """How much larger the mean of the first is than that of the second, value by value on the same images (Student's t).

    Args:
        first_N: one value an image.
        second_N: the same of the second, in the same order.
        confidence: two-sided, in (0, 1).

    Returns:
        The difference in the values' unit; its ends are NaN with fewer than two images.
    """
    if first_N.shape != second_N.shape:
        raise ValueError(f"{first_N.shape} and {second_N.shape} are not of the same images")
    differences_N = first_N.astype(np.float64) - second_N.astype(np.float64)
    n = differences_N.size
    mean = float(differences_N.mean()) if n else math.nan
    if n < 2:
        return Proportion(mean, math.nan, math.nan, n)
    half = float(scipy.special.stdtrit(n - 1, 0.5 + confidence / 2) * differences_N.std(ddof=1) / math.sqrt(n))
    return Proportion(mean, mean - half, mean + half, n)
