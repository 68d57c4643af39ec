"""A small supernet's training in a folder, for tests of what is kept and told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from edgenas.costs import cost_models
from edgenas.data.batches import TrainBatches
from edgenas.data.workers import WorkerPlan
from edgenas.training.distillation import TrainingLoss
from edgenas.training.fitting import TrainingJob
from edgenas.training.loop import LoopSettings
from edgenas.training.watching import watched_nets, watching
from tests.training.tiny import SMALLEST, SPACE, TASK, TinyBatches, tiny_images, tiny_supernet


@dataclass(frozen=True)
class PoisonedBatches(TinyBatches):
    """Batches of which one holds what is no number; with what a job asks of `TrainBatches`."""

    poisoned_step: int | None = None
    batch_size: int = 8
    augmentation: str = "none"
    flip: bool = False
    balance: str = "none"
    repeats: int = 1

    @property
    def plan(self) -> WorkerPlan:
        return WorkerPlan(0, 0)

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        step = epoch * self.num_batches + first_step
        for number, (images_NCHW, labels_N) in enumerate(super().__call__(epoch, first_step), step):
            yield images_NCHW * (float("nan") if number == self.poisoned_step else 1.0), labels_N


def tiny_job(folder: Path, *, batches: PoisonedBatches | None = None, **others: Any) -> TrainingJob:
    """Two epochs of three steps of the smallest subnet."""
    images_NCHW, labels_N = tiny_images(30, 1)
    nets = watched_nets(SPACE, cost_models(SPACE, TASK)["macs"], labels_N, training_macs=1e15, seed=0)
    return TrainingJob(
        label="supernet",
        folder=folder,
        build=tiny_supernet,
        loop=LoopSettings(epochs=2, learning_rate=1e-2),
        objective=TrainingLoss(),
        batches=cast(TrainBatches, batches if batches is not None else PoisonedBatches()),
        device="cpu",
        facts={},
        evaluate=watching(images_NCHW, labels_N, nets, ("red", "green", "blue")),
        checkpoint_every_s=60.0,
        anew=False,
        subnets=lambda rng, step: [SMALLEST],
        readable=str,
        **others,
    )
