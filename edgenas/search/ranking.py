"""Judging nets by a few short trainings: which to train, how well cheap rankings agree, what a noisy result is worth.

Shapes: A nets, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenas.stats import Proportion, kendall_tau

RIDGE = 1.0  # on standardised features; about one net's weight
BAND = 0.05  # nets whose costs differ by less from the band's middle count as equally dear
MIN_BAND = 5  # nets that a rank correlation needs


def pick_evenly(scores_A: NDArray[np.float64], costs_A: NDArray[np.float64], num: int, *, low: float, high: float) -> list[int]:
    """The best nets of equal steps of cost, in turn: the best of every step, then the second best of every step, and so on.

    Args:
        scores_A: larger is better.
        costs_A: what is spread over.
        num: nets wanted; fewer when there are no more.
        low, high: ends of the costs; nets outside follow, the best first, when those within do not suffice.

    Returns:
        Positions, the best of the dearest step first.
    """
    order = np.lexsort((costs_A, -scores_A))
    steps = max(1, num // 2)
    within = [i for i in order if low <= costs_A[i] <= high]
    width = max((high - low) / steps, 1e-12)
    cells: dict[int, list[int]] = {}
    for i in within:
        cells.setdefault(min(steps - 1, int((costs_A[i] - low) / width)), []).append(int(i))
    picked: list[int] = []
    turn = 0
    while len(picked) < min(num, len(within)):
        picked += [cells[cell][turn] for cell in sorted(cells, reverse=True) if turn < len(cells[cell])]
        turn += 1
    picked += [int(i) for i in order if not low <= costs_A[i] <= high]
    return picked[:num]


def pick_by_both(
    inherited_A: NDArray[np.float64],
    capacity_A: NDArray[np.float64],
    costs_A: NDArray[np.float64],
    num: int,
    *,
    low: float,
    high: float,
) -> list[int]:
    """Nets that are worth a training, as `pick_evenly` takes them: half by inherited accuracy, half by capacity.

    Trained alone, nets of most capacity learn better where that was measured
    (docs/measurements/demo-nets_fashion-mnist_202611.md); more of them than half, spread further below the limit, chose no
    better.

    Args:
        inherited_A, capacity_A: larger is better; a capacity of minus infinity keeps a net out of that share.
        costs_A, low, high: as of `pick_evenly`.
        num: nets wanted; fewer when there are no more.

    Returns:
        Positions, those by inherited accuracy first.
    """
    places = pick_evenly(inherited_A, costs_A, num - num // 2, low=low, high=high)
    left = np.array([i for i in range(len(costs_A)) if i not in places and np.isfinite(capacity_A[i])], dtype=np.int64)
    large = pick_evenly(capacity_A[left], costs_A[left], num - len(places), low=low, high=high)
    return [*places, *(int(left[i]) for i in large)]


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How well cheap rankings agree with nets trained alone.

    Attributes:
        num_nets: trained alone.
        tau: Kendall's, by ranking, over all of them.
        tau_band: over the nets within ± `BAND` of the latency at which most are; empty with fewer than `MIN_BAND`.
        band: lowest and highest cost of those.
        num_band: how many.
    """

    num_nets: int
    tau: dict[str, Proportion]
    tau_band: dict[str, Proportion]
    band: tuple[float, float] | None
    num_band: int

    def tells(self, ranking: str) -> bool:
        """Whether a ranking agrees with what nets are worth at all, by its value, rather than the other way round."""
        return self.tau[ranking].value > 0

    def is_of_use(self, ranking: str, *, beside: str) -> bool:
        """Whether a ranking tells what nets are worth, and better than another does, over all nets."""
        return self.tells(ranking) and self.tau[ranking].value > self.tau[beside].value


