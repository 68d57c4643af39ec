"""Pictures that are nearly the same: re-encoded, resized, slightly cropped or brightened copies of each other.

How a pair is found and judged, and why, is told in docs/data.md; what it finds, and what it takes for a copy that is none, in
docs/measurements. Shapes: N images, P pairs, S images of a sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy
from numpy.typing import NDArray

from edgenas.data.aligning import FLAT, differences
from edgenas.data.candidates import Candidates, candidates, descriptors
from edgenas.data.sketches import colour_of, grey_of

MAX_DIFFERENCE = 0.03  # share of a picture's variance that its copy may leave unexplained
SAME_DIFFERENCE = 0.001  # what an eye cannot tell apart, whatever else the data hold
_HOPELESS = 0.1  # difference at half the resolution that the full one never brings below the limit
_COLOUR = 10.0  # levels that blue and red difference of copies may differ, root mean square
_RANK = 18  # neighbour that is no copy any more; families of more copies than this hide themselves
_SAMPLE = 2000  # images that neighbours are looked for among
_JUDGED = 400  # images that the limit is drawn from
_SHARES = (0.05, 0.4)  # the limit's range, as a share of the difference to ordinary neighbours
_LOW = 0.05  # quantile of what pictures of different classes show
_FAMILY = 8  # images that may hang together in any case
_CLUSTER = 20  # part of the images, one in so many, that may hang together before the limit is taken for too large


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two images that are nearly the same.

    Attributes:
        first, second: their positions, the smaller first.
        difference: share of one's variance that the other does not explain, brightness, contrast, shift and crop taken out.
    """

    first: int
    second: int
    difference: float


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """What was found, and the limit that it was found with.

    Attributes:
        pairs: in order of positions.
        share: a copy differs at most by this share of what the image's ordinary neighbours differ by.
        halved: how often that share was halved because too many images hung together.
        too_alike: images that would hang together even so, where they are too many for copies to be told from others; else 0.
    """

    pairs: tuple[NearPair, ...] = ()
    share: float = _SHARES[0]
    halved: int = 0
    too_alike: int = 0

    def __str__(self) -> str:
        images = {position for pair in self.pairs for position in (pair.first, pair.second)}
        limit = f"limit {self.share:.2f} of what neighbours differ by"
        return f"{len(self.pairs):,} pair(s) of {len(images):,} images are near-duplicates ({limit})"


def find_near(sketches_ND: NDArray[np.uint8], labels_N: NDArray[np.int64], shown: Sequence[str]) -> Iterator[int | NearDuplicates]:
    """Look for pictures that are nearly the same; yields how many images were compared, and last what was found.

    Args:
        sketches_ND: of `sketch`, one a row.
        labels_N: class of every image; pictures of different classes say how alike unrelated ones are.
        shown: hash of every picture; equal ones are looked at once, and those without one (not decoded) not at all.
    """
    once = {picture: position for position, picture in reversed(list(enumerate(shown))) if picture}
    places_M = np.array(sorted(once.values()), dtype=np.int64)
    looks_MCD, textured_M = descriptors(sketches_ND[places_M])
    places_M = places_M[textured_M]
    looks_MCD, sketches_MD, labels_M = looks_MCD[textured_M], sketches_ND[places_M], labels_N[places_M]
    pairs = None
    for candidate in candidates(looks_MCD):
        if isinstance(candidate, Candidates):
            pairs = candidate
        else:
            yield candidate
    if pairs is None or len(places_M) < 2:
        yield NearDuplicates()
        return
    result = _judged(sketches_MD, looks_MCD[:, 0], labels_M, pairs)
    yield replace(result, pairs=tuple(sorted(_renamed(result.pairs, places_M), key=lambda pair: (pair.first, pair.second))))


def _renamed(pairs: Sequence[NearPair], places_M: NDArray[np.int64]) -> Iterator[NearPair]:
    for pair in pairs:
        yield NearPair(int(places_M[pair.first]), int(places_M[pair.second]), pair.difference)


