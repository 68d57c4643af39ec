"""One training loop for teachers, supernets and plain nets, as a generator of records.

Everything random is decided by (seed, epoch, step), and the learning rate by (step, epochs), so a run that is continued from a
`TrainState` computes what an uninterrupted one does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Literal, Protocol

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from edgenas.fields import Amount, AmountOrZero, Count, CountOrZero, PartialShare, Range, require_allowed
from edgenas.training.checkpoints import TrainState
from edgenas.training.compiling import compile_net
from edgenas.training.distillation import Objective
from edgenas.training.mixing import Mix
from edgenas.training.optimizing import Undecayed, parameter_groups
from edgenas.training.ranks import ALONE, Ranks
from edgenas.training.schedule import Schedule, ScheduleName, cooldown_epochs, decay_is_due, is_spent
from edgenas.training.seeding import seed_globals
from edgenas.training.step import Stepper, Subnets, TrainingDivergedError
from edgenas.training.watching import Evaluation, Shown, evaluation_of

Evaluate = Callable[[nn.Module], Mapping[str, float] | Evaluation]
AmpType = Literal["auto", "off", "bf16", "fp16"]

WARMUP = 0.1  # share of the epochs
_LATER = (
    *("undecayed", "layer_decay", "plateau_factor", "plateau_patience", "stop_patience"),
    *("sam_rho", "accumulate", "amp_dtype", "channels_last", "compile"),
)


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
        epochs: passes over the training images that the run is laid out for; wsd may end earlier.
        learning_rate: highest, after a linear warm-up.
        final_learning_rate: at the end.
        warmup_epochs: may be a fraction; None takes `WARMUP` of the epochs.
        schedule: of the learning rate, see `edgenas.training.schedule`.
        weight_decay: of weights with two axes or more; norms and biases have none unless ``undecayed`` says otherwise.
        clip_norm: largest gradient norm; None does not clip.
        ema_decay: largest decay of the weights' moving average, which starts lower; None keeps no average.
        amp: mixed precision on CUDA: bf16 where the GPU has it, else fp16 with loss scaling.
        seed: of everything random.
        max_seconds: time budget; when the pace of the epochs so far does not fit, fewer epochs are laid out. With wsd the run goes
            on beyond ``epochs`` while the accuracy on select rises and time is left.
        keep_best: end with the weights of the epoch that was best on select, rather than with the last.
        end_early: a plateau on select ends wsd before its epochs are spent.
        undecayed, layer_decay: see `edgenas.training.optimizing.parameter_groups`.
        plateau_factor, plateau_patience: of the schedule plateau.
        stop_patience: evaluated epochs without a better accuracy on select after which training ends; None trains them all.
        sam_rho: radius of sharpness-aware minimisation, see `edgenas.training.sharpness`; None does without.
        accumulate: parts that a batch is run in, one after the other, whose gradients add up to the batch's.
        amp_dtype: of mixed precision; auto as ``amp`` says, off is none, bf16 is possible on a CPU, too.
        channels_last: keep images and convolutions' weights channels last, which some GPUs compute faster.
        compile: let `torch.compile` translate the net; for a plain net.
    """

    epochs: CountOrZero
    learning_rate: Amount
    final_learning_rate: AmountOrZero = 1e-5
    warmup_epochs: AmountOrZero | None = None
    schedule: ScheduleName = "cosine"
    weight_decay: AmountOrZero = 0.05
    clip_norm: Amount | None = 1.0
    ema_decay: PartialShare | None = 0.998
    amp: bool = True
    seed: CountOrZero = 0
    max_seconds: float | None = None
    keep_best: bool = False
    end_early: bool = False
    undecayed: Undecayed = "vectors"
    layer_decay: Annotated[float, Range(gt=0, le=1)] = 1.0
    plateau_factor: Annotated[float, Range(gt=0, lt=1)] = 0.5
    plateau_patience: CountOrZero = 2
    stop_patience: Count | None = None
    sam_rho: Amount | None = None
    accumulate: Count = 1
    amp_dtype: AmpType = "auto"
    channels_last: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        require_allowed(self)

    @property
    def plan(self) -> Schedule:
        """The learning rate of every step."""
        warmup_epochs = self.warmup_epochs if self.warmup_epochs is not None else WARMUP * self.epochs
        return Schedule(
            self.schedule,
            self.learning_rate,
            self.final_learning_rate,
            warmup_epochs,
            self.plateau_factor,
            self.plateau_patience,
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What the weights depend on, JSON-ready; later settings are left out where they say nothing, so that older runs go on."""
        plain = {each.name: each.default for each in fields(self) if each.name in _LATER}
        return {name: value for name, value in asdict(self).items() if name not in plain or value != plain[name]}


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One optimiser step: ``step`` of ``num_steps`` of the whole run is done.

    Attributes:
        loss: of the step.
        losses: the parts that it is made of, by name.
        learning_rate: of the step.
        epoch: that it is part of, counted from 1.
        epochs: laid out so far.
    """

    step: int
    num_steps: int
    loss: float
    losses: Mapping[str, float] = field(default_factory=dict)
    learning_rate: float = 0.0
    epoch: int = 0
    epochs: int = 0


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One epoch: ``epoch`` of ``epochs`` is done.

    Attributes:
        losses: means over the epoch.
        learning_rate: of its last step.
        select: accuracies on the select split, fractions, by what the epoch is judged by; empty where nothing was evaluated.
        shown: what else was looked at there, see `edgenas.training.watching.Evaluation`.
        seconds: of training, evaluation left out.
        images_per_second: training images, each counted once however many subnets saw it.
        elapsed_s: training time of the run so far.
        waiting_s: of ``seconds``, until batches were there.
        evaluation_s: of the evaluation at its end.
        behind: in words, that the largest subnet is behind a smaller one on select.
    """

    epoch: int
    epochs: int
    losses: Mapping[str, float]
    learning_rate: float
    select: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    images_per_second: float = 0.0
    elapsed_s: float = 0.0
    shown: Shown | None = None
    waiting_s: float = 0.0
    evaluation_s: float = 0.0
    behind: str | None = None


def start(model: nn.Module, settings: LoopSettings, device: torch.device) -> TrainState:
    """A state at epoch 0, on ``device``; ``model`` is moved there."""
    model.to(device)
    if settings.channels_last:
        model.to(memory_format=torch.channels_last)
    groups = parameter_groups(model, settings.weight_decay, undecayed=settings.undecayed, layer_decay=settings.layer_decay)
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)
    average = None if settings.ema_decay is None else ModelEmaV3(model, decay=settings.ema_decay, use_warmup=True)
    scaler = torch.amp.GradScaler("cuda") if _amp_dtype(settings, device) is torch.float16 else None
    if settings.compile:
        compile_net(model, device)
    return TrainState(model, average, optimizer, scaler, epoch=0, step=0, epochs=settings.epochs)


def _amp_dtype(settings: LoopSettings, device: torch.device) -> torch.dtype | None:
    if not settings.amp or settings.amp_dtype == "off" or (device.type != "cuda" and settings.amp_dtype != "bf16"):
        return None
    if settings.amp_dtype == "auto":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if settings.amp_dtype == "bf16" else torch.float16


def train(
    state: TrainState,
    batches: Batches,
    objective: Objective,
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
    amp = _amp_dtype(settings, device)
    step_once = Stepper(
        *(objective, settings.seed, settings.clip_norm, teacher, subnets, in_place, device, amp, mix, project),
        sam_rho=settings.sam_rho,
        accumulate=settings.accumulate,
        ranks=ranks,
    )
    ranks.spread(*_nets(state))
    schedule = settings.plan
    while state.epoch < state.epochs:
        _lay_out(state, settings)
        meter = _Meter(state.sums)
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
            yield StepRecord(state.step, num_steps, losses["loss"], losses, learning_rate, state.epoch + 1, state.epochs)
            meter.resume()
        state.epoch += 1
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
        record = meter.record(state, seen, evaluation_s)
        state.sums = {}
        if seen.judged:
            _judge(state, seen.judged, settings)
        if settings.stop_patience is not None and is_spent(state.history, settings.stop_patience):
            state.epochs = state.epoch
        yield record
    if state.best_tensors:
        state.result.load_state_dict(state.best_tensors)


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

    def waited(self, seconds: float) -> None:
        """Count seconds in which no batch was there."""
        self.sums["waiting"] = self.sums.get("waiting", 0.0) + seconds

    def record(self, state: TrainState, seen: Evaluation, evaluation_s: float) -> EpochRecord:
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
            select=dict(seen.judged),
            seconds=seconds,
            images_per_second=num_images / max(seconds, 1e-9),
            elapsed_s=state.elapsed_s,
            shown=seen.shown,
            waiting_s=self.sums.get("waiting", 0.0),
            evaluation_s=evaluation_s,
            behind=seen.behind,
        )


def _nets(state: TrainState) -> list[nn.Module]:
    """The net and its moving average, where there is one."""
    return [state.model] if state.average is None else [state.model, state.average.module]


def _seeded(batches: Batches, state: TrainState, seed: int, meter: _Meter, rank: int) -> Iterator[tuple[Tensor, Tensor]]:
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
    "start",
    "train",
]
