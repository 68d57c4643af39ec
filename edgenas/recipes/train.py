"""`edgenas train`: the teacher, then the supernet; what is there already is kept."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgenas.config import Flags
from edgenas.recipes.curves import training_picture
from edgenas.recipes.fitting import STATE, Job, batches_for, changes_since, fit, keep, loop_settings, objective_for
from edgenas.recipes.initial import Start, require_same_start, start_from
from edgenas.recipes.nets import (
    RESULT,
    WEIGHTS,
    facts_of,
    has_weights,
    load_supernet,
    new_supernet,
    sharing_facts,
    supernet_epochs,
)
from edgenas.recipes.project import Images, Project, decode, open_images, open_project, torch_device
from edgenas.recipes.sampling import require_table, sampling_of
from edgenas.recipes.teacher import load_teacher, teacher_facts, teacher_sha256
from edgenas.recipes.teacher_choice import FORCED, fit_teacher, try_checkpoint
from edgenas.recipes.teaching import flip_of, needs_teacher, teaching_of
from edgenas.recipes.teaching_choice import at_the_ceiling, choose_teaching
from edgenas.records import CheckpointFacts, SupernetResult, TeacherResult, TrainResult
from edgenas.runs import Note, Outcome, Record, locked
from edgenas.spaces import SearchSpace
from edgenas.stats import Proportion, accuracy
from edgenas.training.checkpoints import load_weights
from edgenas.training.distillation import DISTILLATION_LOSSES
from edgenas.training.evaluation import SupernetEvaluator, predict, subnet_accuracies
from edgenas.training.foreign import is_file, require_timm_model
from edgenas.training.sampling import SAMPLING_RULES, as_key

IN_PLACE_WEIGHT = 0.5  # of the first subnet's logits, where no teacher weighs more


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """What `edgenas train` was asked for."""

    run: Path
    flags: Flags
    overrides: tuple[str, ...]
    only: str | None = None
    force: bool = False


def run(config: TrainConfig) -> Iterator[Record]:
    """Train what is missing, in order; no teacher where labels alone teach, unless it is asked for.

    Raises:
        MissingInputError, DataError: if the project or its images are not there or changed.
        CheckpointError: if the teacher's checkpoint does not fit.
        MissingBackendError: for ``device cuda`` without a GPU.
        PluginError: naming the package that brings the sampling rule or the loss, if it cannot be used.
    """
    project = open_project(config.run, config.flags, config.overrides)
    device = torch_device(project.settings.train.device)
    SAMPLING_RULES.find(project.settings.train.sampling)  # before a teacher is trained
    DISTILLATION_LOSSES.find(project.settings.train.kd)
    images = open_images(project)
    result = TrainResult(teacher=None)
    outputs: dict[str, Path] = {}
    with locked(project.run):
        if config.only != "teacher":
            _try_start(project, images, force=config.force)
        teacher = yield from _teacher(config, project, images, device)
        if teacher is not None:
            result = replace(result, teacher=_teacher_result(project, images, teacher, device))
            outputs["teacher"] = project.run.teacher
        if config.only in (None, "supernet"):
            yield from choose_teaching(project, images, teacher, device, force=config.force)
            yield from _fit_supernet(project, images, teacher, device, force=config.force)
            supernet = _supernet_result(project, images, device)
            result = replace(result, supernet=supernet)
            if result.teacher is not None and teaching_of(project)[0] > 0:
                reached = at_the_ceiling(result.teacher.select_top1, supernet.select_top1["largest"])
                yield from [] if reached is None else [Note(reached, is_warning=True)]
            outputs["supernet"] = project.run.supernet
    yield Outcome(result, outputs)


def _teacher(config: TrainConfig, project: Project, images: Images, device: str) -> Generator[Record, None, nn.Module | None]:
    """Decode the images and train the teacher if it is asked for, or anything needs it; None where labels alone teach."""
    fits = config.only == "teacher" or (config.only is None and needs_teacher(project))
    if fits:
        try_checkpoint(project, images, force=config.force)
    yield from decode(images, "train", "select")
    asked = config.flags.get("teacher", {})
    if fits:
        whole = config.only is None
        yield from fit_teacher(project, images, device, asked=asked.get("name"), force=config.force, whole=whole)
    elif not needs_teacher(project):
        text = "no teacher is trained: labels alone teach (train.kd_weight is 0; --only teacher trains one all the same)"
        yield Note(text, is_warning=bool(asked))
        return None
    return load_teacher(project, images)


def shown_subnets(space: SearchSpace, seed: int) -> dict[str, tuple[int, ...]]:
    """The three subnets whose accuracy is shown: smallest, largest and a fixed random one."""
    return {
        "smallest": as_key(space.extreme(largest=False)[0]),
        "random": as_key(space.sample(1, np.random.default_rng(seed))[0]),
        "largest": as_key(space.extreme(largest=True)[0]),
    }


def _fit_supernet(project: Project, images: Images, teacher: nn.Module | None, device: str, *, force: bool) -> Iterator[Record]:
    settings, folder = project.settings.train, project.run.supernet
    if has_weights(folder) and not force:
        require_same_start(folder / WEIGHTS, settings.init)
        job = supernet_job(project, images, teacher, device, anew=False)
        yield from keep(job.label, job.folder, changes_since(job) or [])
        return
    torch.manual_seed(settings.seed)
    model = new_supernet(project, images.task)
    start = start_from(model, settings.init, folder / STATE)
    yield from (Note(f"supernet: {note}", is_warning=True) for note in start.notes)
    yield from fit(supernet_job(project, images, teacher, device, anew=force, start=start, model=model))
    yield training_picture("supernet", folder)
    (project.run.supernet / FORCED).unlink(missing_ok=True)


def supernet_job(
    project: Project,
    images: Images,
    teacher: nn.Module | None,
    device: str,
    *,
    anew: bool,
    start: Start | None = None,
    model: nn.Module | None = None,
) -> Job:
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
    settings, space = project.settings.train, project.space
    sampling = sampling_of(project, images.task, anew=anew)
    kd_weight, temperature = teaching_of(project)
    return Job(
        label="supernet",
        folder=project.run.supernet,
        build=lambda: new_supernet(project, images.task) if model is None else model,
        images=images,
        loop=loop_settings(settings, seed=settings.seed),
        objective=objective_for(
            images,
            smoothing=settings.label_smoothing,
            kd_weight=kd_weight if not settings.in_place else max(kd_weight, IN_PLACE_WEIGHT),
            temperature=temperature,
            kd=settings.kd,
            balance=settings.balance,
            device=device,
        ),
        batches=batches_for(
            images,
            settings,
            balance=settings.balance,
            seed=settings.seed,
            workers=project.settings.data.workers,
            flip=flip_of(project),
        ),
        device=device,
        facts=facts_of(
            project,
            images,
            "supernet",
            **sampling.facts.as_json(),
            **({"teacher_sha256": teacher_sha256(project)} if needs_teacher(project) else {}),
            **sharing_facts(project),
            **({"init": start.init.as_json()} if start is not None and start.init is not None else {}),
        ),
        evaluate=subnet_accuracies(*images.arrays("select"), shown_subnets(space, settings.seed)),
        checkpoint_every_s=settings.checkpoint_every,
        anew=anew,
        teacher=teacher if kd_weight > 0 else None,
        subnets=sampling.draw,
        in_place=settings.in_place,
        begin=start.begin if start is not None else None,
    )


def _right(probabilities_NK: NDArray[np.floating], labels_N: NDArray[np.int64]) -> Proportion:
    return accuracy(probabilities_NK.argmax(axis=1), labels_N)


def _try_start(project: Project, images: Images, *, force: bool) -> None:
    """Find out before anything is trained whether the supernet can start where it shall, and has the table that it needs."""
    source, folder = project.settings.train.init, project.run.supernet
    if has_weights(folder) and not force:
        return
    require_table(project, images.task)
    if source is None:
        return
    if is_file(source):
        start_from(new_supernet(project, images.task), source, folder / STATE)
    else:
        require_timm_model(source.removeprefix("timm:"))


def _teacher_result(project: Project, images: Images, teacher: nn.Module, device: str) -> TeacherResult:
    images_NCHW, labels_N = images.arrays("select")
    facts = teacher_facts(project)
    name = facts.teacher if facts is not None else None
    return TeacherResult(name=name, select_top1=_right(predict(teacher.to(device), images_NCHW), labels_N))


def _supernet_result(project: Project, images: Images, device: str) -> SupernetResult:
    images_NCHW, labels_N = images.arrays("select")
    evaluator = SupernetEvaluator(
        load_supernet(project, images), images_NCHW, device=torch.device(device), training_NCHW=images.norm_images()
    )
    subnets = shown_subnets(project.space, project.settings.train.seed)
    genes_AG = np.array(list(subnets.values()), dtype=np.int16)
    probabilities = evaluator(genes_AG, np.arange(len(labels_N)))
    top1 = {name: _right(p_NK, labels_N) for name, p_NK in zip(subnets, probabilities, strict=True)}
    facts = CheckpointFacts.from_json(load_weights(project.run.supernet / WEIGHTS)[1])
    result = SupernetResult(epochs=supernet_epochs(project), select_top1=top1, init=facts.init)
    result.write(project.run.supernet / RESULT)
    return result
