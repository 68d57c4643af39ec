"""One training loop for teachers, supernets and plain nets, as a generator of records.

Everything random is decided by (seed, epoch, step), and the learning rate by (step, epochs), so a run that is continued from a
`TrainState` computes what an uninterrupted one does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from edgenas.training.checkpoints import TrainState
from edgenas.training.distillation import Objective
from edgenas.training.seeding import seed_globals
from edgenas.training.step import Stepper, Subnets, TrainingDivergedError

Evaluate = Callable[[nn.Module], Mapping[str, float]]


class Batches(Protocol):
    """Batches of an epoch, the same each time they are asked for."""

    @property
    def num_batches(self) -> int:
        """Batches an epoch."""
        ...

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (N, C, H, W) and labels (N,), from batch ``first_step`` of the epoch on."""
        ...


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How a net is optimised.

    Attributes:
        epochs: passes over the training images.
        learning_rate: highest; after a linear warm-up it falls to ``final_learning_rate`` along a cosine.
        final_learning_rate: at the end.
        warmup_epochs: may be a fraction.
        weight_decay: of weights with two axes or more; norms and biases have none.
        clip_norm: largest gradient norm; None does not clip.
        ema_decay: largest decay of the weights' moving average, which starts lower; None keeps no average.
        amp: mixed precision on CUDA: bf16 where the GPU has it, else fp16 with loss scaling.
        seed: of everything random.
        max_seconds: time budget; when the pace of the epochs so far does not fit, fewer epochs are laid out.
    """

    epochs: int
    learning_rate: float
    final_learning_rate: float = 1e-5
    warmup_epochs: float = 1.0
    weight_decay: float = 0.05
    clip_norm: float | None = 1.0
    ema_decay: float | None = 0.998
    amp: bool = True
    seed: int = 0
    max_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One optimiser step: ``step`` of ``num_steps`` of the whole run is done."""

    step: int
    num_steps: int
    loss: float


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One epoch: ``epoch`` of ``epochs`` is done.

    Attributes:
        losses: means over the epoch.
        learning_rate: of its last step.
        select: accuracies on the select split, fractions, by what was evaluated; empty where nothing was.
        seconds: of training, evaluation left out.
        images_per_second: training images, each counted once however many subnets saw it.
        elapsed_s: training time of the run so far.
    """

    epoch: int
    epochs: int
    losses: Mapping[str, float]
    learning_rate: float
    select: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    images_per_second: float = 0.0
    elapsed_s: float = 0.0


def start(model: nn.Module, settings: LoopSettings, device: torch.device) -> TrainState:
    """A state at epoch 0, on ``device``; ``model`` is moved there."""
    model.to(device)
    optimizer = torch.optim.AdamW(_parameter_groups(model, settings.weight_decay), lr=settings.learning_rate)
    average = None if settings.ema_decay is None else ModelEmaV3(model, decay=settings.ema_decay, use_warmup=True)
    scaler = torch.amp.GradScaler("cuda") if _amp_dtype(settings, device) is torch.float16 else None
    return TrainState(model, average, optimizer, scaler, epoch=0, step=0, epochs=settings.epochs)


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in trained if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim < 2], "weight_decay": 0.0},
    ]


def _amp_dtype(settings: LoopSettings, device: torch.device) -> torch.dtype | None:
    if not settings.amp or device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def learning_rate_at(step: int, settings: LoopSettings, *, epochs: int, steps_per_epoch: int) -> float:
    """Learning rate of step 0, 1, ...: linear warm-up, then a cosine (Loshchilov & Hutter, arXiv:1608.03983) over the rest."""
    warmup_steps = min(settings.warmup_epochs, epochs / 2) * steps_per_epoch
    if step < warmup_steps:
        return settings.learning_rate * (step + 1) / (warmup_steps + 1)
    progress = min(1.0, (step - warmup_steps) / max(1.0, epochs * steps_per_epoch - 1 - warmup_steps))
    span = settings.learning_rate - settings.final_learning_rate
    return settings.final_learning_rate + span * (1 + math.cos(math.pi * progress)) / 2


def train(
    state: TrainState,
    batches: Batches,
    objective: Objective,
    settings: LoopSettings,
    *,
    teacher: nn.Module | None = None,
    subnets: Subnets | None = None,
    in_place: bool = False,
    evaluate: Evaluate | None = None,
    evaluate_every: int = 1,
) -> Iterator[StepRecord | EpochRecord]:
    """Train ``state`` from where it is; it changes in place and can be saved whenever a record arrives.

    Args:
        state: from `start`, possibly filled by `checkpoints.load_state`.
        batches: of the train split.
        objective: what is minimised.
        settings: how.
        teacher: put in eval mode, gets no gradient and sees the images that the student sees.
        subnets: genes of the subnets of a step, for a supernet; their gradients are averaged. None trains a plain net.
        in_place: the first subnet's logits teach the others (Yu & Huang, arXiv:1903.05134, section 3.3).
        evaluate: accuracies of a net (the moving average, in eval mode) on the select split; nothing else may be read.
        evaluate_every: epochs between evaluations; the last epoch is always evaluated.

    Raises:
        TrainingDivergedError: if a loss is not finite; the state is that after the last good step.
    """
    device = next(state.model.parameters()).device
    if teacher is not None:
        teacher.to(device).eval()
    amp = _amp_dtype(settings, device)
    step_once = Stepper(objective, settings.seed, settings.clip_norm, teacher, subnets, in_place, device, amp)
    while state.epoch < state.epochs:
        meter = _Meter(state.sums)
        for images_NCHW, labels_N in _seeded(batches, state, settings.seed):
            learning_rate = learning_rate_at(state.step, settings, epochs=state.epochs, steps_per_epoch=batches.num_batches)
            losses = step_once(state, images_NCHW, labels_N, learning_rate)
            state.elapsed_s += meter.add(losses, len(labels_N), learning_rate)
            yield StepRecord(state.step, state.epochs * batches.num_batches, losses["loss"])
            meter.resume()
        state.epoch += 1
        _fit_budget(state, settings)
        due = state.epoch % evaluate_every == 0 or state.epoch == state.epochs
        began = time.perf_counter()
        select = dict(evaluate(state.result.eval())) if evaluate is not None and due else {}
        state.elapsed_s += time.perf_counter() - began
        record = meter.record(state, select)
        state.sums = {}
        yield record


@dataclass(slots=True)
class _Meter:
    """Sums over an epoch, kept in the state so that an interrupted epoch is reported like any other."""

    sums: dict[str, float]
    mark: float = field(default_factory=time.perf_counter)

    def resume(self) -> None:
        self.mark = time.perf_counter()

    def add(self, losses: Mapping[str, float], num_images: int, learning_rate: float) -> float:
        """Count one step; its seconds, loading included."""
        lap = time.perf_counter() - self.mark
        counted = {f"loss.{name}": value * num_images for name, value in losses.items()}
        for name, value in {**counted, "images": num_images, "seconds": lap}.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.sums["learning_rate"] = learning_rate
        return lap

    def record(self, state: TrainState, select: Mapping[str, float]) -> EpochRecord:
        num_images, seconds = self.sums.get("images", 0.0), self.sums.get("seconds", 0.0)
        return EpochRecord(
            epoch=state.epoch,
            epochs=state.epochs,
            losses={
                name.removeprefix("loss."): total / max(1.0, num_images)
                for name, total in self.sums.items()
                if name.startswith("loss.")
            },
            learning_rate=self.sums.get("learning_rate", 0.0),
            select=select,
            seconds=seconds,
            images_per_second=num_images / max(seconds, 1e-9),
            elapsed_s=state.elapsed_s,
        )


def _seeded(batches: Batches, state: TrainState, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of the state's epoch that it has not done.

    The shared generators are seeded before each is made, for batches that draw from them, and again after it, so that dropout
    does not depend on how much was drawn here or in other processes.
    """
    first = state.step - state.epoch * batches.num_batches
    stream = batches(state.epoch, first)
    for step in range(first, batches.num_batches):
        seed_globals(seed, state.epoch, step)
        batch = next(stream)
        seed_globals(seed, state.epoch, step)
        yield batch


def _fit_budget(state: TrainState, settings: LoopSettings) -> None:
    """Lay out as many epochs as fit the time budget at the pace so far."""
    if settings.max_seconds is not None:
        affordable = int((settings.max_seconds - state.elapsed_s) / (state.elapsed_s / state.epoch))
        state.epochs = min(settings.epochs, state.epoch + max(0, affordable))


__all__ = [
    "Batches",
    "EpochRecord",
    "Evaluate",
    "LoopSettings",
    "StepRecord",
    "Subnets",
    "TrainingDivergedError",
    "learning_rate_at",
    "start",
    "train",
]
