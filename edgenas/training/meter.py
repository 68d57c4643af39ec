"""What a training tells of every step and epoch, and the sums that an epoch's means are made of."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgenas.training.checkpoints import TrainState
from edgenas.training.watching import Evaluation, Shown


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


@dataclass(slots=True)
class Meter:
    """Sums over an epoch, kept in the state so that an interrupted epoch is reported like any other."""

    sums: dict[str, float]
    mark: float = field(default_factory=time.perf_counter)

    def resume(self) -> None:
        """Begin a step now; what came since the last one is nobody's."""
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
        """The epoch that ``state`` has just ended."""
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
