from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgenas.costs import cost_models
from edgenas.spaces import Task, get_space
from edgenas.supernets import build_supernet
from edgenas.training.evaluation import SupernetEvaluator, predict, subnet_accuracies
from edgenas.training.recalibration import Recalibration, batch_norms, recalibrate, recalibrate_where_better, recalibration_of
from edgenas.training.watching import watched_nets, watching

SPACE = get_space("pvt-covidx")
ROWS = SPACE.enumerate()[[0, 1, 3, 6]]  # small ones, alike in some of their first blocks


@pytest.fixture
def supernet() -> Any:
    torch.manual_seed(0)
    return build_supernet(SPACE, Task(3, 3, 32)).eval()


def images(num: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(seed).standard_normal((num, 3, 32, 32)).astype(np.float32)


def as_row(row: Any) -> tuple[int, ...]:
    return tuple(int(gene) for gene in row)


def statistics(net: nn.Module) -> list[torch.Tensor]:
    return [value for norm in batch_norms(net) for value in (norm.running_mean, norm.running_var) if value is not None]


def test_a_plain_net_gets_the_statistics_of_its_images_and_stays_in_eval_mode(supernet: Any) -> None:
    net = supernet.extract(as_row(ROWS[0])).train()
    recalibrate(net, images(48))
    entered: list[torch.Tensor] = []
    batch_norms(net)[0].register_forward_pre_hook(lambda _, given: entered.append(given[0]))
    predict(net, images(48))
    torch.testing.assert_close(batch_norms(net)[0].running_mean, entered[0].mean(dim=0), atol=1e-5, rtol=1e-4)
    assert not any(module.training for module in net.modules())
    assert batch_norms(net)[0].momentum == 0.1


def test_every_subnet_gets_the_statistics_of_the_net_that_is_extracted_of_it(supernet: Any) -> None:
    recalibration = Recalibration(supernet, images(70))  # two batches
    for row in ROWS[1:3]:
        expected = supernet.extract(as_row(row))
        recalibrate(expected, images(70))
        for found, right in zip(statistics(recalibration.net(as_row(row))), statistics(expected), strict=True):
            torch.testing.assert_close(found, right, atol=1e-5, rtol=1e-4)


def test_epochs_are_judged_by_subnets_with_statistics_of_their_own(supernet: Any) -> None:
    labels_N = np.arange(12) % 3
    macs = cost_models(SPACE, supernet.task)["macs"]
    nets = watched_nets(SPACE, macs, labels_N, training_macs=1e15, seed=0)
    seen = watching(images(12), labels_N, nets, ("a", "b", "c"), training_NCHW=images(8, 1))(supernet)
    judge = SupernetEvaluator(supernet, images(12), training_NCHW=images(8, 1))
    p_ANK = judge(np.array(list(nets.judged.values()), dtype=np.int16), np.arange(12))
    expected = (p_ANK.argmax(axis=2) == labels_N).mean(axis=1)
    assert list(seen.judged.values()) == pytest.approx(expected.tolist())


def test_a_notebooks_training_shows_subnets_with_statistics_of_their_own(supernet: Any) -> None:
    labels_N, subnets = np.arange(12) % 3, {str(row): as_row(row) for row in ROWS}
    shown = subnet_accuracies(images(12), labels_N, subnets, training_NCHW=images(8, 1))(supernet)
    p_ANK = SupernetEvaluator(supernet, images(12), training_NCHW=images(8, 1))(ROWS, np.arange(12))
    assert list(shown.values()) == pytest.approx((p_ANK.argmax(axis=2) == labels_N).mean(axis=1).tolist())
    assert shown != subnet_accuracies(images(12), labels_N, subnets)(supernet)


def test_subnets_differ_in_their_statistics_and_the_supernet_keeps_its_own(supernet: Any) -> None:
    before = [value.clone() for value in statistics(supernet)]
    recalibration = Recalibration(supernet, images(16))
    first, second = (statistics(recalibration.net(as_row(row)))[0] for row in ROWS[:2])
    assert not torch.equal(first, second)
    assert not torch.equal(first, before[0])
    assert all(torch.equal(value, old) for value, old in zip(statistics(supernet), before, strict=True))


def test_a_subnet_is_judged_as_the_recalibrated_plain_net_answers(supernet: Any) -> None:
    evaluator = SupernetEvaluator(supernet, images(9, seed=1), training_NCHW=images(16))
    found_ANC = evaluator(ROWS[:3], np.arange(9))
    for row, found_NC in zip(ROWS, found_ANC, strict=False):
        net = supernet.extract(as_row(row))
        recalibrate(net, images(16))
        np.testing.assert_allclose(found_NC, predict(net, images(9, seed=1)), atol=1e-3)


class Counting:
    """Images that count how often they are read."""

    def __init__(self, num: int) -> None:
        self.images_NCHW, self.num_read = torch.from_numpy(images(num)), 0

    def __len__(self) -> int:
        return len(self.images_NCHW)

    def __getitem__(self, key: Any, /) -> torch.Tensor:
        self.num_read += len(self.images_NCHW[key])
        return self.images_NCHW[key]


def test_a_subnet_is_estimated_once_and_subnets_share_what_begins_alike(supernet: Any) -> None:
    training = Counting(12)
    recalibration = Recalibration(supernet, training)
    evaluators = [SupernetEvaluator(supernet, images(4, seed), training_NCHW=recalibration) for seed in (1, 2)]
    for evaluator in evaluators:
        evaluator(ROWS, np.arange(4))
    assert training.num_read == 12  # the patch embedding of the others is known


@pytest.mark.parametrize("memory_bytes", [0, 300_000])
def test_features_are_forgotten_where_they_take_too_much(supernet: Any, memory_bytes: int) -> None:
    small, large = Recalibration(supernet, images(12), memory_bytes=memory_bytes), Recalibration(supernet, images(12))
    for row in ROWS:
        for found, right in zip(*(statistics(each.net(as_row(row))) for each in (small, large)), strict=True):
            assert torch.equal(found, right)
    assert sum(each.nbytes for each in small._beginnings._kept.values()) <= memory_bytes


def test_nets_without_batch_norm_are_left_alone() -> None:
    net = nn.Linear(2, 2).train()
    recalibrate(net, torch.zeros(4, 2))
    assert net.training
    assert recalibration_of(build_supernet(get_space("pvt-nano"), Task(3, 3, 32)), images(4)) is None


def plain_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(4))


def test_statistics_that_lag_behind_are_estimated_anew_where_that_is_not_worse() -> None:
    net = plain_net()
    recalibrate_where_better(net, 3 * images(65), lambda _: 0.5)  # of 65 images one would be alone
    expected = plain_net()
    recalibrate(expected, 3 * images(65)[:64])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(statistics(net), statistics(expected), strict=True))


def test_statistics_that_are_better_as_they_are_are_kept() -> None:
    net, judged = plain_net(), iter((0.9, 0.8))
    before = [value.clone() for value in statistics(net)]
    recalibrate_where_better(net, images(64), lambda _: next(judged))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(statistics(net), before, strict=True))


def test_one_image_alone_says_nothing_of_a_spread() -> None:
    net = plain_net()
    before = [value.clone() for value in statistics(net)]
    recalibrate_where_better(net, images(1), lambda _: 0.5)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(statistics(net), before, strict=True))
