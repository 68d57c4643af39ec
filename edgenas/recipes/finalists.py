"""The finalists of a search: measured on the device, read once on the split confirm, one chosen."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from edgenas.latency import Memory
from edgenas.recipes.journals import JournaledEvaluator
from edgenas.recipes.profile import measure_archs
from edgenas.recipes.run_tables import is_elsewhere
from edgenas.runs import Journal, Note, Record
from edgenas.search import Candidate
from edgenas.stats import accuracy, sensitivities
from edgenas.training.evaluation import SupernetEvaluator

if TYPE_CHECKING:
    from edgenas.recipes.budget import Device
    from edgenas.recipes.project import Images, Project
    from edgenas.recipes.search import Question

MAX_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Finalist:
    """A candidate with its measurement and its confirmation; ``row`` is the contract's CAND.

    Attributes:
        measured: what the limits of devices judge, by their name: the median of all calls, or the quantile that is promised.
    """

    candidate: Candidate
    row: dict[str, Any]
    measured: dict[str, float] = field(default_factory=dict)

    @property
    def rank(self) -> tuple[float, ...]:
        """Smaller is better: accuracy on confirm, then on select; of equally accurate nets the faster, then the smaller."""
        measured, predicted = self.row["latency_ms_measured"], self.row["latency_ms_predicted"]
        latency_ms = measured if measured is not None else (predicted if predicted is not None else 0.0)
        return (-self.row["top1_confirm"]["value"], -self.candidate.top1, latency_ms, self.row["macs"])


def judge_finalists(
    project: Project,
    images: Images,
    supernet: nn.Module,
    candidates: Sequence[Candidate],
    described: Sequence[dict[str, Any]],
    question: Question,
    device: str,
    *,
    evaluations: Journal,
    memory: Memory,
) -> Generator[Record, None, list[Finalist]]:
    """Measure and confirm the best candidates; when the measurement rejects them all, the best of those predicted faster.

    Predictions are kept in ``evaluations`` and timings in ``memory``; what is there already is not made again.

    Returns:
        The finalists of every round, in order; ``rejected_by`` says why one cannot win.
    """
    cost = "latency_ms_predicted" if question.budget.devices else "macs"
    order = sorted(
        range(len(candidates)), key=lambda i: (candidates[i].shortfall, -candidates[i].top1, described[i][cost], candidates[i].rank)
    )
    genes_AG = np.array([candidate.genes for candidate in candidates], dtype=np.int16)
    limits = {d.name: (d.limit_ms, d.limited(genes_AG)) for d in question.budget.devices if d.limit_ms is not None}
    finalists: list[Finalist] = []
    margins = dict.fromkeys(limits, 1.0)
    for _ in range(MAX_ROUNDS):
        taken = {finalist.candidate.genes for finalist in finalists}
        allowed = [
            i
            for i in order
            if candidates[i].genes not in taken and all(ms_A[i] <= top * margins[name] for name, (top, ms_A) in limits.items())
        ]
        chosen = allowed[: project.settings.search.num_finalists]
        if not chosen:
            break
        fresh = [Finalist(candidates[i], dict(described[i])) for i in chosen]
        for place in question.budget.devices:
            yield from _measure(project, images, fresh, place, is_first=place is question.budget.devices[0], memory=memory)
        _confirm(images, supernet, fresh, question, device, evaluations)
        finalists += fresh
        if choose(finalists) is not None or any(not limits.keys() & set(f.row["rejected_by"]) for f in fresh):
            break
        for name, (top, _) in limits.items():
            slower = min((top / finalist.measured[name] for finalist in fresh if name in finalist.measured), default=1.0)
            margins[name] *= 0.98 * slower if slower < 1 else 1.0
        yield Note("every finalist measured slower than the limit; trying nets that are predicted faster", is_warning=True)
    return finalists


def _measure(
    project: Project, images: Images, finalists: Sequence[Finalist], device: Device, *, is_first: bool, memory: Memory
) -> Iterator[Record]:
    """Time the finalists on a device that is here and judge them; the limit without a name is always judged here."""
    if device.alias and not device.is_here:
        return
    rows = np.array([finalist.candidate.genes for finalist in finalists], dtype=np.int16)
    elsewhere = is_elsewhere(device.table.table)  # its nets are not measured; those of a foreign table are, with the run's own
    table = device.table if device.is_here or elsewhere else None
    label = f"measuring on {device.alias}" if device.alias else "measuring finalists"
    nets = yield from measure_archs(project, images.task, rows, label=label, table=table, memory=memory)
    if nets is None:
        return
    for finalist, net in zip(finalists, nets, strict=True):
        row = finalist.row
        judged_ms = net.latency_ms if device.bound is None else net.quantile_ms(device.bound.quantile)
        finalist.measured[device.name] = judged_ms
        if is_first:
            row |= {"latency_ms_measured": net.latency_ms, "latency_ms_p95": net.p95_ms}
            row |= {} if device.bound is None else {"latency_ms_quantile": {"quantile": device.bound.quantile, "ms": judged_ms}}
        if "latencies" in row:
            values = {"measured_ms": net.latency_ms} | {f"{q}_ms": net.quantile_ms(q) for q in ("p50", "p90", "p95", "p99")}
            row["latencies"] = {**row["latencies"], device.label: {**row["latencies"][device.label], **values}}
        if device.limit_ms is not None and judged_ms > device.limit_ms:
            row["rejected_by"].append(device.name)


def _confirm(
    images: Images, supernet: nn.Module, finalists: Sequence[Finalist], question: Question, device: str, evaluations: Journal
) -> None:
    """Add accuracy and sensitivities on confirm; a floor must hold there as well."""
    images_NCHW, labels_N = images.arrays("confirm")
    genes_AG = np.array([finalist.candidate.genes for finalist in finalists], dtype=np.int16)
    predictor = SupernetEvaluator(supernet, images_NCHW, device=torch.device(device), training_NCHW=images.norm_images())
    evaluator = JournaledEvaluator(predictor, evaluations, "confirm")
    for finalist, p_NK in zip(finalists, evaluator(genes_AG, np.arange(len(labels_N))), strict=True):
        shares = sensitivities(p_NK.argmax(axis=1), labels_N, images.class_names)
        finalist.row["top1_confirm"] = accuracy(p_NK.argmax(axis=1), labels_N).as_json()
        finalist.row["sensitivity_confirm"] = {name: share.as_json() for name, share in shares.items()}
        for floor in question.floors:
            missed = floor.violation(p_NK[None], labels_N)[0] > 0
            if missed and floor.name not in finalist.row["rejected_by"]:
                finalist.row["rejected_by"].append(floor.name)


def choose(finalists: Sequence[Finalist]) -> Finalist | None:
    """The best finalist that nothing rejects, by `Finalist.rank`."""
    left = [finalist for finalist in finalists if not finalist.row["rejected_by"]]
    return min(left, key=lambda finalist: finalist.rank) if left else None