def fidelity(
    alone_A: NDArray[np.float64],
    rankings: dict[str, NDArray[np.float64]],
    costs_A: NDArray[np.float64],
    *,
    near_A: NDArray[np.bool_] | None = None,
) -> Fidelity:
    """Compare rankings with what nets are worth that were trained alone.

    Args:
        alone_A: accuracies, or what else tells how good a net is, larger for a better one.
        rankings: values by name, larger for what should be better.
        costs_A: latency, or MACs where none is known.
        near_A: which nets are about equally dear; None takes those within ± `BAND` of the cost at which most are.
    """
    if near_A is None:
        middles = costs_A[:, None]
        near_AA = (costs_A >= middles * (1 - BAND)) & (costs_A <= middles * (1 + BAND))
        near_A = near_AA[int(np.argmax(near_AA.sum(axis=1)))]
    has_band = int(near_A.sum()) >= MIN_BAND
    return Fidelity(
        num_nets=len(alone_A),
        tau={name: kendall_tau(values_A, alone_A) for name, values_A in rankings.items()},
        tau_band={name: kendall_tau(values_A[near_A], alone_A[near_A]) for name, values_A in rankings.items()} if has_band else {},
        band=(float(costs_A[near_A].min()), float(costs_A[near_A].max())) if has_band else None,
        num_band=int(near_A.sum()) if has_band else 0,
    )


@dataclass(frozen=True, slots=True)
class Ranker:
    """A ridge regression of accuracy or log-likelihood alone on cheap features (Hoerl & Kennard, Technometrics 1970).

    Attributes:
        mean_F, scale_F: of the features it was fitted on.
        weights_F: on standardised features.
        intercept: of the mean net.
        held_out_A: what each of the fitted nets is predicted by the others.
    """

    mean_F: NDArray[np.float64]
    scale_F: NDArray[np.float64]
    weights_F: NDArray[np.float64]
    intercept: float
    held_out_A: NDArray[np.float64]

    def __call__(self, features_AF: NDArray[np.float64]) -> NDArray[np.float64]:
        """Predicted values, shape (A,)."""
        predicted_A: NDArray[np.float64] = self.intercept + (features_AF - self.mean_F) / self.scale_F @ self.weights_F
        return predicted_A


def fit_ranker(features_AF: NDArray[np.float64], alone_A: NDArray[np.float64]) -> Ranker:
    """Fit a `Ranker`; predictions of left-out nets come from the hat matrix in closed form."""
    mean_F, scale_F = features_AF.mean(axis=0), features_AF.std(axis=0)
    scale_F = np.where(scale_F > 0, scale_F, 1.0)
    x_AF = (features_AF - mean_F) / scale_F
    intercept = float(alone_A.mean())
    gram_FF = x_AF.T @ x_AF + RIDGE * np.eye(x_AF.shape[1])
    weights_F = np.linalg.solve(gram_FF, x_AF.T @ (alone_A - intercept))
    hat_AA = x_AF @ np.linalg.solve(gram_FF, x_AF.T) + 1.0 / len(alone_A)
    fitted_A = intercept + x_AF @ weights_F
    leverage_A = np.minimum(np.diag(hat_AA), 1 - 1e-6)
    held_out_A = alone_A - (alone_A - fitted_A) / (1 - leverage_A)
    return Ranker(mean_F, scale_F, weights_F, intercept, held_out_A)


def shrunk(measured_A: NDArray[np.float64], expected_A: NDArray[np.float64], noise_var: float) -> NDArray[np.float64]:
    """Measured values drawn towards expected ones as far as the noise says (Efron & Morris, JASA 1973).

    Args:
        measured_A: of few images.
        expected_A: of the same nets, from what else is known; their own results have no part in them.
        noise_var: variance of a measured value for the same net.
    """
    spread = float(np.mean((measured_A - expected_A) ** 2))
    kept = max(0.0, spread - noise_var) / spread if spread > 0 else 0.0
    result_A: NDArray[np.float64] = expected_A + kept * (measured_A - expected_A)
    return result_A
