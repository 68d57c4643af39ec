"""Pareto sets of two objectives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pareto_front(costs_A: NDArray[np.floating], scores_A: NDArray[np.floating]) -> NDArray[np.int64]:
    """Indices of the candidates that no other beats in both (lower cost, higher score), by growing cost.

    Args:
        costs_A: to be small, shape (archs,).
        scores_A: to be large, shape (archs,).
    """
    order = np.lexsort((-scores_A, costs_A))
    best_so_far = np.maximum.accumulate(np.concatenate([[-np.inf], scores_A[order][:-1]])) if len(order) else scores_A
    front: NDArray[np.int64] = order[scores_A[order] > best_so_far]
    return front
