from __future__ import annotations

import numpy as np
import torch
from torch import nn

from edgenas.training.evaluation import SupernetEvaluator, recalibrate


class TwoScales(nn.Module):
    """A "supernet" whose two subnets feed one batch norm with features of different scale."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.drop = nn.Dropout(0.5)
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images_NCHW: torch.Tensor, genes: tuple[int, ...] = (0,)) -> torch.Tensor:
        return self.drop(self.norm(images_NCHW.mean(dim=(2, 3)) * (100.0 if genes[0] else 1.0) * self.weight))


def images(num: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).standard_normal((num, 3, 4, 4)).astype(np.float32)


def test_statistics_become_those_of_the_subnet_and_the_net_stays_in_eval_mode() -> None:
    net = TwoScales().train()
    recalibrate(net, images(128), (1,))
    features_NC = 100 * torch.from_numpy(images(128)).mean(dim=(2, 3))
    torch.testing.assert_close(net.norm.running_mean, features_NC.mean(dim=0), atol=1e-3, rtol=1e-3)
    assert not any(module.training for module in net.modules())
    assert net.norm.momentum == 0.1


def test_every_subnet_is_judged_with_its_own_statistics() -> None:
    evaluator = SupernetEvaluator(TwoScales(), images(16), device=torch.device("cpu"), training_NCHW=images(64))
    both = evaluator(np.array([[0], [1]], dtype=np.int16), np.arange(16))
    np.testing.assert_allclose(both[0], both[1], atol=2e-3)  # the scale is all that differs


def test_a_net_without_batch_norm_is_left_alone() -> None:
    net = nn.Linear(2, 2).train()
    recalibrate(net, torch.zeros(4, 2))
    assert net.training
