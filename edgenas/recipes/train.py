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
from edgenas.data.images import Images, decode
from edgenas.project.named_recipes import RECIPES, words_on
from edgenas.project.nets import load_supernet, new_supernet, supernet_epochs
from edgenas.project.opening import Project, open_images, open_project
from edgenas.project.results import RESULT
from edgenas.project.settings import ProjectSettings
from edgenas.project.together import own_folder, require_parts
from edgenas.project.trainings.inputs import differs, timm_normalisation
from edgenas.project.trainings.loaded_teacher import load_teacher
from edgenas.project.trainings.sampling import require_rule, require_table
from edgenas.project.trainings.starts import start_chooser
from edgenas.project.trainings.supernet import supernet_job
from edgenas.project.trainings.teacher import teacher_facts
from edgenas.project.trainings.teacher_choice import FORCED, fit_teacher, try_checkpoint
from edgenas.project.trainings.teaching import needs_teacher, teaching_of
from edgenas.project.trainings.teaching_choice import choose_teaching
from edgenas.records import CheckpointFacts, SupernetResult, TeacherResult, TrainResult
from edgenas.runs import Note, Outcome, Record, locked
from edgenas.runs.stages import divide_again
from edgenas.stats import Proportion, accuracy, wilson
from edgenas.training.checkpoints import load_weights
from edgenas.training.curves import training_picture
from edgenas.training.devices import torch_device
from edgenas.training.evaluation import SupernetEvaluator, most_frequent_class, predict
from edgenas.training.events import require_tensorboard
from edgenas.training.fitting import changes_since, fit, keep
from edgenas.training.folder import STATE, WEIGHTS, has_weights
from edgenas.training.foreign import require_timm_model
from edgenas.training.headers import is_file
from edgenas.training.initial import require_same_start, start_from
from edgenas.training.lessons import at_the_ceiling, largest_behind
from edgenas.training.ranks import current, join
from edgenas.training.sampling import shown_subnets
from edgenas.training.teaching_losses import DISTILLATION_LOSSES


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

    Started several times by `torchrun` or SLURM, all processes train together, and the first one writes the run folder.

    Raises:
        RankError: if another of these processes is gone.
        MissingInputError, DataError: if the project or its images are not there or changed.
        CheckpointError: if the teacher's checkpoint does not fit.
        MissingBackendError: for ``device cuda`` without a GPU, for ``tensorboard`` without TensorBoard.
        UsageError, InfeasibleError: if the sampling rule does not suit the space, or nothing costs what it asks for.
        PluginError: naming the package that brings the sampling rule or the loss, if it cannot be used.
    """
    ranks = join(str(config.flags.get("train", {}).get("device", "auto")))
    with own_folder(config.run, ranks) as folder:
        yield from _train(replace(config, run=folder))


def _train(config: TrainConfig) -> Iterator[Record]:
    project = open_project(config.run, config.flags, config.overrides)
    device = torch_device(project.settings.train.device)
    DISTILLATION_LOSSES.find(project.settings.train.kd)
    yield from _recipe_notes(config, project)
    images = open_images(project)
    require_rule(project, images.task)  # before a teacher is trained
    if project.settings.train.tensorboard:
        require_tensorboard()
    result = TrainResult(teacher=None, most_frequent=most_frequent_class(images.labels("select"), images.class_names))
    outputs: dict[str, Path] = {}
    require_parts(_batch_sizes(config.only, project.settings), current())
    with locked(project.run):
        if config.only != "teacher":
            _try_start(project, images, force=config.force)
        teacher = yield from _teacher(config, project, images, device)
        if teacher is not None:
            result = replace(result, teacher=_teacher_result(project.run.teacher, images, teacher, device))
            outputs["teacher"] = project.run.teacher
        if config.only in (None, "supernet"):
            yield from choose_teaching(project, images, teacher, device, force=config.force)
            yield from _fit_supernet(project, images, teacher, device, force=config.force)
            supernet, behind = _supernet_result(project, images, device)
            yield from [] if behind is None else [Note(behind, is_warning=True)]
            result = replace(result, supernet=supernet)
            if result.teacher is not None and teaching_of(project)[0] > 0:
                reached = at_the_ceiling(result.teacher.select_top1, supernet.select_top1["largest"])
                yield from [] if reached is None else [Note(reached, is_warning=True)]
            outputs["supernet"] = project.run.supernet
    yield from (Note(text, is_warning=True, in_view=True) for text in result.doubts)
    yield Outcome(result, outputs)


def _batch_sizes(only: str | None, settings: ProjectSettings) -> dict[str, int]:
    """The batch sizes of what is asked for, by its table of the settings."""
    sizes = {"teacher": settings.teacher.batch_size, "train": settings.train.batch_size}
    if only is not None:
        return {name: size for name, size in sizes.items() if (name == "teacher") == (only == "teacher")}
    return sizes if needs_teacher(settings.train) else {"train": sizes["train"]}


def _recipe_notes(config: TrainConfig, project: Project) -> Iterator[Note]:
    """What to know of the named recipe, where one is taken."""
    name = project.settings.train.recipe
    if name is not None:
        by_flag = config.flags.get("train", {}).get("recipe") is not None
        yield from (Note(words) for words in words_on(RECIPES[name], project.space.name, by_flag=by_flag))


def _teacher(config: TrainConfig, project: Project, images: Images, device: str) -> Generator[Record, None, nn.Module | None]:
    """Decode the images and train the teacher if it is asked for, or anything needs it; None where labels alone teach."""
    fits = config.only == "teacher" or (config.only is None and needs_teacher(project.settings.train))
    if fits:
        try_checkpoint(project, images, force=config.force)
    yield from decode(images, "train", "select")
    asked = config.flags.get("teacher", {})
    if fits:
        whole = config.only is None
        yield from fit_teacher(project, images, device, asked=asked.get("name"), force=config.force, whole=whole)
    elif not needs_teacher(project.settings.train):
        text = "no teacher is trained: labels alone teach (train.kd_weight is 0; --only teacher trains one all the same)"
        yield Note(text, is_warning=bool(asked))
        return None
    return load_teacher(project, images)


def _fit_supernet(project: Project, images: Images, teacher: nn.Module | None, device: str, *, force: bool) -> Iterator[Record]:
    settings, folder = project.settings.train, project.run.supernet
    if has_weights(folder) and not force:
        require_same_start(folder / WEIGHTS, settings.init)
        job = supernet_job(project, images, teacher, device, anew=False)
        yield from keep(job.label, job.folder, changes_since(job) or [])
        return
    torch.manual_seed(settings.seed)
    model = new_supernet(project, images.task)
    start = start_from(model, settings.init, folder / STATE, start_chooser(images, settings, device))
    if start.init is not None:
        yield Note(f"supernet: starts from {start.init.source}{'' if start.notes else ', whose weights fit as they are'}")
    yield from (Note(f"supernet: {note}", is_warning=True) for note in start.notes)
    known = timm_normalisation(settings.init) if settings.init is not None else None
    if known is not None and differs(known, images.preprocess):
        words = f"{settings.init} was trained on images of {known.words}, these are normalised otherwise"
        again = f"{divide_again(project.run, project.settings.data.source)} --set train.init={settings.init}"
        yield Note(f"supernet: {words} (`{again}` takes them)", is_warning=True)
    yield from fit(supernet_job(project, images, teacher, device, anew=force, start=start, model=model))
    yield training_picture("supernet", folder)
    (project.run.supernet / FORCED).unlink(missing_ok=True)


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


def _teacher_result(folder: Path, images: Images, teacher: nn.Module, device: str) -> TeacherResult:
    images_NCHW, labels_N = images.arrays("select")
    facts = teacher_facts(folder)
    name = facts.teacher if facts is not None else None
    return TeacherResult(name=name, select_top1=_right(predict(teacher.to(device), images_NCHW), labels_N))


def _supernet_result(project: Project, images: Images, device: str) -> tuple[SupernetResult, str | None]:
    """What the trained supernet shows on select, and in words whether its largest subnet is behind a smaller one."""
    images_NCHW, labels_N = images.arrays("select")
    evaluator = SupernetEvaluator(
        load_supernet(project, images), images_NCHW, device=torch.device(device), training_NCHW=images.norm_images()
    )
    subnets = shown_subnets(project.space, project.settings.train.seed)
    genes_AG = np.array(list(subnets.values()), dtype=np.int16)
    probabilities = evaluator(genes_AG, np.arange(len(labels_N)))
    right = {name: p_NK.argmax(axis=1) == labels_N for name, p_NK in zip(subnets, probabilities, strict=True)}
    top1 = {name: wilson(int(right_N.sum()), len(right_N)) for name, right_N in right.items()}
    path = project.run.supernet / WEIGHTS
    facts = CheckpointFacts.said_by(path, load_weights(path)[1])
    common = most_frequent_class(labels_N, images.class_names)
    result = SupernetResult(epochs=supernet_epochs(project), select_top1=top1, init=facts.init, most_frequent=common)
    result.write(project.run.supernet / RESULT)
    return result, largest_behind(right)
