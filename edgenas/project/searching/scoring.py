"""Scores without training in a search: computed once a net, kept, and compared with sizes and with what nets are worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from edgenas.costs import CostModel
from edgenas.errors import UsageError
from edgenas.project.journals import journal
from edgenas.project.opening import Project
from edgenas.project.settings import SearchSettings
from edgenas.proxies import PROXIES, scored
from edgenas.records import ProxyReport
from edgenas.runs import Journal, Progress, Record
from edgenas.runs.place import threads_here
from edgenas.search import Candidate, CostConstraint, EvolutionSettings, Score, feasible_rows
from edgenas.search.population import EVEN
from edgenas.spaces import Genes, SearchSpace, Task
from edgenas.stats import kendall_tau
from edgenas.supernets import Supernet, build_supernet
from edgenas.supernets.sliced import SlicedSupernet

SCORES = "scores.jsonl"
DSS = "dss"
RIVALS = ("params", "macs")


def proxy_name(settings: SearchSettings) -> str | None:
    """The training-free indicator that the search asks; None where it asks none."""
    return (settings.proxy or DSS) if settings.algorithm == "training-free" else settings.prefilter


@dataclass(slots=True)
class KnownScore:
    """A score that asks about every net once and keeps the answers, also on the disk; it grows.

    Attributes:
        name: of the indicator.
        compute: the score of rows that are not known.
        memory: of earlier calls.
        known: scores by rows of this call, in the order in which they were asked for.
    """

    name: str
    compute: Score
    memory: Journal
    known: dict[tuple[int, ...], float] = field(default_factory=dict)

    def __call__(self, genes_AG: Genes) -> NDArray[np.float64]:
        """The score of every row, shape (archs,)."""
        keys = [" ".join(map(str, row_G.tolist())) for row_G in genes_AG]
        fresh = [place for place, key in enumerate(keys) if self.memory.recall(key) is None]
        if fresh:
            for place, value in zip(fresh, self.compute(genes_AG[fresh]), strict=True):
                self.memory.record(keys[place], float(value))
        scores_A = np.array([float(cast(float, self.memory.recall(key))) for key in keys])
        self.known |= {tuple(row_G.tolist()): float(value) for row_G, value in zip(genes_AG, scores_A, strict=True)}
        return scores_A


def score_identity(project: Project, task: Task, name: str) -> dict[str, Any]:
    """What a score depends on."""
    settings = project.settings.search
    of_task = [task.num_classes, task.in_channels, task.image_px]
    seeds = [settings.seed + position for position in range(settings.proxy_seeds)]
    return {"proxy": name, "space": project.space.name, "task": of_task, "seeds": seeds, "torch": torch.__version__}


def opened_score(project: Project, task: Task, stack: ExitStack) -> KnownScore | None:
    """The training-free indicator that the search asks, with what is known of it; None where it asks none."""
    name = proxy_name(project.settings.search)
    if name is None:
        return None
    memory = stack.enter_context(journal(project.run.search / SCORES, score_identity(project, task, name), keep=True))
    return open_score(project, task, name, memory)


def open_score(project: Project, task: Task, name: str, memory: Journal) -> KnownScore:
    """The score of an indicator on fresh supernets of so many seeds, made when a net is asked about that is not known.

    Raises:
        PluginError: naming the package that brings the indicator, if it cannot be used.
        UsageError: if subnets of the space are no slices of a supernet.
    """
    proxy, settings = PROXIES.find(name), project.settings.search
    made: list[Callable[[Genes], NDArray[np.float64]]] = []

    def compute(genes_AG: Genes) -> NDArray[np.float64]:
        if not made:
            seeds = [settings.seed + position for position in range(settings.proxy_seeds)]
            nets = [_fresh_supernet(project.space, task, name, seed) for seed in seeds]
            made.append(scored(proxy, nets, num_workers=threads_here()))
        return made[0](genes_AG)

    return KnownScore(name, compute, memory)


def _fresh_supernet(space: SearchSpace, task: Task, name: str, seed: int) -> Supernet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        supernet = build_supernet(space, task).eval()
    if not isinstance(supernet, SlicedSupernet):
        raise UsageError(f"{name} judges slices of a supernet; those of {space.name} are none")
    return cast(Supernet, supernet)


PIECE = 64  # nets scored between two records


def preferred(
    start: Mapping[str, Genes],
    space: SearchSpace,
    limits: Sequence[CostConstraint],
    score: KnownScore,
    sizes: EvolutionSettings,
    rng: np.random.Generator,
) -> Generator[Record, None, dict[str, Genes]]:
    """What a search starts with, the evenly spread nets replaced by as many of ``num_samples`` drawn ones that the score prefers.

    Raises:
        InfeasibleError: if no net is found that meets the limits.
    """
    drawn_AG = feasible_rows(space, limits, rng, sizes.num_samples)
    scores: list[NDArray[np.float64]] = []
    for first in range(0, len(drawn_AG), PIECE):
        yield Progress(f"{score.name} of nets", first, len(drawn_AG))
        scores.append(score(drawn_AG[first : first + PIECE]))
    yield Progress(f"{score.name} of nets", len(drawn_AG), len(drawn_AG))
    order_A = np.argsort(-np.concatenate(scores), kind="stable")
    kept = {origin: rows_AG for origin, rows_AG in start.items() if origin != EVEN}
    num = sizes.population - sum(len(rows_AG) for rows_AG in kept.values())
    return {**kept, score.name: drawn_AG[order_A[: max(0, num)]]}


def report_of(score: KnownScore, candidates: Sequence[Candidate], costs: Mapping[str, CostModel]) -> ProxyReport | None:
    """How the indicator ranks beside parameters and MACs: against them, and against the accuracy of the nets that were evaluated.

    Args:
        score: that the search asked.
        candidates: of the search; those that were scored count.
        costs: with ``params`` and ``macs``.

    Returns:
        None where nothing was scored.
    """
    if not score.known:
        return None
    rows_AG = np.array(list(score.known), dtype=np.int16)
    values_A = np.array(list(score.known.values()))
    with_size = {name: kendall_tau(values_A, costs[name](rows_AG)) for name in RIVALS}
    judged = [candidate for candidate in candidates if candidate.genes in score.known]
    top1_A = np.array([candidate.top1 for candidate in judged])
    judged_AG = np.array([candidate.genes for candidate in judged], dtype=np.int16).reshape(-1, rows_AG.shape[1])
    rankings = {score.name: np.array([score.known[candidate.genes] for candidate in judged])}
    rankings |= {name: costs[name](judged_AG) for name in RIVALS}
    with_accuracy = {name: kendall_tau(ranking_A, top1_A) for name, ranking_A in rankings.items()} if len(judged) > 1 else {}
    return ProxyReport(
        name=score.name, num_scored=len(rows_AG), num_evaluated=len(judged), with_size=with_size, with_accuracy=with_accuracy
    )


def report_line(report: ProxyReport) -> str:
    """What the report says, for a reader."""

    def shown(name: str, tau: Any) -> str:
        if math.isnan(tau.value):
            return f"{name} not known"
        return f"{name} {tau.value:.2f} [{tau.low:.2f}, {tau.high:.2f}]"

    sizes = ", ".join(shown(name, tau) for name, tau in report.with_size.items())
    text = f"Kendall's tau of {report.name} over {report.num_scored:,} nets with {sizes}"
    if not report.with_accuracy:
        return text
    worth = ", ".join(shown(name, tau) for name, tau in report.with_accuracy.items())
    return f"{text}; with the accuracy on select of the {report.num_evaluated} of them that were evaluated: {worth}"
