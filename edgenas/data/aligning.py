"""How much two pictures differ once brightness, contrast, and a slight shift or crop are taken out.

Shapes: P pairs, H and W rows and columns, 4 parameters (scale and shift along x, then along y).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgenas.data.sketches import normed, pooled

_LARGEST = 0.3  # scale or shift, in halves of a side
_WEAK = 0.2  # a contrast below which a shift cannot be told
_CHUNK = 256  # pairs at a time: what stays in a cache
FLAT = 1.0  # difference of pictures that have nothing in common

Pictures = NDArray[np.float32]


def differences(first_PHW: Pictures, second_PHW: Pictures, crops_P: NDArray[np.float64], *, hopeless: float) -> NDArray[np.float64]:
    """The share of a picture's variance that the other does not explain, 0 to 1, shape (P,).

    Least squares over contrast, brightness and, linearised, scale and shift along both axes (the registration of Lucas and
    Kanade, IJCAI 1981): once at half the resolution, the first picture moved onto the second; for pairs that are not hopeless
    then, twice at the full one, in both directions, of which the better counts.

    Args:
        first_PHW: grey pictures.
        second_PHW: grey pictures that may be crops of the first.
        crops_P: share that is thought to be cut off on each side, where the search starts.
        hopeless: difference at half the resolution above which pairs are left as they are.
    """
    result_P = np.empty(len(first_PHW))
    for start in range(0, len(first_PHW), _CHUNK):
        part = slice(start, start + _CHUNK)
        result_P[part] = _differences(first_PHW[part], second_PHW[part], -2 * crops_P[part], hopeless)
    return result_P


def _differences(first_PHW: Pictures, second_PHW: Pictures, scales_P: NDArray[np.float64], hopeless: float) -> NDArray[np.float64]:
    first, second = pooled(first_PHW, 2), pooled(second_PHW, 2)
    place_P4 = _moved(first, second, np.stack([scales_P, np.zeros_like(scales_P)] * 2, axis=1))
    result_P = np.minimum(_difference(first, second), _difference(_warped(first, place_P4), second))
    likely_P = np.flatnonzero(result_P <= hopeless)
    if len(likely_P):
        first, second, place = first_PHW[likely_P], second_PHW[likely_P], place_P4[likely_P]
        there, back = _aligned(first, second, place), _aligned(second, first, -place)
        result_P[likely_P] = np.minimum(_difference(first, second), np.minimum(there, back))
    return result_P


def _aligned(moving_PHW: Pictures, fixed_PHW: Pictures, place_P4: NDArray[np.float64]) -> NDArray[np.float64]:
    """The difference after two steps from a place."""
    for _ in range(2):
        place_P4 = _moved(moving_PHW, fixed_PHW, place_P4)
    return _difference(_warped(moving_PHW, place_P4), fixed_PHW)


def _difference(first_PHW: Pictures, second_PHW: Pictures) -> NDArray[np.float64]:
    """1 less the squared correlation; 1 for negatives of each other."""
    correlation_P = np.clip((normed(first_PHW) * normed(second_PHW)).sum(1, dtype=np.float64), 0, 1)
    result_P: NDArray[np.float64] = FLAT - correlation_P**2
    return result_P


def _warped(pictures_PHW: Pictures, place_P4: NDArray[np.float64]) -> Pictures:
    side = pictures_PHW.shape[1]
    along_x, along_y = _matrices(place_P4[:, 0], place_P4[:, 1], side), _matrices(place_P4[:, 2], place_P4[:, 3], side)
    return (along_y @ pictures_PHW @ along_x.transpose(0, 2, 1)).astype(np.float32, copy=False)


def _axis(side: int) -> NDArray[np.float64]:
    """Centres of pixels, from -1 to 1."""
    return (np.arange(side) + 0.5) / side * 2 - 1


def _matrices(scale_P: NDArray[np.float64], shift_P: NDArray[np.float64], side: int) -> Pictures:
    """Linear interpolation along one axis, shape (P, to, from)."""
    wanted_PT = _axis(side)[None] * (1 + scale_P[:, None]) + shift_P[:, None]
    pixels_PT = np.clip((wanted_PT + 1) / 2 * side - 0.5, 0, side - 1).astype(np.float32)
    distances_PTF = np.abs(pixels_PT[:, :, None] - np.arange(side, dtype=np.float32))
    result_PTF: Pictures = np.maximum(np.float32(0), 1 - distances_PTF)
    return result_PTF


def _moved(moving_PHW: Pictures, fixed_PHW: Pictures, place_P4: NDArray[np.float64]) -> NDArray[np.float64]:
    """The place after one step of Gauss and Newton."""
    now_PHW = _warped(moving_PHW, place_P4)
    num, side = now_PHW.shape[:2]
    axis_H = _axis(side).astype(np.float32)
    down_PHW, right_PHW = (gradient * np.float32(side / 2) for gradient in np.gradient(now_PHW, axis=(1, 2)))
    columns = [now_PHW, np.ones_like(now_PHW), right_PHW * axis_H, right_PHW, down_PHW * axis_H[:, None], down_PHW]
    terms_P6A = np.stack(columns, axis=1).reshape(num, len(columns), -1)
    normal_P66 = (terms_P6A @ terms_P6A.transpose(0, 2, 1)).astype(np.float64)
    normal_P66 += np.eye(len(columns)) * (1e-6 * np.einsum("pii->p", normal_P66)[:, None, None] + 1e-6)
    right_P61 = (terms_P6A @ fixed_PHW.reshape(num, -1, 1)).astype(np.float64)
    found_P6 = np.linalg.solve(normal_P66, right_P61)[:, :, 0]
    contrast_P = np.where(np.abs(found_P6[:, 0]) > _WEAK, found_P6[:, 0], np.inf)
    return np.clip(place_P4 + found_P6[:, 2:] / contrast_P[:, None], -_LARGEST, _LARGEST)
