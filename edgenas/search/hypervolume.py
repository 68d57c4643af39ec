"""How much of the space of objectives a set of nets dominates: the hypervolume (Zitzler & Thiele, PPSN 1998), exact.

Shapes: A nets, O objectives, turned so that smaller is better.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def undominated_rows(losses_AO: NDArray[np.floating]) -> NDArray[np.int64]:
    """Indices of the rows that no other row beats or equals in every objective, by the first objective; of equal rows the first."""
    kept: list[int] = []
    for row in np.lexsort(losses_AO.T[::-1]):  # whatever beats a row comes before it
        if not kept or not (losses_AO[kept] <= losses_AO[row]).all(axis=1).any():
            kept.append(int(row))
    return np.array(kept, dtype=np.int64)


def hypervolume(losses_AO: NDArray[np.floating], reference_O: NDArray[np.floating]) -> float:
    """Volume of what lies between the rows and a reference point, exact for any number of objectives.

    Rows that do not beat the reference point in every objective count for nothing. Two objectives are summed in one pass; more are
    cut into slices along the last one, which takes long with many rows of more than four.

    Args:
        losses_AO: one row a net.
        reference_O: what every net that counts is better than.

    Raises:
        ValueError: if the reference point is of another number of objectives.
    """
    if losses_AO.ndim != 2 or losses_AO.shape[1] != len(reference_O):
        raise ValueError(f"rows of shape {losses_AO.shape} have no reference point of {len(reference_O)} objectives")
    inside_AO = losses_AO[(losses_AO < reference_O).all(axis=1)]
    return _volume(inside_AO[undominated_rows(inside_AO)].astype(np.float64), np.asarray(reference_O, dtype=np.float64))


def _volume(front_AO: NDArray[np.float64], reference_O: NDArray[np.float64]) -> float:
    """The volume of rows that are inside, undominated and in the order of their first objective."""
    if len(front_AO) == 0:
        return 0.0
    if front_AO.shape[1] == 1:
        return float(reference_O[0] - front_AO[:, 0].min())
    if front_AO.shape[1] == 2:  # the second objective falls while the first grows
        widths_A = np.append(front_AO[1:, 0], reference_O[0]) - front_AO[:, 0]
        return float(widths_A @ (reference_O[1] - front_AO[:, 1]))
    levels = np.unique(front_AO[:, -1])
    total = 0.0
    for level, above in zip(levels, [*levels[1:], reference_O[-1]], strict=True):
        slice_AO = front_AO[front_AO[:, -1] <= level, :-1]
        total += (above - level) * _volume(slice_AO[undominated_rows(slice_AO)], reference_O[:-1])
    return float(total)
