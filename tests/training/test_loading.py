"""What the loop leaves to chance must not depend on how batches are loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgenas.data.batches import TrainBatches
from edgenas.data.digits import as_digits
from edgenas.data.loaders import ImageStore
from edgenas.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from edgenas.training.distillation import TrainingLoss
from edgenas.training.loop import LoopSettings, start, train
from tests.training.tiny import CPU, TinyBatches

SETTINGS = LoopSettings(epochs=2, learning_rate=1e-3, ema_decay=None, seed=3)


@dataclass(frozen=True)
class Thirsty(TinyBatches):
    """The same batches, but their making draws from the global generator as often as it likes."""

    num_draws: int = 0

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for images_NCHW, labels_N in super().__call__(epoch, first_step):
            torch.rand(self.num_draws)
            yield images_NCHW, labels_N


def dropped_out() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(768, 10))


def test_dropout_does_not_depend_on_what_loading_drew() -> None:
    weights = []
    for num_draws in (0, 7):
        state = start(dropped_out(), SETTINGS, CPU)
        list(train(state, Thirsty(num_draws=num_draws), TrainingLoss(), SETTINGS))
        weights.append(state.model.state_dict()["2.weight"])
    assert torch.equal(*weights)


@pytest.mark.parametrize("augmentation", ["light", "randaug"])
def test_workers_and_cache_change_no_bit_of_the_weights(augmentation: str) -> None:
    rng = np.random.default_rng(0)
    source = as_digits(rng.integers(0, 256, (24, 8, 8), dtype=np.uint8), np.arange(24) % 10)
    weights = []
    for workers, memory_bytes in ((0, 1 << 30), (2, 0)):
        store = ImageStore(source, Preprocess(16, IMAGENET_MEAN, IMAGENET_STD), memory_bytes=memory_bytes)
        batches = TrainBatches(store, np.arange(24), 8, augmentation, repeats=2, workers=workers)  # type: ignore[arg-type]
        settings = replace(SETTINGS, epochs=1)
        state = start(dropped_out(), settings, CPU)
        list(train(state, batches, TrainingLoss(), settings))
        weights.append(state.model.state_dict()["2.weight"])
    assert torch.equal(*weights)
