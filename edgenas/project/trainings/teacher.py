"""The teacher of a run, as it is trained and read; `edgenas.project.trainings.teacher_choice` chooses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgenas.data.images import Images
from edgenas.errors import CheckpointError
from edgenas.project.net_facts import facts_of
from edgenas.project.opening import Project
from edgenas.project.training_settings import TeacherSettings
from edgenas.project.trainings.recipe import batches_for, loop_settings, objective_for
from edgenas.records import CheckpointFacts, InitFacts
from edgenas.runs import sha256_file
from edgenas.spaces import SearchSpace, Task
from edgenas.training.checkpoints import load_weights
from edgenas.training.evaluation import net_accuracy
from edgenas.training.fitting import TrainingJob
from edgenas.training.folder import WEIGHTS, has_weights
from edgenas.training.teacher import build_teacher
from edgenas.training.teacher_parts import freeze_stages
from edgenas.training.timm_nets import TimmNet


def teacher_net(space: SearchSpace, task: Task, name: str, checkpoint: str | None = None) -> nn.Module:
    """A teacher as it is before training here, possibly with a checkpoint."""
    return build_teacher(
        name,
        num_classes=task.num_classes,
        image_px=task.image_px,
        in_channels=task.in_channels,
        checkpoint=Path(checkpoint) if checkpoint is not None else None,
        space=space,
    )


def started_from(name: str, path: Path, task: Task) -> nn.Module:
    """A net of timm with the weights of a file, whose head is fresh where it tells other classes apart.

    Raises:
        UsageError, CheckpointError: if it cannot be built, or the weights do not fit.
    """
    return TimmNet(name.removeprefix("timm:"), task.image_px).with_weights(path, task.num_classes, task.in_channels)


def teacher_facts(folder: Path, *, forgive: bool = False) -> CheckpointFacts | None:
    """What the run's teacher says of itself; None if there is none yet, or with ``forgive`` one that cannot be read.

    Raises:
        CheckpointError: if it cannot be read.
    """
    if not has_weights(folder):
        return None
    try:
        return CheckpointFacts.said_by(folder / WEIGHTS, load_weights(folder / WEIGHTS)[1])
    except CheckpointError as error:
        if forgive:
            return None
        raise CheckpointError(error.message, problems=error.problems, hint="--force replaces it") from error


@dataclass(frozen=True, slots=True)
class TeacherNet:
    """What is to teach.

    Attributes:
        name: as `build_teacher` takes it.
        checkpoint: file of trained weights; None where it is trained here.
    """

    name: str
    checkpoint: str | None = None


def teacher_job(
    project: Project,
    images: Images,
    device: str,
    net: TeacherNet,
    *,
    anew: bool,
    folder: Path | None = None,
    label: str = "teacher",
    image_px: int | None = None,
    around: Callable[[nn.Module], nn.Module] | None = None,
) -> TrainingJob:
    """The training of a teacher on labels.

    Args:
        project: with settings and run folder.
        images: decoded.
        device: ``cpu`` or ``cuda``.
        net: who is trained.
        anew: an unfinished training with other settings is given up.
        folder: the run's teacher's by default.
        label: on the progress bar.
        image_px: that the net reads; None for the images' own.
        around: makes of that net one that reads the images.
    """
    settings, train = project.settings.teacher, project.settings.train
    task = images.task if image_px is None else replace(images.task, image_px=image_px)
    smoothing = settings.label_smoothing
    return TrainingJob(
        label=label,
        folder=folder if folder is not None else project.run.teacher,
        build=partial(_start_net, project, task, net, around),
        loop=loop_settings(settings, seed=train.seed),
        objective=objective_for(images, smoothing=smoothing, kd_weight=0.0, temperature=1.0, balance=train.balance, device=device),
        batches=batches_for(
            images,
            settings,
            balance=train.balance,
            seed=train.seed,
            workers=project.settings.data.workers,
            flip=train.flip is True,  # a probe that decides comes later
        ),
        device=device,
        facts=facts_of(project.space, images, "teacher", teacher=net.name, checkpoint=net.checkpoint, **_more_facts(settings)),
        evaluate=net_accuracy(*images.arrays("select")),
        checkpoint_every_s=train.checkpoint_every,
        anew=anew,
        mixing=settings.mixing,
        tensorboard=train.tensorboard and folder is None,
    )


def _start_net(project: Project, task: Task, net: TeacherNet, around: Callable[[nn.Module], nn.Module] | None) -> nn.Module:
    """A teacher as it is before its training, what does not learn in it frozen."""
    settings = project.settings.teacher
    torch.manual_seed(project.settings.train.seed)
    if settings.init is None:
        model = teacher_net(project.space, task, net.name, net.checkpoint)
    else:
        model = started_from(net.name, Path(settings.init), task)
    freeze_stages(model, settings.freeze_stages, net.name)
    return model if around is None else around(model)


def _more_facts(settings: TeacherSettings) -> dict[str, Any]:
    """What the checkpoint of a teacher says of itself where it does not start and learn as most do."""
    more: dict[str, Any] = {"freeze_stages": settings.freeze_stages} if settings.freeze_stages else {}
    if settings.init is not None:
        path = Path(settings.init)
        sha256 = sha256_file(path) if path.is_file() else ""  # a teacher that is trained needs it no more
        more["init"] = InitFacts(source=path.name, sha256=sha256).as_json()
    return more
