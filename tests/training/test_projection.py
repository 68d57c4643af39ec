"""The gradient of the first subnet gives way where it opposes those of the others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgenas.training.distillation import TrainingLoss
from edgenas.training.loop import LoopSettings, start, train
from edgenas.training.projection import MOST, add_projected, take_gradients
from edgenas.training.sampling import Subnets, sandwich
from tests.training.tiny import CPU, SPACE, TinyBatches, tiny_supernet


def combined(first: list[float] | None, others: list[float] | None) -> list[float]:
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = None if others is None else torch.tensor(others)
    add_projected([parameter], [None if first is None else torch.tensor(first)])
    assert parameter.grad is not None
    result: list[float] = parameter.grad.tolist()
    return result


@pytest.mark.parametrize(
    ("first", "others", "expected"),
    [
        ([1.0, 1.0], [1.0, 0.0], [2.0, 1.0]),  # they agree
        ([0.0, 3.0], [2.0, 0.0], [2.0, 3.0]),  # neither
        ([-1.0, 1.0], [2.0, 0.0], [2.0, 1.0]),  # what opposes is gone
        ([-9.0, 1.0], [1.0, 0.0], [1.0 + MOST - 9.0, 1.0]),  # up to a bound
        (None, [1.0, 2.0], [1.0, 2.0]),
        ([1.0, 2.0], None, [1.0, 2.0]),
        ([1.0, 2.0], [0.0, 0.0], [1.0, 2.0]),
    ],
)
def test_only_what_opposes_is_taken_out(first: list[float] | None, others: list[float] | None, expected: list[float]) -> None:
    assert combined(first, others) == pytest.approx(expected)


def test_what_is_left_no_longer_opposes_the_others() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        first, others = (rng.normal(size=2).tolist() for _ in range(2))
        if np.dot(first, others) > -np.dot(others, others):  # within the bound
            left = np.array(combined(first, others)) - others
            assert np.dot(left, others) > -1e-6


def test_taken_gradients_are_gone() -> None:
    parameter = nn.Parameter(torch.ones(2))
    parameter.grad = torch.ones(2)
    (taken,) = take_gradients([parameter])
    assert taken is not None
    assert parameter.grad is None


def test_a_step_with_projection_differs_where_subnets_disagree_and_not_with_one_subnet() -> None:
    def weights(num: int, *, project: bool) -> torch.Tensor:
        def subnets(rng: np.random.Generator, step: int) -> Subnets:
            return sandwich(SPACE, rng, 1)[:num]

        state = start(tiny_supernet(), LoopSettings(epochs=1, learning_rate=2e-3, clip_norm=None, ema_decay=None), CPU)
        for _ in train(
            state, TinyBatches(), TrainingLoss(), LoopSettings(1, 2e-3, ema_decay=None), subnets=subnets, project=project
        ):
            pass
        return torch.cat([parameter.detach().flatten() for parameter in state.model.parameters()])

    assert torch.equal(weights(1, project=True), weights(1, project=False))
    assert not torch.equal(weights(3, project=True), weights(3, project=False))
