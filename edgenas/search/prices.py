"""What a little more of a cost buys: steps along a Pareto set, each compared on the same images.

Shapes: A nets, N images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edgenas.search.pareto import pareto_front
from edgenas.stats import Proportion, mcnemar, paired_difference

MAX_STEPS = 6


@dataclass(frozen=True, slots=True)
class Step:
    """From one net of a Pareto set to a dearer one.

    Attributes:
        first, second: their places.
        extra: cost of the second minus that of the first.
        gain: share of the images that the second gets right minus the first's, paired.
        is_whole: from one end of the front to the other, over several steps.
    """

    first: int
    second: int
    extra: float
    gain: Proportion
    is_whole: bool = False


def price_steps(
    costs_A: NDArray[np.floating], right_AN: NDArray[np.bool_], *, rng: np.random.Generator, max_steps: int = MAX_STEPS
) -> Iterator[Step]:
    """Steps along the Pareto set of cost and share of right images, from the cheapest to the best, at most ``max_steps``, then the
    whole way, where there are several.

    Where the set has more nets, some are taken that lie apart in cost. The nets were chosen on the images that they are compared
    on, so that steps look rather too large than too small.

    Args:
        costs_A: of every net.
        right_AN: which images it gets right; none gives no steps.
        rng: of the intervals.
        max_steps: most steps.
    """
    if right_AN.shape[1] == 0:
        return
    front = thinned(costs_A, pareto_front(costs_A, right_AN.mean(axis=1)), max_steps + 1)
    pairs = list(pairwise(front.tolist()))
    for first, second in [*pairs, *([(front[0], front[-1])] if len(pairs) > 1 else [])]:
        gain = paired_difference(right_AN[second], right_AN[first], rng=rng)
        is_whole = len(pairs) > 1 and (first, second) not in pairs
        yield Step(int(first), int(second), float(costs_A[second] - costs_A[first]), gain, is_whole)


def thinned(costs_A: NDArray[np.floating], front: NDArray[np.int64], num: int) -> NDArray[np.int64]:
    """At most ``num`` nets of a front, two or more: both ends, then in turn what is farthest in cost from those taken."""
    if len(front) <= num:
        return front
    taken = [0, len(front) - 1]
    while len(taken) < num:
        distances_A = np.abs(costs_A[front][:, None] - costs_A[front[taken]]).min(axis=1)
        distances_A[taken] = -1.0
        taken.append(int(np.argmax(distances_A)))
    thin: NDArray[np.int64] = front[np.sort(taken)]
    return thin


def ends_differ(right_AN: NDArray[np.bool_], front: NDArray[np.int64]) -> float:
    """p-value that the first and the last net of a front are equally often right; 1 for a front of one net."""
    if len(front) < 2:
        return 1.0
    first_N, last_N = right_AN[front[0]], right_AN[front[-1]]
    return mcnemar(int((last_N & ~first_N).sum()), int((first_N & ~last_N).sum()))
