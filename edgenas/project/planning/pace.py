"""How long training and search would take here: a few real steps are timed, the rest is extrapolated and called estimated."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgenas.data.images import Images
from edgenas.project.opening import Project
from edgenas.project.trainings.supernet import supernet_job
from edgenas.project.trainings.teacher import teacher_job, teacher_net
from edgenas.project.trainings.teacher_choice import likely_teacher
from edgenas.project.trainings.teaching import needs_teacher
from edgenas.records import Estimate, PlannedSearch, PlannedTraining
from edgenas.runs import Progress
from edgenas.search import EvolutionSettings
from edgenas.spaces import Genes
from edgenas.training.evaluation import SupernetEvaluator
from edgenas.training.fitting import Job
from edgenas.training.folder import has_weights
from edgenas.training.loop import StepRecord, start, train

WARMUP_STEPS = 2  # caches fill, loading processes start
MIN_STEPS, MAX_STEPS, SECONDS = 5, 40, 4.0  # timed, of every net
EVALUATED = 6  # subnets
MAX_IMAGES = 512  # of select, for one timed evaluation


def sum_of(estimates: Sequence[Estimate]) -> Estimate:
    """Of several works, one after the other."""
    return Estimate(
        sum(each.value for each in estimates),
        sum(each.low for each in estimates),
        sum(each.high for each in estimates),
        sum(each.n for each in estimates),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Timed:
    """A training of which a few steps were run.

    Attributes:
        job: what would be trained.
        laps: seconds of every step, loading included.
        evaluation_s: seconds of reading select once; 0 for a job without.
        net: after these steps.
    """

    job: Job
    laps: list[float]
    evaluation_s: float
    net: nn.Module

    @property
    def num_steps(self) -> int:
        """Of the whole training."""
        return self.job.loop.epochs * self.job.batches.num_batches

    @property
    def estimate(self) -> Estimate:
        """Of the whole training, select read after every epoch."""
        return Estimate.of(self.laps, self.num_steps, self.job.loop.epochs * self.evaluation_s)

    def planned(self, net: str, folder: Path) -> PlannedTraining:
        """For the result of `plan`.

        Args:
            net: that is trained.
            folder: of its weights.
        """
        return PlannedTraining(
            seconds=self.estimate,
            epochs=self.job.loop.epochs,
            steps=self.num_steps,
            batch_size=self.job.batches.batch_size,
            step_ms=Estimate.of(self.laps, 1e3),
            evaluation_s=self.evaluation_s,
            net=net,
            is_done=has_weights(folder),
        )


def stand_in(project: Project, images: Images) -> nn.Module | None:
    """A net like the teacher that is there or that is tried first, which takes as long; None where labels alone teach."""
    return teacher_net(project, images, likely_teacher(project).name) if needs_teacher(project) else None


def time_training(
    project: Project, images: Images, teacher: nn.Module | None, device: str
) -> Generator[Progress, None, tuple[dict[str, PlannedTraining], nn.Module]]:
    """Time steps of the teacher (if there is to be one) and of the supernet as `edgenas train` would take them; nothing is written.

    Args:
        project: with settings and run folder.
        images: decoded.
        teacher: of the supernet, a `stand_in`.
        device: where to compute.

    Returns:
        Per net its estimate, and the supernet that the steps trained.
    """
    planned: dict[str, PlannedTraining] = {}
    net = likely_teacher(project)
    if teacher is not None and net.checkpoint is None:
        timed = yield from time_job(teacher_job(project, images, device, net, anew=False))
        planned["teacher"] = timed.planned(net.name, project.run.teacher)
    timed = yield from time_job(supernet_job(project, images, teacher, device, anew=False))
    planned["supernet"] = timed.planned(project.space.name, project.run.supernet)
    return planned, timed.net


def time_job(job: Job, *, seconds: float = SECONDS) -> Generator[Progress, None, Timed]:
    """Run a few steps of a job and read select once; nothing is written.

    Args:
        job: whose net is built afresh.
        seconds: after which no more than the least number of steps is run.
    """
    state = start(job.build(), job.loop, torch.device(job.device))
    laps: list[float] = []
    begun = time.perf_counter()
    steps = train(state, job.batches, job.objective, job.loop, teacher=job.teacher, subnets=job.subnets, mix=job.mix)
    for lap in _laps(steps):
        laps.append(lap)
        yield Progress(f"timing the {job.label}", min(len(laps), MAX_STEPS + WARMUP_STEPS), MAX_STEPS + WARMUP_STEPS)
        enough = len(laps) >= WARMUP_STEPS + MIN_STEPS and time.perf_counter() - begun > seconds
        if enough or len(laps) == MAX_STEPS + WARMUP_STEPS:
            break
    if isinstance(steps, Generator):
        steps.close()
    yield Progress(f"timing the {job.label}", MAX_STEPS + WARMUP_STEPS, MAX_STEPS + WARMUP_STEPS)
    began = time.perf_counter()
    if job.evaluate is not None:
        job.evaluate(state.result.eval())
    evaluation_s = time.perf_counter() - began if job.evaluate is not None else 0.0
    return Timed(job, laps[WARMUP_STEPS:] or laps, evaluation_s, state.result)


def _laps(steps: Iterator[Any]) -> Iterator[float]:
    """Seconds of every optimiser step, loading included."""
    mark = time.perf_counter()
    for record in steps:
        if isinstance(record, StepRecord):
            yield time.perf_counter() - mark
        mark = time.perf_counter()


def evolution_settings(project: Project) -> EvolutionSettings:
    """Sizes of the search from ``[search]``."""
    settings = project.settings.search
    return EvolutionSettings(
        num_generations=settings.num_generations,
        population=settings.population,
        num_parents=settings.num_parents,
        num_mutations=settings.num_mutations,
        num_crossovers=settings.num_crossovers,
        mutation_prob=settings.mutation_prob,
    )


def time_search(
    project: Project, images: Images, supernet: nn.Module, genes_AG: Genes, device: str, *, num_feasible: int | None
) -> Generator[Progress, None, PlannedSearch]:
    """Time the evaluation of a few nets that meet the limits, and extrapolate to what `edgenas search` evaluates.

    Args:
        project: sizes of the search.
        images: decoded.
        supernet: of the space, trained or not.
        genes_AG: rows that meet the limits.
        device: where to compute.
        num_feasible: all that meet them, where that is known; a search cannot evaluate more.
    """
    images_NCHW, labels_N = images.arrays("select")
    evaluator = SupernetEvaluator(supernet, images_NCHW, device=torch.device(device), training_NCHW=images.norm_images())
    indices = np.arange(min(len(labels_N), MAX_IMAGES))
    laps = []
    for position, row_G in enumerate(genes_AG[: EVALUATED + 1]):
        began = time.perf_counter()
        evaluator(row_G[None], indices)
        laps.append(time.perf_counter() - began)
        yield Progress("timing evaluations", position + 1, min(len(genes_AG), EVALUATED + 1))
    budget = evolution_settings(project).budget
    nets = budget if num_feasible is None else min(budget, num_feasible)
    confirmed = min(project.settings.search.num_finalists, nets) * len(images.labels("confirm")) / len(labels_N)
    estimate = Estimate.of(laps[1:] or laps, (nets + confirmed) * len(labels_N) / len(indices))
    return PlannedSearch(seconds=estimate, nets=nets, images=len(labels_N))
