"""Training a net inside a run folder: progress, one JSON line an epoch, a state to go on from, the weights at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgenas.data.batches import TrainBatches
from edgenas.data.order import Balance, class_weights
from edgenas.errors import CheckpointError, DataError, RunFolderError
from edgenas.recipes.nets import WEIGHTS, has_weights, weights_sha256
from edgenas.recipes.project import Images
from edgenas.recipes.settings import TeacherSettings, TrainSettings
from edgenas.runs import Epoch, Note, Progress, append_jsonl, sha256_file, write_text
from edgenas.training.checkpoints import (
    OtherWorkError,
    TrainState,
    differences,
    header_in,
    load_state,
    load_weights,
    save_state,
    save_weights,
)
from edgenas.training.distillation import DISTILLATION_LOSSES, Objective
from edgenas.training.loop import EpochRecord, Evaluate, LoopSettings, StepRecord, Subnets, start, train
from edgenas.training.mixing import Mix, cutmix

STATE = "state.safetensors"
LOG = "log.jsonl"
PART = "log.part.jsonl"  # of the job that is under way; an earlier job's log stays until this one is done


@dataclass(frozen=True, slots=True)
class Job:
    """One net to be trained.

    Attributes:
        label: on the progress bar.
        folder: for weights, state and log.
        build: makes the net, freshly initialised or to be fine-tuned; called once, and only if it is to be trained.
        facts: what the checkpoint says of itself, beside how it was trained.
        teacher: in eval mode, or None.
        subnets: which ones learn in a step, for a supernet.
        in_place: the first of them teaches the others.
        evaluate: on the select split, after every epoch; None for a net that is judged once it is trained.
        checkpoint_every_s: most seconds of training that a kill may cost.
        anew: an unfinished training with other settings is given up; otherwise it is an error.
        cutmix: share of a batch's images that a rectangle of another is pasted into.
        begin: fills the model where training does not go on from a saved state; None where it is filled already.
    """

    label: str
    folder: Path
    build: Callable[[], nn.Module]
    images: Images
    loop: LoopSettings
    objective: Objective
    batches: TrainBatches
    device: str
    facts: Mapping[str, Any]
    evaluate: Evaluate | None
    checkpoint_every_s: float
    anew: bool
    teacher: nn.Module | None = None
    subnets: Subnets | None = None
    in_place: bool = False
    cutmix: float = 0.0
    begin: Callable[[], None] | None = None

    @property
    def mix(self) -> Mix | None:
        """What makes images of two, where any are pasted."""
        return cutmix(len(self.images.class_names), self.cutmix) if self.cutmix else None

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that the weights depend on, JSON-ready."""
        return {**self.facts, "settings": {**asdict(self.loop), **_objective(self), **_batches(self)}}


def loop_settings(settings: TrainSettings | TeacherSettings, *, seed: int) -> LoopSettings:
    """The loop's settings from a table of `edgenas.toml`."""
    return LoopSettings(
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        warmup_epochs=settings.warmup_epochs,
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm,
        ema_decay=settings.ema_decay,
        seed=seed,
        schedule=settings.schedule,
        end_early=settings.end_early,
        keep_best=True,
        max_seconds=settings.budget_min * 60 if isinstance(settings, TrainSettings) and settings.budget_min is not None else None,
    )


def batches_for(
    images: Images,
    settings: TrainSettings | TeacherSettings,
    *,
    balance: Balance,
    seed: int,
    workers: int | None = None,
    flip: bool = False,
) -> TrainBatches:
    """Augmented batches of the train split; ``workers`` processes load them, None decides by the machine.

    With ``flip`` every other image is mirrored, where the augmentation does not do that anyway.

    Raises:
        MissingBackendError: if the package that the augmentation needs is absent.
    """
    return TrainBatches(
        images.store,
        images.splits["train"],
        settings.batch_size,
        settings.augmentation,
        seed=seed,
        balance=balance,
        repeats=settings.repeats if isinstance(settings, TrainSettings) else 1,
        workers=workers,
        flip=flip,
    )


