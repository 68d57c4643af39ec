"""What short trainings say of nets: scores as far as few images allow, cheap rankings, who goes on. Shapes: A nets, N images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgenas.search.finalists import Finalist
from edgenas.search.ranking import Fidelity, fidelity, fit_ranker, shrunk
from edgenas.stats import kendall_tau

HAND = "hand-designed"
FIRST_RUNG = 1 / 3  # of the epochs
LEFT = 1 / 3  # of the nets, for the second rung
MIN_LEFT = 3
MIN_RANKED = 8  # proven nets that a ranker is fitted to
LEAST = 1e-3  # probability of a right class, about what float16 and a softened teacher leave

Score = Callable[[Sequence[Finalist]], NDArray[np.float64]]


def features_of(finalists: Sequence[Finalist]) -> NDArray[np.float64]:
    """What a ranker sees of every net: inherited accuracy and likelihood, logarithms of parameters, MACs and resolution."""
    inherited_A2 = np.array([[f.candidate.top1, f.candidate.log_likelihood] for f in finalists])
    sizes_A3 = np.log([[f.row.params, f.row.macs, resolution_of(f)] for f in finalists])
    return np.column_stack([inherited_A2, sizes_A3])


def resolution_of(finalist: Finalist) -> int:
    """Side in pixels of what a net reads; 1 where all nets of the space read the same."""
    return int(finalist.row.arch.get("resolution_px", 1))


def rankings_of(finalists: Sequence[Finalist]) -> dict[str, NDArray[np.float64]]:
    """Cheap rankings by name, larger for what should be better."""
    columns = features_of(finalists).T
    return {"inherited": columns[0] + 1e-6 * columns[1], "params": columns[2], "macs": columns[3]}


def costs_of(finalists: Sequence[Finalist]) -> NDArray[np.float64]:
    """Predicted latency, or MACs without a table."""
    predicted = [f.row.latency_ms_predicted for f in finalists]
    return np.array([f.row.macs for f in finalists] if None in predicted else predicted, dtype=np.float64)


def judge_first_rung(
    finalists: Sequence[Finalist], log_AN: NDArray[np.float64]
) -> tuple[Fidelity | None, str, NDArray[np.float64]]:
    """Fidelity, the name of what scores are expected from, and the scores after the first rung, from log-likelihoods."""
    alone_A = log_AN.mean(axis=1)
    if len(finalists) < MIN_RANKED:
        return None, "none", alone_A
    ranker = fit_ranker(features_of(finalists), alone_A)
    rankings = rankings_of(finalists) | {"combined": ranker.held_out_A}
    measured = fidelity(alone_A, rankings, costs_of(finalists))
    cheap = max(measured.tau[name].value for name in ("inherited", "params", "macs"))
    if not measured.tau["combined"].value > max(cheap, 0.0):
        return measured, "none", alone_A
    return measured, "combined", shrunk(alone_A, ranker.held_out_A, noise_of(log_AN))


def log_likelihoods(p_NC: NDArray[np.floating], labels_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """How likely every image's class was held to be, in nats; at least that of `LEAST`, so that no single image decides."""
    of_label_N = p_NC[np.arange(len(labels_N)), labels_N].astype(np.float64)
    logs_N: NDArray[np.float64] = np.log(np.maximum(of_label_N, LEAST))
    return logs_N


def noise_of(log_AN: NDArray[np.float64]) -> float:
    """Variance of one net's mean over the images beside the others' on the same ones; 0 for a single net."""
    if len(log_AN) < 2:
        return 0.0
    mean_variance: float = float(log_AN.var(axis=0, ddof=1).mean())
    return mean_variance / float(log_AN.shape[1])


def words(known: Fidelity, epochs: int) -> str:
    """What the fidelity says, for a reader."""
    shown = ", ".join(f"{name} {tau.value:.2f} [{tau.low:.2f}, {tau.high:.2f}]" for name, tau in known.tau.items())
    return f"Kendall's tau with {known.num_nets} nets trained alone for {epochs} epochs: {shown}"


def num_left(num: int) -> int:
    """Nets of the second rung."""
    return min(num, max(MIN_LEFT, round(LEFT * num)))


def first_epochs(epochs: int) -> int:
    """Epochs of the first rung."""
    return max(1, round(FIRST_RUNG * epochs))


def survivors(finalists: Sequence[Finalist], scores_A: NDArray[np.float64]) -> list[int]:
    """Places of the nets that reach the second rung, the best of every resolution in turn; the best hand-designed is among them."""
    order = [int(i) for i in np.argsort(-scores_A, kind="stable")]
    places = in_turn(order, [resolution_of(finalist) for finalist in finalists], num_left(len(order)))
    hand = [i for i in order if finalists[i].is_hand_designed]
    return places if not hand or hand[0] in places else [*places[:-1], hand[0]]


def in_turn(order: Sequence[int], groups: Sequence[int], num: int) -> list[int]:
    """So many places, from every group the next best in turn; groups other than the best's own get half of them at most.

    Nets that read more pixels learn later: what they have shown after a few epochs is compared among themselves.

    Args:
        order: places, best first.
        groups: of every place.
        num: wanted.
    """
    queues: dict[int, list[int]] = {}
    for place in order:
        queues.setdefault(groups[place], []).append(place)
    (own, *others) = list(queues.values()) or [[]]
    turns = [queue[turn] for turn in range(len(order)) for queue in others if turn < len(queue)]
    first = own[: max(num - num // 2, num - len(turns))]
    return sorted(first + turns[: num - len(first)], key=list(order).index)


def expected_after(
    finalists: Sequence[Finalist], scores_A: NDArray[np.float64], alone_A: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What the second rung is expected to show by the first: the same differences among nets of one resolution.

    Args:
        finalists: of the second rung.
        scores_A: of the first rung.
        alone_A: mean log-likelihoods of the second.
    """
    groups_A = np.array([resolution_of(finalist) for finalist in finalists])
    expected_A = scores_A.copy()
    for group in np.unique(groups_A):
        mine_A = groups_A == group
        expected_A[mine_A] += (alone_A - scores_A)[mine_A].mean()
    return expected_A


def expected(finalists: Sequence[Finalist], log_AN: NDArray[np.float64]) -> Score:
    """A score for nets that were not trained: the ranker's, where it ranks the trained ones better than MACs, else their MACs."""
    alone_A = log_AN.mean(axis=1)
    ranker = fit_ranker(features_of(finalists), alone_A)
    if kendall_tau(ranker.held_out_A, alone_A).value > kendall_tau(_by_macs(finalists), alone_A).value:
        return lambda others: ranker(features_of(others))
    return _by_macs


def _by_macs(finalists: Sequence[Finalist]) -> NDArray[np.float64]:
    """The ranking by multiply-accumulates, as a score."""
    return rankings_of(finalists)["macs"]
