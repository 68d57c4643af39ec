"""The training of a run's supernet."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from edgenas.costs import cost_models
from edgenas.data.images import Images
from edgenas.project.net_facts import facts_of
from edgenas.project.nets import new_supernet, sharing_facts, sharing_of
from edgenas.project.opening import Project
from edgenas.project.training_settings import AUTO, TrainSettings
from edgenas.project.trainings.recipe import batches_of, loop_settings, objective_of
from edgenas.project.trainings.sampling import Sampling, sampling_of
from edgenas.project.trainings.teaching import flip_of, needs_teacher, teaching_of
from edgenas.training.distillation import TrainingLoss
from edgenas.training.fitting import TrainingJob
from edgenas.training.folder import weights_sha256
from edgenas.training.initial import Start
from edgenas.training.seeding import step_rng
from edgenas.training.teacher import KnownImages
from edgenas.training.watching import WatchedNets, watched_nets, watching

TIMED_STEPS = 50  # whose nets tell what an epoch costs
IN_PLACE_WEIGHT = 0.5  # of the first subnet's logits, where no teacher weighs more


def supernet_job(
    project: Project,
    images: Images,
    teacher: nn.Module | None,
    device: str,
    *,
    anew: bool,
    start: Start | None = None,
    model: nn.Module | None = None,
) -> TrainingJob:
    """The training of the supernet.

    Args:
        project: with settings and run folder.
        images: decoded.
        teacher: None where labels alone teach.
        device: ``cpu`` or ``cuda``.
        anew: give up an unfinished training with other settings.
        start: where the weights start.
        model: with these weights; None makes a fresh one when it is needed.
    """
    settings = project.settings.train
    sampling = sampling_of(project, images.task, anew=anew)
    batches = batches_of(project, images, seed=settings.seed)
    nets = _watched(project, images, sampling, batches.num_images)
    return TrainingJob(
        label="supernet",
        folder=project.run.supernet,
        build=lambda: new_supernet(project, images.task) if model is None else model,
        loop=loop_settings(settings, seed=settings.seed),
        objective=_objective(project, images, device),
        batches=batches,
        device=device,
        facts=_facts(project, images, sampling, start),
        evaluate_every=nets.every,
        evaluate=watching(*images.arrays("select"), nets, images.class_names, training_NCHW=images.norm_images()),
        checkpoint_every_s=settings.checkpoint_every,
        anew=anew,
        teacher=_asked_once(project, images, teacher, device) if teaching_of(project)[0] > 0 else None,
        subnets=sampling.draw,
        in_place=settings.in_place,
        project=settings.project,
        mixing=settings.mixing,
        begin=start.begin if start is not None else None,
        readable=lambda genes: json.dumps(project.space.to_json(np.array(genes, dtype=np.int16))),
        tensorboard=settings.tensorboard,
    )


def _objective(project: Project, images: Images, device: str) -> TrainingLoss:
    """What the supernet minimises; its first subnet teaches the others where ``train.in_place`` asks for that."""
    settings = project.settings.train
    objective = objective_of(project, images, is_taught=True, device=device)
    if not settings.in_place:
        return objective
    if isinstance(settings.in_place_weight, str):
        return replace(objective, kd_weight=max(objective.kd_weight, IN_PLACE_WEIGHT))
    return replace(objective, in_place_weight=settings.in_place_weight)


def _facts(project: Project, images: Images, sampling: Sampling, start: Start | None) -> dict[str, Any]:
    """What the checkpoint of the supernet says of itself: whatever its weights depend on beside how it is trained."""
    settings = project.settings.train
    said: dict[str, Any] = dict(sampling.facts.as_json())
    if needs_teacher(settings):
        said["teacher_sha256"] = weights_sha256(project.run.teacher)
    said |= sharing_facts(sharing_of(settings))
    if settings.supernet_drop_path_rate:
        said["drop_path_rate"] = settings.supernet_drop_path_rate
    if start is not None and start.init is not None:
        said["init"] = start.init.as_json()
    return facts_of(project.space, images, "supernet", **said)


def _watched(project: Project, images: Images, sampling: Sampling, num_images: int) -> WatchedNets:
    """What is looked at while it is trained, by what the first steps' subnets cost."""
    settings, macs = project.settings.train, cost_models(project.space, images.task).macs
    drawn = [sampling.draw(step_rng(settings.seed, 0, step), step) for step in range(TIMED_STEPS)]
    rows_AG = np.array([genes for subnets in drawn for genes in subnets], dtype=np.int16)
    return watched_nets(
        project.space,
        macs,
        images.labels("select"),
        training_macs=num_images * float(macs(rows_AG).sum()) / len(drawn),
        seed=settings.seed,
        every=_every(settings),
    )


def _every(settings: TrainSettings) -> int | None:
    """Epochs between evaluations; None for so many that their costs stay small."""
    if settings.evaluate_every != AUTO:
        return settings.evaluate_every
    return None if settings.schedule == "cosine" and settings.stop_patience is None else 1


def _asked_once(project: Project, images: Images, teacher: nn.Module | None, device: str) -> nn.Module | None:
    """The teacher, with its answers kept where every epoch shows the same images and a CPU would compute them anew."""
    train = project.settings.train
    changes = train.augmentation != "none" or flip_of(project) or any((train.mixup, train.cutmix_alpha, train.erasing))
    repeats = not changes and train.epochs > 1 and device == "cpu"
    if teacher is None or not repeats:
        return teacher
    return KnownImages(teacher, images.arrays("train")[0], len(images.class_names))