def objective_for(
    images: Images, *, smoothing: float, kd_weight: float, temperature: float, balance: str, device: str, kd: str = "soft"
) -> Objective:
    """Label loss and distillation; class weights where ``balance`` asks for them.

    Raises:
        UsageError, PluginError: if there is no loss ``kd``, or the package that brings it is broken.
    """
    DISTILLATION_LOSSES.find(kd)  # before anything is trained
    weights = None
    if balance == "weights":
        weights = torch.from_numpy(class_weights(images.labels("train"), len(images.class_names))).to(device)
    return Objective(smoothing=smoothing, class_weights_C=weights, kd=kd, kd_weight=kd_weight, temperature=temperature)


def fit(job: Job, *, quiet: bool = False) -> Iterator[Progress | Epoch | Note]:
    """Train to the end, going on from a saved state of the same settings; the weights are written last.

    Args:
        job: what is trained.
        quiet: epochs are not told, for one of many short trainings; the log has them all the same.

    Raises:
        TrainingDivergedError: if a loss is not finite.
        RunFolderError: if a file cannot be written.
        CheckpointError: if an unfinished training has other settings, naming them, and may not be given up.
        DataError: if an image or a process that loads images is lost; the state is saved.
    """
    settle(job.folder)
    model = job.build()
    state = start(model, job.loop, torch.device(job.device))
    path, identity, replaces = job.folder / STATE, job.identity, weights_sha256(job.folder)
    if not (yield from _resume(state, path, identity, job)) and job.begin is not None:
        job.begin()
        state = start(model, job.loop, torch.device(job.device))
    last_saved = last_step = time.monotonic()
    shown: dict[str, float] = {}
    steps = train(
        state,
        job.batches,
        job.objective,
        job.loop,
        teacher=job.teacher,
        subnets=job.subnets,
        in_place=job.in_place,
        mix=job.mix,
        evaluate=job.evaluate,
    )
    keep_state = partial(save_state, path, state, identity, replaces=replaces)
    while (record := _next(steps, keep_state)) is not None:
        if isinstance(record, EpochRecord):
            append_jsonl(job.folder / PART, asdict(record))
            shown = {name: round(value, 3) for name, value in record.select.items()}
            if quiet:
                continue
        try:
            yield _shown(job.label, record, shown)
        except (KeyboardInterrupt, GeneratorExit):  # interrupted here, between two steps, the state is whole
            keep_state()
            raise
        now = time.monotonic()
        if now - last_saved + (now - last_step) > job.checkpoint_every_s:  # the next step would be too late
            keep_state()
            last_saved = now = time.monotonic()
        last_step = now
    save_weights(job.folder / WEIGHTS, state.result, identity)
    settle(job.folder, finished=True)


def _shown(label: str, record: StepRecord | EpochRecord, accuracies: Mapping[str, float]) -> Progress | Epoch:
    """What the terminal makes of it."""
    if isinstance(record, StepRecord):
        return Progress(label, record.step, record.num_steps, {"loss": record.loss, **accuracies})
    rate, seconds = record.learning_rate, record.seconds
    return Epoch(label, record.epoch, record.epochs, record.losses.get("loss", float("nan")), record.select, rate, seconds)


def _next(steps: Iterator[StepRecord | EpochRecord], keep_state: Callable[[], None]) -> StepRecord | EpochRecord | None:
    """The next record; None at the end. Where no batch comes the state is whole, and is saved."""
    try:
        return next(steps, None)
    except DataError:
        keep_state()
        raise


def changes_since(job: Job) -> list[str] | None:
    """How the weights in the job's folder differ from what it would train, a line each; None if there are none.

    Raises:
        CheckpointError: if they cannot be read.
    """
    settle(job.folder)
    if not has_weights(job.folder):
        return None
    return differences(load_weights(job.folder / WEIGHTS)[1], job.identity)


