"""One training loop for teachers, supernets and plain nets, as a generator of records.

Everything random is decided by (seed, epoch, step), and the learning rate by (step, epochs), so a run that is continued from a
`TrainState` computes what an uninterrupted one does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from edgenas.errors import MissingBackendError, RankError
from edgenas.training.checkpoints import TrainState
from edgenas.training.compiling import compile_net
from edgenas.training.distillation import LOSS, TrainingLoss
from edgenas.training.loop_settings import LoopSettings
from edgenas.training.meter import EpochRecord, Meter, StepRecord
from edgenas.training.mixing import Mix
from edgenas.training.optimizing import parameter_groups
from edgenas.training.ranks import ALONE, Ranks
from edgenas.training.schedule import cooldown_epochs, decay_is_due, is_spent
from edgenas.training.seeding import seed_globals
from edgenas.training.step import Stepper, Subnets, TrainingDivergedError
from edgenas.training.watching import Evaluation, evaluation_of

Evaluate = Callable[[nn.Module], Mapping[str, float] | Evaluation]


class Batches(Protocol):
    """Batches of an epoch, the same each time they are asked for."""

    @property
    def num_batches(self) -> int:
        """Batches an epoch."""
        ...

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (N, C, H, W) and labels (N,), from batch ``first_step`` of the epoch on."""
        ...


def start(model: nn.Module, settings: LoopSettings, device: torch.device) -> TrainState:
    """A state at epoch 0, on ``device``; ``model`` is moved there.

    Raises:
        MissingBackendError: if the device cannot compute in the precision asked for, or what translates nets is not there.
    """
    from timm.utils.model_ema import ModelEmaV3

    if settings.amp_dtype == "fp16" and device.type != "cuda":
        raise MissingBackendError("amp_dtype fp16 needs a GPU", hint="bf16 is possible on a CPU, off computes in float32")
    model.to(device)
    if settings.channels_last:
        model.to(memory_format=torch.channels_last)
    groups = parameter_groups(model, settings.weight_decay, undecayed=settings.undecayed, layer_decay=settings.layer_decay)
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)
    average = None if settings.ema_decay is None else ModelEmaV3(model, decay=settings.ema_decay, use_warmup=True)
    scaler = torch.amp.GradScaler("cuda") if amp_dtype_of(settings, device) is torch.float16 else None
    if settings.compile is True:
        compile_net(model, device)
    return TrainState(model, average, optimizer, scaler, epoch=0, step=0, epochs=settings.epochs)


def amp_dtype_of(settings: LoopSettings, device: torch.device) -> torch.dtype | None:
    """The type of mixed precision on a device; None for none."""
    if not settings.amp or settings.amp_dtype == "off" or (device.type != "cuda" and settings.amp_dtype != "bf16"):
        return None
    if settings.amp_dtype == "auto":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if settings.amp_dtype == "bf16" else torch.float16


def train(
    state: TrainState,
    batches: Batches,
    objective: TrainingLoss,
    settings: LoopSettings,
    *,
    teacher: nn.Module | None = None,
    subnets: Subnets | None = None,
    in_place: bool = False,
    project: bool = False,
    mix: Mix | None = None,
    evaluate: Evaluate | None = None,
    evaluate_every: int = 1,
    ranks: Ranks = ALONE,
) -> Iterator[StepRecord | EpochRecord]:
    """Train ``state`` from where it is; it changes in place and can be saved whenever a record arrives.

    Args:
        state: from `start`, possibly filled by `checkpoints.load_state`.
        batches: of the train split.
        objective: what is minimised.
        settings: how.
        teacher: put in eval mode, gets no gradient and sees the images that the student sees.
        subnets: genes of the subnets of a step, for a supernet; their gradients are averaged. None trains a plain net.
        in_place: the first subnet's logits teach the others (Yu & Huang, arXiv:1903.05134, section 3.3); ``in_place_weight`` of the
            objective says how much.
        project: what opposes the other subnets' gradients is taken out of the first one's, see `edgenas.training.projection`.
        mix: makes images and target distributions of a batch's images and labels.
        evaluate: accuracies of a net (the moving average, in eval mode) on the select split; nothing else may be read.
        evaluate_every: epochs between evaluations; the last epoch is always evaluated.
        ranks: processes that train the same together, each with its part of ``batches``; rank 0's clock and evaluations count.

    Raises:
        TrainingDivergedError: if a loss is not finite; the state is that after the last good step.
    """
    device = next(state.model.parameters()).device
    if teacher is not None:
        teacher.to(device).eval()
    amp = amp_dtype_of(settings, device)
    step_once = Stepper(
        *(objective, settings.seed, settings.clip_norm, teacher, subnets, in_place, device, amp, mix, project),
        sam_rho=settings.sam_rho,
        accumulate=settings.accumulate,
        ranks=ranks,
    )
    ranks.spread(*_nets(state))
    while state.epoch < state.epochs:
        _lay_out(state, settings)
        meter = Meter(state.sums)
        yield from _steps(state, batches, step_once, settings, meter, ranks)
        seen, evaluation_s = _end_epoch(state, settings, evaluate, evaluate_every, ranks)
        record = meter.record(state, seen, evaluation_s)
        state.sums = {}
        if seen.judged:
            _judge(state, seen.judged, settings)
        if settings.stop_patience is not None and is_spent(state.history, settings.stop_patience):
            state.epochs = state.epoch
        yield record
    if state.best_tensors:
        state.result.load_state_dict(state.best_tensors)


