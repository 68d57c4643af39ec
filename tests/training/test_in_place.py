"""The first subnet of a step teaches the others, whatever loss it is done by and whoever teaches the first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgenas.training.distillation import TrainingLoss
from edgenas.training.loop import LoopSettings, StepRecord, start, train
from edgenas.training.outside import SeveralTeachers
from edgenas.training.seeding import seed_globals
from edgenas.training.teaching_losses import DISTILLATION_LOSSES
from tests.training.tiny import CPU, LARGEST, SMALLEST, TinyBatches, tiny_net, tiny_supernet

SETTINGS = LoopSettings(epochs=1, learning_rate=1e-3, seed=3, ema_decay=None)


def subnets(rng: np.random.Generator, step: int) -> list[tuple[int, ...]]:
    return [LARGEST, SMALLEST]


def teacher_called(name: str) -> nn.Module | None:
    if name == "nobody":
        return None
    nets = [tiny_net(LARGEST, seed=5).eval(), tiny_net(SMALLEST, seed=6).eval()]
    return nets[0] if name == "one" else SeveralTeachers(nets, [2.0, 1.0])


def by_hand(objective: TrainingLoss, teacher: nn.Module | None) -> tuple[float, dict[str, Tensor]]:
    """The first step's loss and gradients, written out."""
    supernet = tiny_supernet().train()
    batches = TinyBatches()(0)
    seed_globals(SETTINGS.seed, 0, 0)
    images_NCHW, labels_N = next(batches)
    with torch.no_grad():
        soft_NC = None if teacher is None else teacher(images_NCHW)
    first_NC = supernet(images_NCHW, LARGEST)
    own = objective(first_NC, labels_N, soft_NC)["loss"]
    weight = objective.kd_weight if objective.in_place_weight is None else objective.in_place_weight
    other = replace(objective, kd_weight=weight, in_place_weight=None)(supernet(images_NCHW, SMALLEST), labels_N, first_NC.detach())
    loss = (own + other["loss"]) / 2
    torch.autograd.backward(loss)
    return loss.item(), {name: value.grad for name, value in supernet.named_parameters() if value.grad is not None}


MIXES = (("nobody", 1.0), ("several", 1.0), ("one", None), ("several", None))


@pytest.mark.parametrize(
    ("kd", "who", "in_place_weight"),
    [
        pytest.param(kd, *mix, marks=[] if (loss + number) % 2 == 0 else [pytest.mark.slow])
        for loss, kd in enumerate(DISTILLATION_LOSSES)
        for number, mix in enumerate(MIXES)
    ],
)  # by default each loss with half of the mixes, each mix with half of the losses
def test_any_mix_of_teachers_and_losses_is_what_it_says(kd: str, who: str, in_place_weight: float | None) -> None:
    objective, teacher = TrainingLoss(kd=kd, kd_weight=0.7, temperature=2.0, in_place_weight=in_place_weight), teacher_called(who)
    loss, gradients = by_hand(objective, teacher)
    supernet = tiny_supernet()
    before = {name: value.detach().clone() for name, value in supernet.named_parameters()}
    steps = train(
        start(supernet, SETTINGS, CPU), TinyBatches(), objective, SETTINGS, teacher=teacher, subnets=subnets, in_place=True
    )
    record = next(steps)
    assert isinstance(record, StepRecord)
    assert record.loss == pytest.approx(loss, rel=1e-5)
    after = dict(supernet.named_parameters())
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved >= {name for name, gradient in gradients.items() if float(gradient.abs().max()) > 1e-6}


def test_as_in_bignas_only_the_largest_net_sees_labels() -> None:
    """Yu et al., arXiv:2003.11142: the others learn from the soft labels of the largest alone."""
    objective = TrainingLoss(kd_weight=0.0, in_place_weight=1.0)
    logits_NC, soft_NC = torch.randn(4, 3), torch.randn(4, 3)
    first, second = (
        objective.in_place(logits_NC, torch.tensor(labels), soft_NC)["loss"] for labels in ([0, 1, 2, 0], [2, 2, 1, 1])
    )
    assert torch.equal(first, second)
    largest = objective(logits_NC, torch.tensor([0, 1, 2, 0]), None)
    assert torch.equal(largest["loss"], largest["label_loss"])
