"""Pareto sets of two objectives, and orders of candidates by several.

Shapes: A nets, O objectives.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgenas.search.base import Candidate


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


def fronts_of(losses_AO: NDArray[np.floating]) -> NDArray[np.int64]:
    """Number of the front that every net is on, 0 for those that no other dominates, shape (archs,).

    Non-dominated sorting (Deb et al., IEEE TEC 2002, section III-A), by comparing all with all.
    """
    no_worse_AA = np.logical_and.reduce([loss_A[:, None] <= loss_A[None] for loss_A in losses_AO.T])
    dominates_AA = (no_worse_AA & ~no_worse_AA.T).astype(np.int32)
    front_A = np.full(len(losses_AO), -1, dtype=np.int64)
    num_better_A = dominates_AA.sum(axis=0)
    number = 0
    while (front_A < 0).any():
        mine_A = (front_A < 0) & (num_better_A == 0)
        front_A[mine_A] = number
        num_better_A -= dominates_AA[mine_A].sum(axis=0)
        number += 1
    return front_A


def crowding_of(losses_AO: NDArray[np.floating]) -> NDArray[np.float64]:
    """How far the neighbours of every net on one front are, summed over objectives; infinite at the ends (ibid., section III-B)."""
    distance_A = np.zeros(len(losses_AO))
    for loss_A in losses_AO.T:
        order = np.argsort(loss_A, kind="stable")
        spread = float(loss_A[order[-1]] - loss_A[order[0]]) if len(order) else 0.0
        if spread > 0:
            distance_A[order[1:-1]] += (loss_A[order[2:]] - loss_A[order[:-2]]) / spread
            distance_A[order[[0, -1]]] = np.inf
    return distance_A


def ranked(candidates: Sequence[Candidate], keep: int | None = None) -> list[Candidate]:
    """Best first, at most ``keep``.

    With one objective by `Candidate.rank`. With several what meets every floor comes before what does not (the less short, the
    earlier); among those that do, front after front, and on a front those of the emptiest surroundings first.
    """
    order = sorted(candidates, key=lambda candidate: candidate.rank)
    if not order or len(order[0].losses) < 2:
        return order[:keep]
    meets = [candidate for candidate in order if candidate.missed == 0]
    losses_AO = np.array([candidate.losses for candidate in meets]).reshape(len(meets), -1)
    front_A = fronts_of(losses_AO)
    places: list[int] = []
    for number in range(int(front_A.max(initial=-1)) + 1):
        mine = np.flatnonzero(front_A == number)
        places += mine[np.argsort(-crowding_of(losses_AO[mine]), kind="stable")].tolist()
        if keep is not None and len(places) >= keep:
            break
    return [*(meets[place] for place in places), *order[len(meets) :]][:keep]


def undominated(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates that meet every floor and that no other of these beats in all objectives, best in the first one first."""
    meets = sorted((each for each in candidates if each.missed == 0), key=lambda candidate: candidate.rank)
    if not meets:
        return []
    front_A = fronts_of(np.array([candidate.losses or (-candidate.top1,) for candidate in meets]))
    return [candidate for candidate, front in zip(meets, front_A, strict=True) if front == 0]