def keep(label: str, folder: Path, changes: Sequence[str]) -> Iterator[Note]:
    """What to say where earlier weights are kept: that they are of other settings, that a job that was to replace them is open."""
    if changes:
        text = f"{label}: is there already, trained with other settings: {'; '.join(changes)} (--force trains it again)"
        yield Note(text, is_warning=True)
    else:
        yield Note(f"{label}: is there already (--force trains it again)")
    if (folder / STATE).is_file():
        text = f"{label}: an interrupted --force is unfinished, the earlier weights are used; with --force it goes on"
        yield Note(text, is_warning=True)


def settle(folder: Path, *, finished: bool = False) -> None:
    """Clear away the state and put the log in its place once a job's weights are written, also if it was killed just then.

    Raises:
        RunFolderError: if something that is no file has the name of one.
    """
    for name in (WEIGHTS, STATE, LOG, PART):
        if (folder / name).exists() and not (folder / name).is_file():
            raise RunFolderError(f"{folder / name} is no file", hint="move it away")
    if finished or _has_finished(folder):
        if (folder / PART).is_file():
            (folder / PART).replace(folder / LOG)
        (folder / STATE).unlink(missing_ok=True)


def _has_finished(folder: Path) -> bool:
    """Whether the weights are those of the job whose state or log is there, by hash: clocks may be set back."""
    weights, part = folder / WEIGHTS, folder / PART
    if not weights.is_file():
        return False
    if (folder / STATE).is_file():
        header = header_in(folder / STATE)
        return "replaces" in header and header["replaces"] != sha256_file(weights)
    return part.is_file() and weights.stat().st_mtime_ns > part.stat().st_mtime_ns  # only the log is at stake


def _resume(state: TrainState, path: Path, identity: Mapping[str, Any], job: Job) -> Generator[Note, None, bool]:
    """Fill ``state`` from a saved one of the same work; whether there was one."""
    resumed = False
    if path.is_file():
        try:
            load_state(path, state, identity)
        except OtherWorkError as error:
            if not job.anew:
                hint = "set them back and it goes on, or start again with --force"
                raise CheckpointError(error.message, problems=error.problems, hint=hint) from error
            yield Note(f"{job.label} starts again: {error}", is_warning=True)
        else:
            resumed = True
            yield Note(f"{job.label} goes on after step {state.step}, epoch {state.epoch} of {state.epochs}")
    trim_log(job.folder / PART, state.epoch)
    return resumed


def trim_log(path: Path, epochs: int) -> None:
    """Keep the lines of the first ``epochs`` epochs; those that a kill cut short or that will come again go.

    Raises:
        RunFolderError: if the file cannot be read or written.
    """
    if not path.is_file():
        return
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read: {error.strerror or error}") from error
    kept = [line for line in lines if line.endswith("\n") and 0 < _epoch_of(line) <= epochs]
    if kept:
        write_text(path, "".join(kept))
    else:
        path.unlink(missing_ok=True)


def _epoch_of(line: str) -> int:
    try:
        return int(json.loads(line)["epoch"])
    except (ValueError, TypeError, KeyError, OverflowError):
        return 0


def _objective(job: Job) -> dict[str, Any]:
    objective = job.objective
    weights = objective.class_weights_C.tolist() if objective.class_weights_C is not None else None
    names = ("smoothing", "kd", "kd_weight", "temperature")
    return {
        **{name: getattr(objective, name) for name in names},
        "class_weights": weights,
        "taught": job.teacher is not None,
        "in_place": job.in_place,
        **({"cutmix": job.cutmix} if job.cutmix else {}),
    }


def _batches(job: Job) -> dict[str, Any]:
    names = ("batch_size", "augmentation", "flip", "balance", "repeats")  # not workers, which change no bit
    return {name: getattr(job.batches, name) for name in names}
