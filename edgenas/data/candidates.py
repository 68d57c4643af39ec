"""Which pairs of pictures are alike enough, at 8 x 8, to be compared: few of the very many that there are.

Shapes: N images, D = 64 numbers of a descriptor, P pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenas.data.sketches import SIDE, grey_of, normed, pooled

CROPS = (0.0, 0.03, 0.06, 0.09)  # shares of a side that are cut off on each side of one picture before they are compared
_POOL = SIDE // 8
_MIN_CONTRAST = 2.0  # grey levels, root mean square, below which a picture has nothing to be recognised by
_FARTHEST = 0.06  # 1 less the cosine of descriptors of a copy, at the nearest of the crops
_STEPS = 12  # halvings of it by which the number of pairs is kept in bounds
_PER_IMAGE = 2.0  # pairs an image and crop, on average
_MOST = 8  # pairs of an image among so many others as are compared at a time, where even the nearest are too many
_BLOCK = 1024
_SAMPLE = 500


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs to compare: the second of each may be the first one with a share ``crops_P`` of each side cut off."""

    first_P: NDArray[np.int64]
    second_P: NDArray[np.int64]
    crops_P: NDArray[np.float64]


def descriptors(sketches_ND: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Pictures at 8 x 8 as vectors of length 1, for every crop, shape (N, crops, D); and which have any contrast, shape (N,)."""
    parts, textured = [], []
    for start in range(0, len(sketches_ND), _BLOCK):
        grey_NHW = grey_of(sketches_ND[start : start + _BLOCK])
        textured.append(pooled(grey_NHW, _POOL).std((1, 2)) >= _MIN_CONTRAST)
        parts.append(np.stack([normed(_inner(grey_NHW, crop)) for crop in CROPS], axis=1))
    if not parts:
        return np.zeros((0, len(CROPS), (SIDE // _POOL) ** 2), dtype=np.float32), np.zeros(0, dtype=np.bool_)
    return np.concatenate(parts), np.concatenate(textured)


def _inner(grey_NHW: NDArray[np.float32], crop: float) -> NDArray[np.float32]:
    """What is left of a picture without a share ``crop`` of each side, averaged to 8 x 8."""
    edges_E = np.linspace(crop * SIDE, SIDE - crop * SIDE, SIDE // _POOL + 1)
    low, high = edges_E[:-1, None], edges_E[1:, None]
    pixels_H = np.arange(SIDE)[None]
    covered_EH = np.clip(np.minimum(high, pixels_H + 1) - np.maximum(low, pixels_H), 0, None)
    weights_EH = (covered_EH / covered_EH.sum(1, keepdims=True)).astype(np.float32)
    result: NDArray[np.float32] = weights_EH @ grey_NHW @ weights_EH.T
    return result


def candidates(looks_NCD: NDArray[np.float32]) -> Iterator[int | Candidates]:
    """Pairs whose descriptors are near, with one of them cropped; yields how many images are done, and last the pairs.

    Sorted by their projection on one direction, images are compared only with those whose projection is as near as descriptors
    may be. How near that is depends on the data: as near as gives some pairs an image.

    Args:
        looks_NCD: of `descriptors`, only of pictures with contrast.
    """
    plain_ND = looks_NCD[:, 0]
    num = len(plain_ND)
    if num < 2:
        return
    direction_D = _direction(plain_ND)
    place_N = plain_ND @ direction_D
    order_N = np.argsort(place_N, kind="stable")
    sorted_ND, sorted_N = np.ascontiguousarray(plain_ND[order_N]), place_N[order_N]
    farthest = _farthest(looks_NCD)
    reach = float(np.sqrt(2 * farthest)) + 1e-6
    pairs: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    for start in range(0, num, _BLOCK):
        mine_B = order_N[start : start + _BLOCK]
        for at, crop in enumerate(CROPS):
            looks_BD = looks_NCD[mine_B, at]
            places_B = looks_BD @ direction_D
            low, high = np.searchsorted(sorted_N, (places_B.min() - reach, places_B.max() + reach))
            for left in range(low, high, 8 * _BLOCK):
                right = min(left + 8 * _BLOCK, high)
                one, two = _alike(looks_BD @ sorted_ND[left:right].T, 1 - farthest)
                first, second = mine_B[one], order_N[left + two]
                kept = first < second if at == 0 else first != second
                pairs.append((first[kept], second[kept], np.full(int(kept.sum()), crop)))
        yield min(start + _BLOCK, num)
    yield _nearest_crops(looks_NCD, *(np.concatenate(parts) for parts in zip(*pairs, strict=True)))


def _alike(cosines_BN: NDArray[np.float32], least: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the cosines that reach ``least``, of every row the largest few."""
    reached_BN = cosines_BN >= least
    for row in np.flatnonzero(reached_BN.sum(1) > _MOST).tolist():
        reached_BN[row] = False
        reached_BN[row, np.argpartition(-cosines_BN[row], _MOST)[:_MOST]] = True
    return np.divmod(np.flatnonzero(reached_BN), cosines_BN.shape[1])


def _direction(plain_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """The direction along which a sample of descriptors spreads most."""
    sample_SD = plain_ND[:: max(1, len(plain_ND) // 4096)]
    _, vectors_DD = np.linalg.eigh((sample_SD - sample_SD.mean(0)).T.astype(np.float64) @ (sample_SD - sample_SD.mean(0)))
    result: NDArray[np.float32] = vectors_DD[:, -1].astype(np.float32)
    return result


def _farthest(looks_NCD: NDArray[np.float32]) -> float:
    """How far descriptors of a pair may be apart so that there are not too many pairs."""
    num = len(looks_NCD)
    sample_S = np.arange(num) if num <= _SAMPLE else np.random.default_rng(0).choice(num, _SAMPLE, replace=False)
    apart_SN = 1 - looks_NCD[sample_S, 0] @ looks_NCD[:, 0].T
    farthest = _FARTHEST
    for _ in range(_STEPS):
        if (apart_SN <= farthest).sum() / len(sample_S) - 1 <= 2 * _PER_IMAGE:
            break
        farthest /= 1.5
    return farthest


def _nearest_crops(
    looks_NCD: NDArray[np.float32], first_P: NDArray[np.int64], second_P: NDArray[np.int64], crops_P: NDArray[np.float64]
) -> Candidates:
    """Every pair once, with the crop at which it is nearest; the picture that is cropped comes first."""
    at_P = np.searchsorted(CROPS, crops_P)
    apart_P = 1 - np.einsum("pd,pd->p", looks_NCD[first_P, at_P], looks_NCD[second_P, 0])
    low_P, high_P = np.minimum(first_P, second_P), np.maximum(first_P, second_P)
    order_P = np.lexsort((apart_P, high_P, low_P))
    low_P, high_P = low_P[order_P], high_P[order_P]
    is_first_P = np.ones(len(order_P), dtype=np.bool_)
    is_first_P[1:] = (low_P[1:] != low_P[:-1]) | (high_P[1:] != high_P[:-1])
    kept_P = order_P[is_first_P]
    return Candidates(first_P[kept_P], second_P[kept_P], crops_P[kept_P])
