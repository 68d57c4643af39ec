"""Nets that are trained alone to see how far cheap rankings are to be trusted.

Shapes: A nets, N images, C classes.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgenas.costs import cost_models, decompose, shape_models
from edgenas.data.images import Images
from edgenas.errors import InfeasibleError
from edgenas.project.opening import Project
from edgenas.project.searching.proof import SPLITS, Prover
from edgenas.project.trainings.sampling import cost_of
from edgenas.proxies import PROXIES
from edgenas.records import FidelityReport, Proportion, RankedNet
from edgenas.runs import Progress, Record
from edgenas.search.proof_scores import log_likelihoods
from edgenas.search.ranking import Fidelity, fidelity
from edgenas.spaces import Genes
from edgenas.spaces.designed import hand_designed_rows
from edgenas.spaces.even import Cost, even_pool
from edgenas.stats import kendall_tau, paired_difference
from edgenas.supernets import Supernet, build_supernet
from edgenas.supernets.sliced import SlicedSupernet
from edgenas.training.evaluation import SupernetEvaluator
from edgenas.training.recalibration import recalibration_of
from edgenas.training.sampling import as_key

DSS = "dss"


def nets_to_train(project: Project, images: Images, num: int, band: float) -> tuple[Genes, NDArray[np.bool_]]:
    """Rows of nets, shape (num, genes), and which of them are of nearly equal cost.

    Half of them cost within ``band`` of one middle, that of the hand-designed nets, and are drawn evenly over depth; the others
    come from everywhere, evenly over cost and depth. Fewer where there are no more.

    Args:
        project: with settings and, if it has one, a latency table; else MACs are the cost.
        images: of its task.
        num: nets wanted.
        band: largest difference from the middle as a share of it, e.g. 0.05.

    Raises:
        InfeasibleError: if fewer than two nets are of nearly equal cost.
    """
    space, rng = project.space, np.random.default_rng(project.settings.search.seed)
    cost, _ = cost_of(project, images.task)
    depth = shape_models(decompose(space, images.task)).depth
    middle = float(np.median(cost(hand_designed_rows(space))))

    def near(genes_AG: Genes) -> NDArray[np.bool_]:
        return np.abs(cost(genes_AG) / middle - 1) <= band

    near_AG = even_pool(space, cost, depth, rng, allowed=near).spread(-(-num // 2), rng)
    if len(near_AG) < min(2, num):
        raise InfeasibleError(
            f"{len(near_AG)} nets of {space.name} cost within {100 * band:g} % of {middle:.4g}", hint="widen --band"
        )
    others_AG = even_pool(space, cost, depth, rng, allowed=lambda genes_AG: ~near(genes_AG)).spread(num - len(near_AG), rng)
    rows_AG = np.concatenate([near_AG, others_AG])
    return rows_AG, np.arange(len(rows_AG)) < len(near_AG)


@dataclass(frozen=True, slots=True)
class NetProbabilities:
    """Class probabilities of nets on select and confirm, shape (A, N, C), with inherited weights and alone."""

    inherited_ANC: NDArray[np.float16]
    alone_ANC: NDArray[np.float16]
    labels_N: NDArray[np.int64]

    def right(self, *, alone: bool) -> NDArray[np.bool_]:
        """Which images each net gets right, shape (A, N)."""
        right_AN: NDArray[np.bool_] = (self.alone_ANC if alone else self.inherited_ANC).argmax(axis=2) == self.labels_N
        return right_AN


def answers_of(prover: Prover, supernet: nn.Module, rows_AG: Genes, epochs: int) -> Generator[Record, None, NetProbabilities]:
    """Ask the supernet, then train every net alone; those that were trained before are known."""
    images, inherited = prover.images, []
    statistics = recalibration_of(supernet, images.norm_images())
    for split in SPLITS:
        split_NCHW, labels_N = images.arrays(split)
        evaluate = SupernetEvaluator(supernet, split_NCHW, device=torch.device(prover.device), training_NCHW=statistics)
        parts = []
        for position, row_G in enumerate(rows_AG):
            yield Progress(f"asking the supernet on {split}", position, len(rows_AG))
            parts.append(evaluate(row_G[None], np.arange(len(labels_N))))
        yield Progress(f"asking the supernet on {split}", len(rows_AG), len(rows_AG))
        inherited.append(np.concatenate(parts))
    alone = []
    for position, row_G in enumerate(rows_AG, 1):
        arch = prover.project.space.to_json(row_G)
        alone.append((yield from prover.predictions(arch, epochs, f"alone {position}/{len(rows_AG)}")))
    labels_N = np.concatenate([images.labels(split) for split in SPLITS])
    return NetProbabilities(np.concatenate(inherited, axis=1), np.stack(alone), labels_N)


def proxy_scores(project: Project, images: Images, rows_AG: Genes) -> Generator[Record, None, dict[str, list[float]]]:
    """DSS, and the proxy that ``search.proxy`` names, of every net on a fresh supernet of the search's seed.

    Nothing where subnets are no slices of the supernet's weights.

    Raises:
        PluginError: naming the package that brings the proxy, if it cannot be used.
    """
    torch.manual_seed(project.settings.search.seed)
    supernet = build_supernet(project.space, images.task)
    if not isinstance(supernet, SlicedSupernet):
        return {}
    names = [DSS, *([project.settings.search.proxy] if project.settings.search.proxy not in (None, DSS) else [])]
    result: dict[str, list[float]] = {name: [] for name in names if name is not None}
    for position, row_G in enumerate(rows_AG):
        yield Progress("scoring without training", position, len(rows_AG))
        for name, values in result.items():
            values.append(float(PROXIES.find(name)(_as_supernet(supernet), as_key(row_G))))
    yield Progress("scoring without training", len(rows_AG), len(rows_AG))
    return result


def _as_supernet(supernet: nn.Module) -> Supernet:
    return supernet  # type: ignore[return-value]  # a `SlicedSupernet` is one


@dataclass(frozen=True, slots=True)
class Ranked:
    """What is known of the nets, and of how well it ranks them.

    Attributes:
        cost_name: ``latency_ms`` or ``macs``.
        fidelity: of the accuracies.
        tau_sensitivity: of the positive class's sensitivity.
        regret: of choosing by inherited accuracy.
    """

    rows: tuple[RankedNet, ...]
    cost_name: str
    fidelity: Fidelity
    tau_sensitivity: Mapping[str, Proportion]
    regret: Proportion


def ranked(
    project: Project,
    images: Images,
    rows_AG: Genes,
    in_band_A: NDArray[np.bool_],
    answers: NetProbabilities,
    scores: Mapping[str, Sequence[float]],
) -> Ranked:
    """Compare what was known before with what the nets are worth alone."""
    space, models = project.space, cost_models(project.space, images.task)
    cost, over = cost_of(project, images.task)
    right_AN, own_AN = answers.right(alone=False), answers.right(alone=True)
    inherited_A, alone_A = right_AN.mean(axis=1), own_AN.mean(axis=1)
    log_A = np.array([log_likelihoods(p_NC, answers.labels_N).mean() for p_NC in answers.alone_ANC])
    params_A, macs_A = models.params(rows_AG), models.macs(rows_AG)
    rankings = {"inherited": inherited_A, "params": params_A, "macs": macs_A}
    rankings |= {name: np.array(values) for name, values in scores.items()}
    known = fidelity(alone_A, rankings, cost(rows_AG), near_A=in_band_A)
    sensitivity = _sensitivities(images, answers)
    costs_A = _latencies(rows_AG, cost, over)
    rows = tuple(
        RankedNet(
            arch=space.to_json(row_G),
            params=int(params_A[i]),
            macs=int(macs_A[i]),
            latency_ms_predicted=costs_A[i],
            in_band=bool(in_band_A[i]),
            inherited=float(inherited_A[i]),
            alone=float(alone_A[i]),
            alone_log_likelihood=float(log_A[i]),
            inherited_sensitivity=None if sensitivity is None else float(sensitivity[0][i]),
            alone_sensitivity=None if sensitivity is None else float(sensitivity[1][i]),
            scores={name: float(values[i]) for name, values in scores.items()},
        )
        for i, row_G in enumerate(rows_AG)
    )
    tau = {} if sensitivity is None else {"inherited": kendall_tau(*sensitivity)}
    chosen, best = int(np.argmax(inherited_A)), int(np.argmax(alone_A))
    rng = np.random.default_rng(project.settings.search.seed)
    regret = paired_difference(own_AN[best], own_AN[chosen], rng=rng)
    return Ranked(rows, "macs" if over == "macs" else "latency_ms", known, tau, regret)


def _latencies(rows_AG: Genes, cost: Cost, over: str) -> list[float | None]:
    return [None] * len(rows_AG) if over == "macs" else [float(value) for value in cost(rows_AG)]


def _sensitivities(images: Images, answers: NetProbabilities) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Shares of the positive class that are found, with inherited weights and alone; None without such images."""
    if images.positive is None or not (answers.labels_N == images.positive).any():
        return None
    mine_N = answers.labels_N == images.positive
    return answers.right(alone=False)[:, mine_N].mean(axis=1), answers.right(alone=True)[:, mine_N].mean(axis=1)


def report_of(ranked_nets: Ranked, *, epochs: int, images: int, seconds: float, splits: str, supernet: str) -> FidelityReport:
    """The report of a fidelity study."""
    known = ranked_nets.fidelity
    return FidelityReport(
        splits_sha256=splits,
        supernet_sha256=supernet,
        num_nets=known.num_nets,
        epochs=epochs,
        images=images,
        cost=ranked_nets.cost_name,
        band=known.band,
        num_band=known.num_band,
        tau=known.tau,
        tau_band=known.tau_band,
        tau_sensitivity=ranked_nets.tau_sensitivity,
        regret=ranked_nets.regret,
        rows=ranked_nets.rows,
        seconds=seconds,
    )
