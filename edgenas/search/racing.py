"""Racing: nets see more and more images, and are dropped when they cannot win.

Source: Maron & Moore, Hoeffding Races, NIPS 1993, and Birattari et al., F-Race, GECCO 2002, which compares on the same images.
Deviations: the rival is one net that has seen all images; a net's accuracy on all of them is estimated with the help of all nets
that have (`edgenas.search.expecting`), which leaves less to chance than the rival alone; the test is that of draws without
replacement from a set of known size, normal; and the error is divided evenly among the looks (Bonferroni), so that it holds for all
of them together.

Shapes: A archs, G genes, N images, M of them that a net has seen, C classes.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgenas.fields import Count, require_argument
from edgenas.search.base import Candidate, Evaluator
from edgenas.search.constraints import MetricConstraint, SensitivityFloor
from edgenas.search.expecting import Expected, KnownNets
from edgenas.spaces import Genes
from edgenas.stats import normal_quantile

FIRST_LOOK = 64  # images
GROWTH = 1.5  # how many times as many the next look sees
LAST_LOOK = 0.9  # share of all images, beyond which a net may as well see the rest
NUM_KNOWN = (12, 32)  # nets that have seen all images: so many before a race begins, and the latest that are known by most
ACCURACY = "accuracy"  # what a net is dropped for, if it is no floor


@dataclass(frozen=True, slots=True)
class SeenPredictions:
    """What a net has shown.

    Attributes:
        probabilities_MC: its predictions, float16, in the order of ``images_M``.
        images_M: positions of the images; None where these are all, in their own order.
        dropped_for: ``accuracy`` or the name of the floor that it is certain to miss; None where it has seen all images.
        expected_top1: accuracy on all images, estimated; None where it has seen them.
    """

    probabilities_MC: NDArray[np.float16]
    images_M: NDArray[np.int64] | None = None
    dropped_for: str | None = None
    expected_top1: float | None = None


@dataclass(frozen=True, slots=True, order=True)
class _Rival:
    """A net that has seen all images."""

    rank: tuple[float, ...]
    right_N: NDArray[np.bool_] = field(compare=False)
    shortfall: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class _Lost:
    """That a net is out of a race."""

    seen: int
    reason: str
    expected: Expected


class Raced:
    """An `Evaluator` whose nets are raced by whoever judges them; called as such it evaluates as usual.

    A state: it remembers the best nets that have seen all images, and what the latest of these got right.

    Args:
        evaluate: predicts.
        error: probability that a net is dropped though on all images it would be ahead of its rival, over all looks together.
        keep: the rival is the best but so many: the last that would be kept.
        margin: standard errors of the difference on all images that a net must be able to be ahead by.
        order: of the images, which is drawn; searches with the same one show the same images first.

    Raises:
        ValueError: for an error outside (0, 1), no rival, or a negative margin.
    """

    def __init__(self, evaluate: Evaluator, *, error: float, keep: int, margin: float = 0.0, order: int = 0) -> None:
        require_argument("keep", keep, Count)
        if not 0 < error < 1 or not margin >= 0:
            raise ValueError(f"an error of {error} with a margin of {margin} is none")
        self.evaluate, self.error, self.keep, self.margin, self.order = evaluate, error, keep, margin, order
        self._best: list[_Rival] = []
        self._right: list[NDArray[np.bool_]] = []  # of the latest nets that have seen all images
        self._known: tuple[int, KnownNets] | None = None  # made when so many nets had seen all
        self._num_whole = 0

    def __call__(self, genes_AG: Genes, image_indices: NDArray[np.int64], /) -> NDArray[np.float16]:
        """As `Evaluator`."""
        return self.evaluate(genes_AG, image_indices)

    def run(self, genes_AG: Genes, labels_N: NDArray[np.int64], floors: Sequence[MetricConstraint]) -> list[SeenPredictions]:
        """Race nets, side by side, against the rival of before; each that is left has seen all images."""
        looks = looks_at(len(labels_N))
        if self._num_whole < max(self.keep, NUM_KNOWN[0]) or len(looks) == 1:
            return [SeenPredictions(p_NC) for p_NC in self.evaluate(genes_AG, np.arange(len(labels_N)))]
        order_N, rival, known = racing_order(labels_N, self.order), self._best[self.keep - 1], self._known_nets()
        level = self.error / (len(looks) - 1)
        shown: list[list[NDArray[np.float16]]] = [[] for _ in genes_AG]
        lost: dict[int, _Lost] = {}
        for start, stop in zip((0, *looks), looks, strict=False):
            left = [net for net in range(len(genes_AG)) if net not in lost]
            if not left:
                break
            for net, p_MC in zip(left, self.evaluate(genes_AG[left], order_N[start:stop]), strict=True):
                shown[net].append(p_MC)
                if stop < len(labels_N):
                    p_MC, images_M = np.concatenate(shown[net]), order_N[:stop]
                    right_M = p_MC.argmax(axis=1) == labels_N[images_M]
                    expected = known.expected(right_M, images_M)
                    reason = _certain_miss(p_MC, images_M, labels_N, floors, rival)
                    if reason is None and self._cannot_win(expected, right_M, images_M, rival, level):
                        reason = ACCURACY
                    lost |= {net: _Lost(stop, reason, expected)} if reason is not None else {}
        return [_shown(np.concatenate(parts), order_N, lost.get(net)) for net, parts in enumerate(shown)]

    def _known_nets(self) -> KnownNets:
        """What is known by the latest nets that have seen all images; made anew when they are a fifth more."""
        if self._known is None or self._num_whole >= 1.2 * self._known[0]:
            self._known = (self._num_whole, KnownNets.of(np.array(self._right)))
        return self._known[1]

    def _cannot_win(
        self, expected: Expected, right_M: NDArray[np.bool_], images_M: NDArray[np.int64], rival: _Rival, level: float
    ) -> bool:
        """Whether of a net that is ahead of its rival by the margin so little would be expected with this probability at most."""
        if rival.shortfall > 0:  # then floors decide before accuracy does
            return False
        apart = (int((right_M != rival.right_N[images_M]).sum()) + 1) / (len(images_M) + 2)
        least = float(rival.right_N.mean()) + self.margin * math.sqrt(apart / len(rival.right_N))
        return least - expected.value >= -normal_quantile(level) * expected.error

    def finished(self, candidates: Sequence[Candidate], labels_N: NDArray[np.int64]) -> None:
        """Remember the nets among these that have seen all images."""
        for candidate in candidates:
            if candidate.images_M is None:
                right_N = candidate.probabilities_NC.argmax(axis=1) == labels_N
                insort(self._best, _Rival(candidate.rank, right_N, candidate.shortfall))
                self._right.append(right_N)
                self._num_whole += 1
        del self._best[self.keep :], self._right[: -NUM_KNOWN[1]]


def _certain_miss(
    probabilities_MC: NDArray[np.float16],
    images_M: NDArray[np.int64],
    labels_N: NDArray[np.int64],
    floors: Sequence[MetricConstraint],
    rival: _Rival,
) -> str | None:
    """The floor that a net misses most where it is certain to miss them by more than its rival does."""
    least = {floor.name: float(least_violation(floor, probabilities_MC, images_M, labels_N)) for floor in judging(floors, None)}
    return max(least, key=lambda name: least[name]) if sum(least.values()) > rival.shortfall else None


def _shown(p_MC: NDArray[np.float16], order_N: NDArray[np.int64], lost: _Lost | None) -> SeenPredictions:
    """Predictions in the order of a race; ``lost`` says after how many images and why."""
    if lost is None:
        return SeenPredictions(p_MC[np.argsort(order_N)])
    return SeenPredictions(p_MC, order_N[: lost.seen], lost.reason, lost.expected.value)


def looks_at(num_images: int) -> tuple[int, ...]:
    """How many images a net has seen at each look, all of them at the last."""
    looks, num = [], float(FIRST_LOOK)
    while num < LAST_LOOK * num_images:
        looks.append(int(num))
        num *= GROWTH
    return (*looks, num_images)


def racing_order(labels_N: NDArray[np.int64], seed: int = 0) -> NDArray[np.int64]:
    """All images in an order whose beginnings have every class in its share, otherwise drawn."""
    rng = np.random.default_rng(seed)
    place_N = np.empty(len(labels_N))
    for label in np.unique(labels_N):
        mine = rng.permutation(np.flatnonzero(labels_N == label))
        place_N[mine] = (np.arange(len(mine)) + rng.random()) / len(mine)
    return np.argsort(place_N, kind="stable")


def judging(floors: Sequence[MetricConstraint], genes_G: Genes | None) -> list[MetricConstraint]:
    """The floors as they judge one net; where it is None, only those that judge all nets by one threshold: choosing one is dear."""
    if genes_G is None:
        return [floor for floor in floors if not (isinstance(floor, SensitivityFloor) and floor.thresholds is not None)]
    return [floor.of_net(genes_G) if isinstance(floor, SensitivityFloor) else floor for floor in floors]


def least_violation(
    floor: MetricConstraint, probabilities_MC: NDArray[np.float16], images_M: NDArray[np.int64], labels_N: NDArray[np.int64]
) -> float:
    """By how much a net misses a floor if it gets all images right that it has not seen: what is certain already."""
    best_NC = np.zeros((len(labels_N), probabilities_MC.shape[1]), dtype=np.float16)
    best_NC[np.arange(len(labels_N)), labels_N] = 1
    best_NC[images_M] = probabilities_MC
    return float(floor.violation(best_NC[None], labels_N)[0])
