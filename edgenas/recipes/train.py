"""`edgenas train`: the teacher, then the supernet; what is there already is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgenas.errors import CheckpointError, MissingInputError
from edgenas.recipes.fitting import STATE, Job, batches_for, changes_since, fit, keep, loop_settings, objective_for
from edgenas.recipes.initial import Start, require_same_start, start_from
from edgenas.recipes.nets import (
    WEIGHTS,
    facts_of,
    has_weights,
    load_supernet,
    new_supernet,
    require_facts,
    sharing_facts,
    supernet_epochs,
)
from edgenas.recipes.project import Images, Project, decode, open_images, open_project, torch_device
from edgenas.runs import Note, Outcome, Record, locked, sha256_file, write_sealed, write_text
from edgenas.spaces import SearchSpace
from edgenas.stats import accuracy
from edgenas.training.checkpoints import load_weights, save_weights
from edgenas.training.evaluation import SupernetEvaluator, net_accuracy, predict, subnet_accuracies
from edgenas.training.sampling import SAMPLING_RULES, as_key
from edgenas.training.teacher import build_teacher

FORCED = "forced"  # in the supernet's folder: a `train --force` began then; a teacher that is newer is its work


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """What `edgenas train` was asked for."""

    run: Path
    flags: Mapping[str, Any]
    overrides: tuple[str, ...]
    only: str | None = None
    force: bool = False


def run(config: TrainConfig) -> Iterator[Record]:
    """Train what is missing, in order.

    Raises:
        MissingInputError, DataError: if the project or its images are not there or changed.
        CheckpointError: if the teacher's checkpoint does not fit.
        MissingBackendError: for ``device cuda`` without a GPU.
    """
    project = open_project(config.run, config.flags, config.overrides)
    device = torch_device(project.settings.train.device)
    images = open_images(project)
    result: dict[str, Any] = {}
    outputs: dict[str, Path] = {}
    with locked(project.run):
        yield from decode(images, "train", "select")
        if config.only in (None, "teacher"):
            asked = config.flags.get("teacher", {}).get("name")
            whole = config.only is None
            yield from _fit_teacher(project, images, device, asked=asked, force=config.force, whole=whole)
        teacher = load_teacher(project, images)
        result["teacher"] = _teacher_result(project, images, teacher, device)
        outputs["teacher"] = project.run.teacher
        if config.only in (None, "supernet"):
            yield from _fit_supernet(project, images, teacher, device, force=config.force)
            result["supernet"] = _supernet_result(project, images, device)
            outputs["supernet"] = project.run.supernet
    yield Outcome(result, outputs)


def teacher_net(project: Project, images: Images, name: str, checkpoint: str | None = None) -> nn.Module:
    """A teacher as it is before training here: the space's largest net, or timm's, possibly with a checkpoint."""
    return build_teacher(
        name,
        num_classes=images.task.num_classes,
        image_px=images.task.image_px,
        in_channels=images.task.in_channels,
        checkpoint=Path(checkpoint) if checkpoint is not None else None,
        space=project.space,
    )


def teacher_facts(project: Project) -> dict[str, Any] | None:
    """What the run's teacher says of itself; None if there is none yet."""
    path = project.run.teacher / WEIGHTS
    return load_weights(path)[1] if has_weights(project.run.teacher) else None


def teacher_sha256(project: Project) -> str | None:
    """Hash of the run's teacher, on which what it teaches depends; None if there is none yet."""
    return sha256_file(project.run.teacher / WEIGHTS) if has_weights(project.run.teacher) else None


def load_teacher(project: Project, images: Images) -> nn.Module:
    """The run's teacher in eval mode, on the CPU.

    Raises:
        MissingInputError: if it was never trained and has no checkpoint.
        CheckpointError: if it belongs to another project.
    """
    path = project.run.teacher / WEIGHTS
    facts = teacher_facts(project)
    if facts is None:
        raise MissingInputError(f"{path} does not exist: there is no teacher yet", hint="run `edgenas train` first")
    require_facts(facts, facts_of(project, images, "teacher"), path, "edgenas train --force")
    net = teacher_net(project, images, str(facts.get("teacher", "self")))
    load_weights(path, net)
    return net.eval()


def _fit_teacher(project: Project, images: Images, device: str, *, asked: str | None, force: bool, whole: bool) -> Iterator[Record]:
    """Train the teacher, or keep a checkpoint's or an earlier one.

    Args:
        asked: the name given on the command line.
        force: replace what is there.
        whole: the supernet follows.
    """
    settings = project.settings.teacher
    job = teacher_job(project, images, device, anew=force)
    found, changes = teacher_facts(project), changes_since(job)
    if found is not None and changes is not None and not force:
        if asked not in (None, found.get("teacher")):
            raise CheckpointError(f"the run's teacher is {found.get('teacher')}, not {asked}", hint="--force replaces it")
        yield from keep(job.label, job.folder, changes)
        return
    if force and whole:
        if changes == [] and _is_done(project):
            yield Note("teacher: this --force has trained it already, it goes on with the supernet")
            return
        write_text(project.run.supernet / FORCED, "")
    if settings.checkpoint is not None:
        save_weights(project.run.teacher / WEIGHTS, job.build(), job.identity)
        yield Note(f"teacher: {settings.name} with the weights of {settings.checkpoint}")
    else:
        yield from fit(job)