def _judged(
    sketches_ND: NDArray[np.uint8], looks_ND: NDArray[np.float32], labels_N: NDArray[np.int64], candidate: Candidates
) -> NearDuplicates:
    """The candidates that differ less than copies may."""
    differ_P = _differ(sketches_ND, candidate.first_P, candidate.second_P, candidate.crops_P, _HOPELESS)
    kept_P = np.flatnonzero(differ_P <= MAX_DIFFERENCE)
    kept_P = kept_P[_same_colour(sketches_ND, candidate.first_P[kept_P], candidate.second_P[kept_P])]
    first_P, second_P, differ_P = candidate.first_P[kept_P], candidate.second_P[kept_P], differ_P[kept_P]
    involved_I = np.unique(np.concatenate([first_P, second_P]))
    ordinary_N = np.zeros(len(looks_ND))
    ordinary_N[involved_I] = _ordinary(sketches_ND, looks_ND, involved_I)
    relative_P = differ_P / np.maximum(np.minimum(ordinary_N[first_P], ordinary_N[second_P]), 1e-9)
    share, halved = _limit(sketches_ND, looks_ND, labels_N), 0
    most = max(_FAMILY, len(looks_ND) // _CLUSTER)
    while True:
        copies_P = (relative_P <= share) | (differ_P <= SAME_DIFFERENCE)
        largest = _largest(len(looks_ND), first_P[copies_P], second_P[copies_P])
        if share <= _SHARES[0] or largest <= most:
            break
        share, halved = max(share / 2, _SHARES[0]), halved + 1
    if largest > most:
        return NearDuplicates((), share, halved, largest)
    best: dict[tuple[int, int], float] = {}
    for one, other, differ in zip(*(array[copies_P].tolist() for array in (first_P, second_P, differ_P)), strict=True):
        key = (min(one, other), max(one, other))
        best[key] = min(differ, best.get(key, FLAT))
    return NearDuplicates(tuple(NearPair(*key, differ) for key, differ in best.items()), share, halved)


def _differ(
    sketches_ND: NDArray[np.uint8],
    first_P: NDArray[np.int64],
    second_P: NDArray[np.int64],
    crops_P: NDArray[np.float64],
    hopeless: float,
) -> NDArray[np.float64]:
    """`differences` of sketches by position, a part at a time."""
    result_P = np.empty(len(first_P))
    for start in range(0, len(first_P), _SAMPLE):
        part = slice(start, start + _SAMPLE)
        one, two = grey_of(sketches_ND[first_P[part]]), grey_of(sketches_ND[second_P[part]])
        result_P[part] = differences(one, two, crops_P[part], hopeless=hopeless)
    return result_P


def _same_colour(sketches_ND: NDArray[np.uint8], first_P: NDArray[np.int64], second_P: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether colours agree, those of the paler picture scaled up to the other's contrast at most."""
    first_PC, second_PC = colour_of(sketches_ND[first_P]), colour_of(sketches_ND[second_P])
    cross_P, own_P = (first_PC * second_PC).sum(1), (first_PC**2).sum(1)
    gain_P = np.clip(np.where(own_P > 0, cross_P / np.maximum(own_P, 1e-6), 1.0), 0.5, 2.0)
    rest_PC = second_PC - gain_P[:, None] * first_PC
    result: NDArray[np.bool_] = np.sqrt((rest_PC**2).mean(1)) <= _COLOUR
    return result


def _ordinary(sketches_ND: NDArray[np.uint8], looks_ND: NDArray[np.float32], wanted_I: NDArray[np.int64]) -> NDArray[np.float64]:
    """How much images differ from neighbours that are no copies: the median of three from the 18th nearest on, shape (I,).

    In large data the neighbours are looked for in a sample, where the nearest ones stand for farther ones.
    """
    sample_S = _sample(len(looks_ND), _SAMPLE, 1)
    result_I = np.zeros(len(wanted_I))
    for start in range(0, len(wanted_I), _SAMPLE):
        mine_I = wanted_I[start : start + _SAMPLE]
        apart_IS = 1 - looks_ND[mine_I] @ looks_ND[sample_S].T
        apart_IS[mine_I[:, None] == sample_S[None]] = np.inf
        rank = min(round(_RANK * len(sample_S) / len(looks_ND)), max(0, len(sample_S) // 3 - 1))
        near_I3 = sample_S[_nearest(apart_IS, rank + 3)[:, rank:]]
        result_I[start : start + _SAMPLE] = np.median(_differences_to(sketches_ND, mine_I, near_I3), axis=1)
    return result_I


def _nearest(apart_IS: NDArray[np.floating], num: int) -> NDArray[np.int64]:
    """Columns of the smallest ``num`` of every row, in ascending order of them."""
    num = min(num, apart_IS.shape[1])
    some_IK = np.argpartition(apart_IS, num - 1, axis=1)[:, :num]
    order_IK = np.argsort(np.take_along_axis(apart_IS, some_IK, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some_IK, order_IK, axis=1)


def _sample(num: int, size: int, seed: int) -> NDArray[np.int64]:
    """Positions, ascending; all of them where there are no more than ``size``."""
    return np.arange(num) if num <= size else np.sort(np.random.default_rng(seed).choice(num, size, replace=False))


def _differences_to(sketches_ND: NDArray[np.uint8], wanted_I: NDArray[np.int64], near_IK: NDArray[np.int64]) -> NDArray[np.float64]:
    num = near_IK.shape[1]
    mine, other = np.repeat(wanted_I, num), near_IK.ravel()
    result = _differ(sketches_ND, mine, other, np.zeros(len(mine)), FLAT)
    return result.reshape(-1, num)


def _limit(sketches_ND: NDArray[np.uint8], looks_ND: NDArray[np.float32], labels_N: NDArray[np.int64]) -> float:
    """How much less than from ordinary neighbours a copy must differ, by what pictures of different classes show.

    These are no copies. Of a sample, the nearest picture of another class is compared with the 18th nearest of them; the 5 %
    quantile of these ratios is q. A copy is to be as much nearer again, and by half, so the limit is q * q / 2. In data of rich
    pictures all strangers differ alike, so a copy may differ much; in data of tiny, simple ones some strangers come near.
    """
    judged_S = _sample(len(looks_ND), _JUDGED, 2)
    apart_SN = 1 - looks_ND[judged_S] @ looks_ND.T
    apart_SN[labels_N[judged_S][:, None] == labels_N[None]] = np.inf
    judged_S, apart_SN = (array[np.isfinite(apart_SN).sum(1) >= _RANK + 3] for array in (judged_S, apart_SN))
    if not len(judged_S):
        return _SHARES[0]
    near_SK = _nearest(apart_SN, _RANK + 3)[:, [0, 1, 2, _RANK, _RANK + 1, _RANK + 2]]
    differ_SK = _differences_to(sketches_ND, judged_S, near_SK)
    ratio_S = differ_SK[:, :3].min(1) / np.maximum(np.median(differ_SK[:, 3:], axis=1), 1e-9)
    return float(np.clip(np.quantile(ratio_S, _LOW) ** 2 / 2, *_SHARES))


def _largest(num: int, first_P: NDArray[np.int64], second_P: NDArray[np.int64]) -> int:
    """Images of the largest group that hangs together by pairs."""
    graph = scipy.sparse.coo_array((np.ones(len(first_P), dtype=np.int8), (first_P, second_P)), shape=(num, num))
    _, groups_N = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return int(np.bincount(groups_N).max())
