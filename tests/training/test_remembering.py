"""A teacher that answers once for every batch: the same lessons, fewer of its own passes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from edgenas.training.distillation import TrainingLoss
from edgenas.training.loop import LoopSettings, start, train
from edgenas.training.mixing import cutmix
from edgenas.training.teacher import RememberingTeacher, remembering
from tests.training.tiny import CPU, LARGEST, SMALLEST, TinyBatches, tiny_net

SETTINGS = LoopSettings(epochs=2, learning_rate=2e-3, seed=7)
STEPS = SETTINGS.epochs * TinyBatches().num_batches
TAUGHT = TrainingLoss(kd="soft", kd_weight=0.9, temperature=2.0)


class Counted(nn.Module):
    """A teacher that counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.calls = tiny_net(LARGEST, seed=3).eval(), 0

    def forward(self, images_NCHW: Tensor) -> Tensor:
        self.calls += 1
        logits_NC: Tensor = self.net(images_NCHW)
        return logits_NC


def trained(teacher: nn.Module, net: nn.Module, settings: LoopSettings = SETTINGS) -> dict[str, Tensor]:
    state = start(net, settings, CPU)
    for _ in train(state, TinyBatches(), TAUGHT, settings, teacher=teacher, mix=cutmix(3, 0.5)):
        pass
    return state.result.state_dict()


def test_nets_of_one_seed_learn_what_they_would_and_the_teacher_answers_once() -> None:
    counted = Counted()
    teacher = RememberingTeacher(counted)
    for genes in (SMALLEST, LARGEST):
        found, expected = trained(teacher, tiny_net(genes)), trained(Counted(), tiny_net(genes))
        assert all(torch.equal(value, expected[name]) for name, value in found.items())
    assert counted.calls == STEPS


def test_other_images_are_answered_anew() -> None:
    counted = Counted()
    teacher = RememberingTeacher(counted)
    trained(teacher, tiny_net())
    trained(teacher, tiny_net(), replace(SETTINGS, seed=8))
    assert counted.calls == 2 * STEPS


def test_a_longer_training_knows_the_batches_of_a_shorter_one() -> None:
    counted = Counted()
    teacher = RememberingTeacher(counted)
    trained(teacher, tiny_net())
    trained(teacher, tiny_net(), replace(SETTINGS, epochs=5))
    assert counted.calls == 5 * TinyBatches().num_batches


def test_answers_beyond_the_memory_are_the_same_and_made_again() -> None:
    counted = Counted()
    teacher = RememberingTeacher(counted, max_bytes=2 * 8 * 3 * 4)  # two batches of 8 images, 3 classes, float32
    for _ in range(2):
        trained(teacher, tiny_net())
    assert counted.calls == 2 + 2 * (STEPS - 2)


def test_the_same_bytes_in_another_shape_are_other_images() -> None:
    teacher = RememberingTeacher(nn.Flatten())
    images = torch.zeros(2, 3, 4, 4)
    assert teacher(images).shape == (2, 48)
    assert teacher(images.reshape(4, 3, 2, 4)).shape == (4, 24)
    assert teacher(images.half()).dtype is torch.float16


def test_a_view_of_other_images_is_not_taken_for_them() -> None:
    teacher = RememberingTeacher(nn.Flatten())
    images = torch.arange(2 * 3 * 4 * 4.0).reshape(2, 3, 4, 4)
    assert torch.equal(teacher(images), images.flatten(1))
    assert torch.equal(teacher(images.transpose(2, 3)), images.transpose(2, 3).flatten(1))


def test_no_teacher_remembers_nothing() -> None:
    assert remembering(None) is None
