"""Training a net in a folder: progress, one JSON line an epoch, a state to go on from, the weights at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgenas.data.batches import TrainBatches
from edgenas.errors import CheckpointError, DataError, RankError, UsageError
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
from edgenas.training.compiling import compile_where_faster
from edgenas.training.distillation import LOSS, TrainingLoss
from edgenas.training.events import EVENTS, Events
from edgenas.training.folder import PART, STATE, WEIGHTS, has_weights, settle, trim_log, weights_sha256
from edgenas.training.headers import facts_in
from edgenas.training.loop import EpochRecord, Evaluate, LoopSettings, StepRecord, Subnets, amp_dtype_of, start, train
from edgenas.training.mixing import NO_MIXING, Mix, Mixing, cutmix
from edgenas.training.ranks import Ranks, current
from edgenas.training.step import TrainingDivergedError
from edgenas.training.watching import Watcher


@dataclass(frozen=True, slots=True)
class TrainingJob:
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
        evaluate_every: epochs between evaluations; the last is always evaluated. No epoch's weights depend on it.
        finish: done to the net that is kept, before its weights are written.
        begin: fills the model where training does not go on from a saved state; None where it is filled already.
        readable: what a reader is told of a subnet's genes; None for a plain net.
        tensorboard: curves are also written as events, beside the log.
    """

    label: str
    folder: Path
    build: Callable[[], nn.Module]
    loop: LoopSettings
    objective: TrainingLoss
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
    evaluate_every: int = 1
    finish: Callable[[nn.Module], None] | None = None
    begin: Callable[[], None] | None = None
    readable: Callable[[tuple[int, ...]], str] | None = None
    tensorboard: bool = False

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


def fit(job: TrainingJob, *, quiet: bool = False) -> Iterator[Progress | Epoch | Note]:
    """Train to the end, going on from a saved state of the same settings; the weights are written last.

    Args:
        job: what is trained.
        quiet: epochs are not told, for one of many short trainings; the log has them all the same.

    Raises:
        TrainingDivergedError: if a loss is not finite, with the subnets of the step; the state after the last good one is saved.
        MissingBackendError: if events are to be written without TensorBoard.
        RunFolderError: if a file cannot be written.
        CheckpointError: if an unfinished training has other settings, naming them, and may not be given up.
        DataError: if an image or a process that loads images is lost; the state is saved.
    """
    ranks = current()
    settle(job.folder)
    identity, replaces = job.identity, weights_sha256(job.folder)
    state = yield from _begun(job, identity, ranks)
    keep_state = partial(save_state, job.folder / STATE, state, identity, replaces=replaces)
    yield from _trained(job, state, ranks, keep_state, quiet=quiet)
    patience = job.loop.stop_patience
    if patience is not None and state.epoch < job.loop.epochs and not quiet:
        why = f"{patience} evaluations on select brought nothing better (stop_patience)"
        yield Note(f"{job.label}: ended after epoch {state.epoch} of {job.loop.epochs}: {why}")
    if job.finish is not None:
        job.finish(state.result)
    save_weights(job.folder / WEIGHTS, state.result, identity)
    settle(job.folder, finished=True)


def _begun(job: TrainingJob, identity: Mapping[str, Any], ranks: Ranks) -> Generator[Note, None, TrainState]:
    """The state of a job where its training goes on or begins, the same for every rank."""
    model = job.build()
    state = start(model, job.loop, torch.device(job.device))
    if not (yield from _resume(state, job.folder / STATE, identity, job)) and job.begin is not None:
        job.begin()
        state = start(model, job.loop, torch.device(job.device))
    ranks.require_same(job.label, [sha256_json(identity), state.step, state.epoch])
    if job.loop.compile == "auto":
        yield Note(f"{job.label}: {_compile_where_faster(job, state, ranks)}")
    return state


def _trained(
    job: TrainingJob, state: TrainState, ranks: Ranks, keep_state: Callable[[], None], *, quiet: bool
) -> Iterator[Progress | Epoch | Note]:
    """Train to the last step; the state is saved now and then, and where no further step comes."""
    last_saved = last_step = time.monotonic()
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
        evaluate_every=job.evaluate_every,
        ranks=ranks,
    )
    saves = ranks.rank == 0  # the files of others are of no use
    teller = _Teller(job, state, writes_events=saves and job.tensorboard)
    keep_state = teller.before(keep_state)
    with closing(teller):
        while (record := _next(steps, keep_state, job, state)) is not None:
            told = teller.take(record)
            if quiet and isinstance(record, EpochRecord):
                continue
            try:
                yield from told
            except (KeyboardInterrupt, GeneratorExit):  # interrupted here, between two steps, the state is whole
                keep_state()
                raise
            now = time.monotonic()
            if saves and now - last_saved + (now - last_step) > job.checkpoint_every_s:  # the next step would be too late
                keep_state()
                last_saved = now = time.monotonic()
            last_step = now


