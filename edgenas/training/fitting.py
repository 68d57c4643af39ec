"""Training a net in a folder: progress, one JSON line an epoch, a state to go on from, the weights at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgenas.data.batches import TrainBatches
from edgenas.errors import CheckpointError, DataError, UsageError
from edgenas.runs import Epoch, Note, Progress, append_jsonl, sha256_json
from edgenas.training.checkpoints import (
    OtherWorkError,
    TrainState,
    differences,
    load_state,
    load_weights,
    save_state,
    save_weights,
)
from edgenas.training.distillation import Objective
from edgenas.training.folder import PART, STATE, WEIGHTS, has_weights, settle, trim_log, weights_sha256
from edgenas.training.loop import EpochRecord, Evaluate, LoopSettings, StepRecord, Subnets, start, train
from edgenas.training.mixing import NO_MIXING, Mix, Mixing, cutmix
from edgenas.training.ranks import RankError, Ranks, current


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
        project: the first one's gradient gives way to the others'.
        evaluate: on the select split, after every epoch; None for a net that is judged once it is trained.
        checkpoint_every_s: most seconds of training that a kill may cost.
        anew: an unfinished training with other settings is given up; otherwise it is an error.
        cutmix: share of a batch's images that a rectangle of another is pasted into.
        mixing: how whole batches are changed besides; not together with ``cutmix``.
        finish: done to the net that is kept, before its weights are written.
        begin: fills the model where training does not go on from a saved state; None where it is filled already.
    """

    label: str
    folder: Path
    build: Callable[[], nn.Module]
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
    project: bool = False
    cutmix: float = 0.0
    mixing: Mixing = NO_MIXING
    finish: Callable[[nn.Module], None] | None = None
    begin: Callable[[], None] | None = None

    @property
    def mix(self) -> Mix | None:
        """What changes whole batches, where anything does."""
        if self.mixing:
            return self.mixing(self.batches.num_classes)
        return cutmix(self.batches.num_classes, self.cutmix) if self.cutmix else None

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that the weights depend on, JSON-ready."""
        return {**self.facts, "settings": {**self.loop.identity, **_objective(self), **_batches(self)}}


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
    ranks = current()
    settle(job.folder)
    model = job.build()
    state = start(model, job.loop, torch.device(job.device))
    path, identity, replaces = job.folder / STATE, job.identity, weights_sha256(job.folder)
    if not (yield from _resume(state, path, identity, job)) and job.begin is not None:
        job.begin()
        state = start(model, job.loop, torch.device(job.device))
    ranks.require_same(job.label, [sha256_json(identity), state.step, state.epoch])
    last_saved = last_step = time.monotonic()
    shown: dict[str, float] = {}
    steps = train(
        state,
        divided(job, ranks),
        job.objective,
        job.loop,
        teacher=job.teacher,
        subnets=job.subnets,
        in_place=job.in_place,
        project=job.project,
        mix=job.mix,
        evaluate=job.evaluate,
        ranks=ranks,
    )
    keep_state = partial(save_state, path, state, identity, replaces=replaces)
    saves = ranks.rank == 0  # the files of others are of no use
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
        if saves and now - last_saved + (now - last_step) > job.checkpoint_every_s:  # the next step would be too late
            keep_state()
            last_saved = now = time.monotonic()
        last_step = now
    if job.finish is not None:
        job.finish(state.result)
    save_weights(job.folder / WEIGHTS, state.result, identity)
    settle(job.folder, finished=True)


def divided(job: Job, ranks: Ranks) -> TrainBatches:
    """The batches of a job, of each this rank's part.

    Raises:
        UsageError: if a rank would have fewer than two images of one, of which batch norm could not tell the spread.
    """
    if ranks.size == 1:
        return job.batches
    smallest = job.batches.smallest_batch
    if smallest < 2 * ranks.size:
        text = f"{job.label}: a batch of {smallest} images has fewer than two for each of {ranks.size} processes"
        raise UsageError(text, hint="start fewer processes, or set a larger batch_size")
    return replace(job.batches, part=(ranks.rank, ranks.size))


def _shown(label: str, record: StepRecord | EpochRecord, accuracies: Mapping[str, float]) -> Progress | Epoch:
    """What the terminal makes of it."""
    if isinstance(record, StepRecord):
        return Progress(label, record.step, record.num_steps, {"loss": record.loss, **accuracies})
    rate, seconds = record.learning_rate, record.seconds
    return Epoch(label, record.epoch, record.epochs, record.losses.get("loss", float("nan")), record.select, rate, seconds)


def _next(steps: Iterator[StepRecord | EpochRecord], keep_state: Callable[[], None]) -> StepRecord | EpochRecord | None:
    """The next record; None at the end. Where no batch comes, or another rank is gone, the state is whole, and is saved."""
    try:
        return next(steps, None)
    except (DataError, RankError):
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


def _objective(job: Job) -> dict[str, Any]:
    objective = job.objective
    weights = objective.class_weights_C.tolist() if objective.class_weights_C is not None else None
    names = ("smoothing", "kd", "kd_weight", "temperature")
    return {
        **{name: getattr(objective, name) for name in names},
        "class_weights": weights,
        "taught": job.teacher is not None,
        "in_place": job.in_place,
        **({"in_place_weight": objective.in_place_weight} if objective.in_place_weight is not None else {}),
        **({"project": True} if job.project else {}),
        **({"cutmix": job.cutmix} if job.cutmix and not job.mixing else {}),
        **({"mixing": asdict(job.mixing)} if job.mixing else {}),
    }


def _batches(job: Job) -> dict[str, Any]:
    names = ("batch_size", "augmentation", "flip", "balance", "repeats")  # not workers, which change no bit
    return {name: getattr(job.batches, name) for name in names}
