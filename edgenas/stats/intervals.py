"""Intervals of shares, means, medians and rank correlations."""

from __future__ import annotations

import math

import numpy as np
import scipy  # whose parts are loaded when they are asked for: `scipy.stats` takes longer than most commands
from numpy.typing import NDArray

from edgenas.records.proportion import Proportion


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


def share_to_show(share: float, n: int, *, confidence: float) -> float:
    """The least share of so many trials whose interval's lower end is at ``share`` or above; 1 where none is."""
    return next((k / n for k in range(n + 1) if wilson(k, n, confidence=confidence).low >= share), 1.0)


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
