"""How long training and search would take here: a few real steps are timed, the rest is extrapolated and called estimated."""

from __future__ import annotations

import time
from collections.abc import Generator

import numpy as np
import torch
from torch import nn

from edgenas.data.images import Images
from edgenas.project.opening import Project
from edgenas.project.settings import SearchSettings
from edgenas.project.trainings.supernet import supernet_job
from edgenas.project.trainings.teacher import teacher_job, teacher_net
from edgenas.project.trainings.teacher_choice import likely_teacher
from edgenas.project.trainings.teaching import needs_teacher
from edgenas.project.trainings.team import is_team, stand_in_team, team_ahead
from edgenas.records import Estimate, PlannedSearch, PlannedTraining
from edgenas.runs import Progress
from edgenas.search import EvolutionSettings
from edgenas.spaces import Genes
from edgenas.training.evaluation import SupernetEvaluator
from edgenas.training.fitting import TrainingJob
from edgenas.training.pace import time_job

EVALUATED = 6  # subnets
MAX_IMAGES = 512  # of select, for one timed evaluation


def stand_in(project: Project, images: Images) -> nn.Module | None:
    """A net like the teacher that is there or that is tried first, which takes as long; None where labels alone teach."""
    if not needs_teacher(project.settings.train):
        return None
    if is_team(project.settings.teacher, images.preprocess):
        return stand_in_team(project, images)
    return teacher_net(project.space, images.task, likely_teacher(project).name)


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
    if teacher is not None:
        for name, (title, job) in _teachers(project, images, device).items():
            timed = yield from time_job(job)
            planned[name] = timed.planned(title, job.folder)
    timed = yield from time_job(supernet_job(project, images, teacher, device, anew=False))
    planned["supernet"] = timed.planned(project.space.name, project.run.supernet)
    return planned, timed.net


def _teachers(project: Project, images: Images, device: str) -> dict[str, tuple[str, TrainingJob]]:
    """The trainings of teachers by what the estimate calls them, each with its net's name; none of nets that are given trained."""
    if is_team(project.settings.teacher, images.preprocess):
        jobs = team_ahead(project, images, device)
        names = ["teacher", *(f"teacher {number}" for number in range(2, len(jobs) + 1))]
        return {name: (title, job) for name, (title, job) in zip(names, jobs.items(), strict=False)}
    net = likely_teacher(project)
    return {} if net.checkpoint is not None else {"teacher": (net.name, teacher_job(project, images, device, net, anew=False))}


def evolution_settings(settings: SearchSettings) -> EvolutionSettings:
    """Sizes of the search from ``[search]``."""
    return EvolutionSettings(
        num_generations=settings.num_generations,
        population=settings.population,
        num_parents=settings.num_parents,
        num_mutations=settings.num_mutations,
        num_crossovers=settings.num_crossovers,
        mutation_prob=settings.mutation_prob,
        num_samples=settings.num_samples,
        surrogate=settings.surrogate,
        explored=settings.explored,
    )


def time_search(
    settings: SearchSettings, images: Images, supernet: nn.Module, genes_AG: Genes, device: str, *, num_feasible: int | None
) -> Generator[Progress, None, PlannedSearch]:
    """Time the evaluation of a few nets that meet the limits, and extrapolate to what `edgenas search` evaluates.

    Args:
        settings: sizes of the search.
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
    budget = evolution_settings(settings).budget
    nets = budget if num_feasible is None else min(budget, num_feasible)
    confirmed = min(settings.num_finalists, nets) * len(images.labels("confirm")) / len(labels_N)
    estimate = Estimate.of(laps[1:] or laps, (nets + confirmed) * len(labels_N) / len(indices))
    return PlannedSearch(seconds=estimate, nets=nets, images=len(labels_N))