def _is_done(project: Project) -> bool:
    """Whether a `train --force` that was interrupted had its teacher."""
    begun = project.run.supernet / FORCED
    return begun.is_file() and (project.run.teacher / WEIGHTS).stat().st_mtime_ns > begun.stat().st_mtime_ns


def teacher_job(project: Project, images: Images, device: str, *, anew: bool) -> Job:
    """The training of the teacher."""
    settings, train = project.settings.teacher, project.settings.train

    def build() -> nn.Module:
        torch.manual_seed(train.seed)
        return teacher_net(project, images, settings.name, settings.checkpoint)

    smoothing = settings.label_smoothing
    return Job(
        label="teacher",
        folder=project.run.teacher,
        build=build,
        images=images,
        loop=loop_settings(settings, seed=train.seed),
        objective=objective_for(images, smoothing=smoothing, kd_weight=0.0, temperature=1.0, balance=train.balance, device=device),
        batches=batches_for(images, settings, balance=train.balance, seed=train.seed, workers=project.settings.data.workers),
        device=device,
        facts=facts_of(project, images, "teacher", teacher=settings.name, checkpoint=settings.checkpoint),
        evaluate=net_accuracy(*images.arrays("select")),
        checkpoint_every_s=train.checkpoint_every,
        anew=anew,
    )


def shown_subnets(space: SearchSpace, seed: int) -> dict[str, tuple[int, ...]]:
    """The three subnets whose accuracy is shown: smallest, largest and a fixed random one."""
    return {
        "smallest": as_key(space.extreme(largest=False)[0]),
        "random": as_key(space.sample(1, np.random.default_rng(seed))[0]),
        "largest": as_key(space.extreme(largest=True)[0]),
    }


def _fit_supernet(project: Project, images: Images, teacher: nn.Module, device: str, *, force: bool) -> Iterator[Record]:
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
    (project.run.supernet / FORCED).unlink(missing_ok=True)


def supernet_job(
    project: Project,
    images: Images,
    teacher: nn.Module,
    device: str,
    *,
    anew: bool,
    start: Start | None = None,
    model: nn.Module | None = None,
) -> Job:
    """The training of the supernet by a teacher.

    Args:
        anew: give up an unfinished training with other settings.
        start: where the weights start.
        model: with these weights; None makes a fresh one when it is needed.
    """
    settings, space = project.settings.train, project.space
    rule = SAMPLING_RULES[settings.sampling]
    num_random = settings.num_random if settings.sampling == "sandwich" else 1
    return Job(
        label="supernet",
        folder=project.run.supernet,
        build=lambda: new_supernet(project, images.task) if model is None else model,
        images=images,
        loop=loop_settings(settings, seed=settings.seed),
        objective=objective_for(
            images,
            smoothing=settings.label_smoothing,
            kd_weight=settings.kd_weight,
            temperature=settings.temperature,
            balance=settings.balance,
            device=device,
        ),
        batches=batches_for(images, settings, balance=settings.balance, seed=settings.seed, workers=project.settings.data.workers),
        device=device,
        facts=facts_of(
            project,
            images,
            "supernet",
            sampling=settings.sampling,
            num_random=num_random,
            teacher_sha256=teacher_sha256(project),
            **sharing_facts(project),
            **(start.facts if start is not None else {}),
        ),
        evaluate=subnet_accuracies(*images.arrays("select"), shown_subnets(space, settings.seed)),
        checkpoint_every_s=settings.checkpoint_every,
        anew=anew,
        teacher=teacher,
        subnets=partial(_draw, rule, space, num_random),
        begin=start.begin if start is not None else None,
    )


def _draw(rule: Any, space: SearchSpace, num_random: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    genes: list[tuple[int, ...]] = rule(space, rng, num_random)
    return genes


def _right(probabilities_NK: NDArray[np.floating], labels_N: NDArray[np.int64]) -> dict[str, Any]:
    return accuracy(probabilities_NK.argmax(axis=1), labels_N).as_json()


def _teacher_result(project: Project, images: Images, teacher: nn.Module, device: str) -> dict[str, Any]:
    images_NCHW, labels_N = images.arrays("select")
    name = (teacher_facts(project) or {}).get("teacher")
    return {"name": name, "select_top1": _right(predict(teacher.to(device), images_NCHW), labels_N)}


def _supernet_result(project: Project, images: Images, device: str) -> dict[str, Any]:
    images_NCHW, labels_N = images.arrays("select")
    evaluator = SupernetEvaluator(
        load_supernet(project, images), images_NCHW, device=torch.device(device), training_NCHW=images.norm_images()
    )
    subnets = shown_subnets(project.space, project.settings.train.seed)
    genes_AG = np.array(list(subnets.values()), dtype=np.int16)
    probabilities = evaluator(genes_AG, np.arange(len(labels_N)))
    top1 = {name: _right(p_NK, labels_N) for name, p_NK in zip(subnets, probabilities, strict=True)}
    _, facts = load_weights(project.run.supernet / WEIGHTS)
    result = {"epochs": supernet_epochs(project), "select_top1": top1, "init": facts.get("init")}
    write_sealed(project.run.supernet / "result.json", "supernet result", {"schema_version": 1, **result})
    return result
