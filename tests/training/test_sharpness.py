"""Gradients where the loss is worst nearby."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgenas.training.distillation import TrainingLoss
from edgenas.training.loop import LoopSettings, start, train
from edgenas.training.sharpness import at_sharpest
from tests.training.tiny import CPU, TinyBatches, tiny_net


def test_weights_move_by_rho_along_the_gradient_and_back_to_the_bit() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    model(torch.randn(8, 5)).square().sum().backward()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradient = torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None])
    with at_sharpest(model, 0.3):
        moved = torch.cat([(value - before[name]).detach().flatten() for name, value in model.named_parameters()])
        assert moved.norm().item() == pytest.approx(0.3, rel=1e-5)
        assert torch.cosine_similarity(moved, gradient, dim=0).item() == pytest.approx(1.0, abs=1e-6)
        model(torch.randn(8, 5))
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items() if "num_batches" not in name)


def test_a_step_takes_the_gradient_of_the_moved_weights() -> None:
    """Against the two passes written out with plain SGD's own arithmetic, on a loss of one weight."""
    weight = nn.Parameter(torch.tensor([2.0]))
    model = nn.Module()
    model.weight = weight
    (weight**4).sum().backward()
    with at_sharpest(model, 0.1):
        weight.grad = None
        (weight**4).sum().backward()
    assert weight.item() == 2.0
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(4 * 2.1**3, rel=1e-6)


def test_training_with_it_differs_and_is_reproducible() -> None:
    def trained(rho: float | None) -> torch.Tensor:
        settings = LoopSettings(epochs=1, learning_rate=2e-3, sam_rho=rho)
        net = tiny_net()
        list(train(start(net, settings, CPU), TinyBatches(), TrainingLoss(), settings))
        return torch.cat([value.detach().flatten() for value in net.parameters()])

    plain, sharp, again = trained(None), trained(0.05), trained(0.05)
    assert torch.equal(sharp, again)
    assert not torch.equal(sharp, plain)