def _compile_where_faster(job: TrainingJob, state: TrainState, ranks: Ranks) -> str:
    """Translate the net of a plain job where the rest of it then ends sooner; what was decided, in words."""
    batches, device = job.batches, torch.device(job.device)
    num, side = batches.batch_size, batches.store.preprocess.image_px
    rows = ranks.rows(min(num, batches.num_images))
    return compile_where_faster(
        state.model,
        torch.zeros(rows.stop - rows.start, 3, side, side, device=device),
        amp=amp_dtype_of(job.loop, device),
        steps_left=state.epochs * batches.num_batches - state.step,
        sizes=1 if batches.smallest_batch == num else 2,
        ranks=ranks,
    )


def divided(job: TrainingJob, ranks: Ranks) -> TrainBatches:
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


class _Teller:
    """Keeps what the records of a training say, and makes of them what the terminal shows."""

    def __init__(self, job: TrainingJob, state: TrainState, *, writes_events: bool) -> None:
        self._job = job
        self._watcher = Watcher(job.label, job.batches.plan.num)
        self._events = Events(job.folder / EVENTS, state, job.batches.num_batches) if writes_events else None

    def before(self, keep_state: Callable[[], None]) -> Callable[[], None]:
        """``keep_state``, before which events are written, so that none is missing where the state goes on."""

        def flush_and_keep() -> None:
            if self._events is not None:
                self._events.flush()
            keep_state()

        return flush_and_keep

    def take(self, record: StepRecord | EpochRecord) -> list[Progress | Epoch | Note]:
        """Log an epoch, add to the events; what to show."""
        if self._events is not None:
            self._events.add(record)
        label = self._job.label
        if isinstance(record, StepRecord):
            parts = {name.removesuffix("_loss"): value for name, value in record.losses.items() if name != LOSS}
            now = {"epoch": f"{record.epoch}/{record.epochs}", "lr": f"{record.learning_rate:.2g}", "loss": record.loss}
            return [Progress(label, record.step, record.num_steps, {**now, **parts})]
        append_jsonl(self._job.folder / PART, asdict(record))
        loss, rate = record.losses.get(LOSS, float("nan")), record.learning_rate
        epoch = Epoch(label, record.epoch, record.epochs, loss, {**record.select, **_more(record)}, rate, record.seconds)
        words = (self._watcher.behind(record.behind), self._watcher.waiting(record.waiting_s, record.seconds))
        return [epoch, *(Note(text, is_warning=True) for text in words if text is not None)]

    def close(self) -> None:
        """Close the events."""
        if self._events is not None:
            self._events.close()


def _more(record: EpochRecord) -> Mapping[str, float]:
    return record.shown.top1 if record.shown is not None else {}


def _next(
    steps: Iterator[StepRecord | EpochRecord], keep_state: Callable[[], None], job: TrainingJob, state: TrainState
) -> StepRecord | EpochRecord | None:
    """The next record; None at the end. Where no batch comes, another rank is gone or a loss is not finite, the state is saved.

    Raises:
        DataError, RankError: if no batch comes, or another rank is gone.
        TrainingDivergedError: if a loss or a gradient is not finite; it says what is kept.
    """
    try:
        return next(steps, None)
    except (DataError, RankError):
        keep_state()
        raise
    except TrainingDivergedError as error:
        if state.is_finite:
            keep_state()
        names = [f"subnet {job.readable(genes)}" for genes in error.subnets] if job.readable is not None else []
        raise TrainingDivergedError(
            f"{job.label}: {error.message}", subnets=error.subnets, problems=names, hint=_what_is_kept(job.folder)
        ) from error


def _what_is_kept(folder: Path) -> str:
    again = "start again with --force, a lower learning rate or a longer warm-up"
    if not (folder / STATE).is_file():
        return again
    return f"the last good state is kept ({folder / STATE}) and the same command goes on from it; where it fails again, {again}"


def changes_since(job: TrainingJob) -> list[str] | None:
    """How the weights in the job's folder differ from what it would train, a line each; None if there are none.

    Raises:
        CheckpointError: if they cannot be read.
    """
    settle(job.folder)
    if not has_weights(job.folder):
        return None
    kept, wanted = (LoopSettings.completed(facts) for facts in (load_weights(job.folder / WEIGHTS)[1], job.identity))
    return differences(kept, wanted)


def holds_other_work(job: TrainingJob) -> bool:
    """Whether weights or an unfinished training in the job's folder are of other settings than the job's.

    Raises:
        CheckpointError: if weights there cannot be read.
    """
    if changes_since(job):
        return True
    path = job.folder / STATE
    if not path.is_file():
        return False
    kept, wanted = (LoopSettings.completed(facts) for facts in (facts_in(path), job.identity))
    return bool(differences(kept, wanted))


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


def _resume(state: TrainState, path: Path, identity: Mapping[str, Any], job: TrainingJob) -> Generator[Note, None, bool]:
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


def _objective(job: TrainingJob) -> dict[str, Any]:
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


def _batches(job: TrainingJob) -> dict[str, Any]:
    names = ("batch_size", "augmentation", "flip", "balance", "repeats")  # not workers, which change no bit
    return {name: getattr(job.batches, name) for name in names}
