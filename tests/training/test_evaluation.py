from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgenas.stats import Proportion
from edgenas.training.evaluation import SupernetEvaluator, logits, net_accuracy, predict, report, subnet_accuracies
from edgenas.training.recalibration import recalibrate
from tests.training.tiny import CPU, LARGEST, SMALLEST, SPACE, tiny_images, tiny_net, tiny_supernet


def test_predictions_do_not_depend_on_the_batch_size_and_keep_the_mode() -> None:
    net = tiny_net().train()
    images_NCHW, _ = tiny_images(10)
    whole, parts = (predict(net, images_NCHW, batch_size=size) for size in (10, 3))
    assert whole.dtype == np.float32
    assert np.allclose(whole, parts, atol=1e-6)
    assert np.allclose(whole.sum(axis=1), 1, atol=1e-6)
    assert net.training


def test_probabilities_are_the_softmax_of_the_logits() -> None:
    images_NCHW, _ = tiny_images(4)
    expected = torch.softmax(torch.from_numpy(logits(tiny_net(), images_NCHW)), -1).numpy()
    np.testing.assert_allclose(predict(tiny_net(), images_NCHW), expected, rtol=1e-6, atol=1e-7)


def test_the_evaluator_answers_in_the_order_of_archs_and_images() -> None:
    supernet = tiny_supernet()
    images_NCHW, _ = tiny_images(9)
    genes_AG = np.array([LARGEST, SMALLEST], dtype=np.int16)
    found = SupernetEvaluator(supernet, images_NCHW, device=CPU, batch_size=2)(genes_AG, np.array([8, 0, 3]))
    assert found.dtype == np.float16
    assert found.shape == (2, 3, 3)
    for row, genes in enumerate((LARGEST, SMALLEST)):
        net = supernet.extract(genes)  # type: ignore[operator]
        assert np.allclose(found[row], predict(net, images_NCHW[[8, 0, 3]]), atol=2e-3)


def test_the_evaluator_answers_for_no_images_and_one_arch() -> None:
    found = SupernetEvaluator(tiny_supernet(), tiny_images(4)[0], device=CPU)(SPACE.extreme(largest=True), np.array([1]))
    assert found.shape == (1, 1, 3)


def test_accuracies_are_fractions_by_name() -> None:
    images_NCHW, labels_N = tiny_images(6)
    net = tiny_net()
    assert net_accuracy(images_NCHW, labels_N)(net) == {"top1": float((logits(net, images_NCHW).argmax(1) == labels_N).mean())}
    assert set(subnet_accuracies(images_NCHW, labels_N, {"smallest": SMALLEST})(tiny_supernet())) == {"smallest"}


class Lazily:
    """Images that are counted when they are read."""

    def __init__(self, images_NCHW: NDArray[np.float32]) -> None:
        self.images_NCHW = images_NCHW
        self.num_read = 0

    def __len__(self) -> int:
        return len(self.images_NCHW)

    def __getitem__(self, key: slice | NDArray[np.int64], /) -> torch.Tensor:
        chosen_NCHW = self.images_NCHW[key]
        self.num_read += len(chosen_NCHW)
        return torch.from_numpy(chosen_NCHW.copy())


def test_lazily_read_images_and_tensors_get_the_bits_of_arrays() -> None:
    net = tiny_net()
    images_NCHW, _ = tiny_images(11)
    for answer in (logits, predict):
        expected = answer(net, images_NCHW, batch_size=4)
        assert np.array_equal(answer(net, Lazily(images_NCHW), batch_size=4), expected)
        assert np.array_equal(answer(net, torch.from_numpy(images_NCHW), batch_size=4), expected)


def test_the_evaluator_reads_lazy_images_once_for_all_archs() -> None:
    images_NCHW, _ = tiny_images(9)
    genes_AG, indices_N = np.array([LARGEST, SMALLEST], dtype=np.int16), np.array([8, 0, 3, 3, 5])
    lazily = Lazily(images_NCHW)
    found, expected = (
        SupernetEvaluator(tiny_supernet(), images, device=CPU, batch_size=2)(genes_AG, indices_N)
        for images in (lazily, images_NCHW)
    )
    assert np.array_equal(found, expected)
    assert lazily.num_read == 5


def test_accuracies_of_lazy_images_are_those_of_arrays_and_every_batch_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgenas.training.evaluation.BATCH_SIZE", 4)
    images_NCHW, labels_N = tiny_images(11)
    lazily = Lazily(images_NCHW)
    assert net_accuracy(lazily, labels_N)(tiny_net()) == net_accuracy(images_NCHW, labels_N)(tiny_net())
    subnets = {"smallest": SMALLEST, "largest": LARGEST}
    lazily.num_read = 0
    found = subnet_accuracies(lazily, labels_N, subnets)(tiny_supernet())
    assert found == subnet_accuracies(images_NCHW, labels_N, subnets)(tiny_supernet())
    assert lazily.num_read == 11


def test_batch_norm_of_lazy_training_images_is_estimated_alike() -> None:
    images_NCHW, _ = tiny_images(12)
    nets = [torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.Flatten(), torch.nn.Linear(768, 3)) for _ in range(2)]
    for net, images in zip(nets, (images_NCHW, Lazily(images_NCHW)), strict=True):
        recalibrate(net, images, batch_size=5)
    norms = [net[0] for net in nets]
    assert torch.equal(norms[0].running_mean, norms[1].running_mean)  # type: ignore[arg-type]
    assert torch.equal(norms[0].running_var, norms[1].running_var)  # type: ignore[arg-type]
    assert norms[0].num_batches_tracked == 3


def test_a_report_applies_the_decision_rule() -> None:
    probabilities_NC = np.array([[0.3, 0.5, 0.2], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2], [0.2, 0.3, 0.5]], dtype=np.float32)
    labels_N = np.array([0, 1, 0, 2])
    found = report(probabilities_NC, labels_N, ["ill", "well", "other"], positive="ill", threshold=0.3)
    assert found.top1.value == 0.75
    assert found.top1_decision.value == 1.0
    assert found.sensitivity["ill"] == Proportion(1.0, pytest.approx(0.3424, abs=1e-3), 1.0, 2)
    assert found.confusion_matrix == ((2, 0, 0), (0, 1, 0), (0, 0, 1))
    assert (found.n, found.balanced_accuracy) == (4, 1.0)
    json.dumps(found.as_json(), allow_nan=False)


def test_a_report_without_a_positive_class_is_the_argmax() -> None:
    found = report(np.eye(3)[[0, 1, 1]], np.array([0, 1, 0]), ["a", "b", "c"])
    assert found.top1 == found.top1_decision
    assert found.balanced_accuracy == 0.75
    assert math.isnan(found.sensitivity["c"].value)