def _steps(
    state: TrainState, batches: Batches, step_once: Stepper, settings: LoopSettings, meter: Meter, ranks: Ranks
) -> Iterator[StepRecord]:
    """Take the steps of the state's epoch that it has not done."""
    schedule = settings.plan
    for images_NCHW, labels_N in _seeded(batches, state, settings.seed, meter, ranks.rank):
        learning_rate = schedule(
            state.step,
            epochs=state.epochs,
            steps_per_epoch=batches.num_batches,
            decay_from=state.decay_from,
            history=state.history,
        )
        losses = step_once(state, images_NCHW, labels_N, learning_rate)
        state.elapsed_s += meter.add(losses, ranks.size * len(labels_N), learning_rate)
        num_steps = state.epochs * batches.num_batches
        yield StepRecord(state.step, num_steps, losses[LOSS], losses, learning_rate, state.epoch + 1, state.epochs)
        meter.resume()


def _nets(state: TrainState) -> list[nn.Module]:
    """The net and its moving average, where there is one."""
    return [state.model] if state.average is None else [state.model, state.average.module]


def _seeded(batches: Batches, state: TrainState, seed: int, meter: Meter, rank: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of the state's epoch that it has not done.

    The shared generators are seeded before each is made, for batches that draw from them, and again after it, so that dropout
    does not depend on how much was drawn here or in other processes.
    """
    first = state.step - state.epoch * batches.num_batches
    stream = batches(state.epoch, first)
    for step in range(first, batches.num_batches):
        seed_globals(seed, state.epoch, step, rank)
        began = time.perf_counter()
        batch = next(stream)
        meter.waited(time.perf_counter() - began)
        seed_globals(seed, state.epoch, step, rank)
        yield batch


def _end_epoch(
    state: TrainState, settings: LoopSettings, evaluate: Evaluate | None, evaluate_every: int, ranks: Ranks
) -> tuple[Evaluation, float]:
    """Count an epoch as complete and look at it on select: what was seen, and the seconds that took.

    Raises:
        RankError: if another rank is gone; the epoch is not counted, so that its end is made up for where the state goes on.
    """
    state.epoch += 1
    try:
        state.elapsed_s = ranks.first(state.elapsed_s)
        ranks.average_statistics(*_nets(state))
        if settings.schedule != "wsd" or state.decay_from is not None:
            _fit_budget(state, settings)
        due = state.epoch % evaluate_every == 0 or state.epoch == state.epochs
        began = time.perf_counter()
        seen = Evaluation({})
        if evaluate is not None and due:
            seen = ranks.first(evaluation_of(evaluate(state.result.eval())))
        evaluation_s = time.perf_counter() - began
        state.elapsed_s = ranks.first(state.elapsed_s + evaluation_s)
    except RankError:
        state.epoch -= 1
        raise
    return seen, evaluation_s


def _judge(state: TrainState, select: Mapping[str, float], settings: LoopSettings) -> None:
    """Note how good the epoch was, the mean over what was evaluated; of equally good ones the last is kept."""
    score = sum(select.values()) / len(select)
    if settings.keep_best and score >= max(state.history, default=0.0):
        state.best_tensors = {name: tensor.detach().clone() for name, tensor in state.result.state_dict().items()}
    state.history.append(score)


def _lay_out(state: TrainState, settings: LoopSettings) -> None:
    """Begin the decay of wsd where it is due, and lay out the epochs that it takes."""
    if settings.schedule != "wsd" or state.decay_from is not None or state.sums:
        return
    due = decay_is_due(
        state.history,
        epoch=state.epoch,
        epochs=settings.epochs,
        elapsed_s=state.elapsed_s,
        max_seconds=settings.max_seconds,
        may_end_early=settings.end_early,
    )
    if due:
        state.decay_from = state.epoch
        ends = state.epoch + cooldown_epochs(state.epoch)
        state.epochs = ends if settings.max_seconds is not None else min(ends, settings.epochs)
        _fit_budget(state, settings)
        state.epochs = max(state.epochs, state.epoch + 1)  # the epoch that begins is trained, whatever time is left
    elif settings.max_seconds is not None:
        state.epochs = max(state.epochs, state.epoch + 1 + cooldown_epochs(state.epoch + 1))


def _fit_budget(state: TrainState, settings: LoopSettings) -> None:
    """Lay out as many epochs as fit the time budget at the pace so far."""
    if settings.max_seconds is not None and state.epoch:
        affordable = int((settings.max_seconds - state.elapsed_s) / (state.elapsed_s / state.epoch))
        laid_out = state.epochs if settings.schedule == "wsd" else settings.epochs
        state.epochs = min(laid_out, state.epoch + max(0, affordable))


__all__ = [
    "Batches",
    "EpochRecord",
    "Evaluate",
    "LoopSettings",
    "StepRecord",
    "Subnets",
    "TrainingDivergedError",
    "amp_dtype_of",
    "start",
    "train",
]
