"""Wrong arguments in Python end in a ValueError or an error of edgenas that says what is wrong, before any work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import edgenas
from edgenas.data.images import Images
from edgenas.errors import ArchError, UsageError
from edgenas.latency.timing import TimingSettings
from edgenas.spaces.pvt import PVT_NANO
from edgenas.supernets import build_net, build_supernet

pytestmark = pytest.mark.usefixtures("one_thread")
SPACE = PVT_NANO
ROW = tuple(int(gene) for gene in SPACE.extreme(largest=False)[0])


@pytest.fixture(scope="module")
def images() -> Images:
    return edgenas.open_images("digits", image_px=32)


@pytest.fixture(scope="module")
def supernet(images: Images) -> nn.Module:
    return build_supernet(SPACE, images.task)


@pytest.mark.parametrize(
    ("arch", "words"),
    [
        ((99, *ROW[1:]), r"row 0: pool_size has option 99"),
        (ROW[:-1], r"12 genes; pvt-nano has 13"),
        ((*ROW, 0), r"14 genes; pvt-nano has 13"),
        (np.array([ROW, ROW], dtype=np.int16), r"\(2, 13\)"),
        ((0.5, *ROW[1:]), r"whole numbers"),
        ("smallest", r"str"),
    ],
)
def test_an_architecture_that_is_none_of_the_space_is_an_arch_error(supernet: nn.Module, arch: Any, words: str) -> None:
    with pytest.raises(ArchError, match=words):
        edgenas.extract(supernet, arch)


def test_one_row_of_a_matrix_is_one_architecture(supernet: nn.Module, images: Images) -> None:
    by_matrix, by_row = (edgenas.extract(supernet, arch) for arch in (np.array([ROW], dtype=np.int16), ROW))
    x_NCHW = images.arrays("select")[0][:4]
    np.testing.assert_array_equal(edgenas.logits(by_matrix, x_NCHW), edgenas.logits(by_row, x_NCHW))


@pytest.mark.parametrize("genes", [np.array(ROW, dtype=np.int16), np.array([ROW[:-1]], dtype=np.int16)])
@pytest.mark.parametrize("name", ["params", "macs"])
def test_a_cost_of_what_is_no_matrix_of_genes_says_what_is_expected(name: str, genes: np.ndarray) -> None:
    costs = edgenas.cost_models(SPACE, edgenas.Task(10))
    with pytest.raises(ValueError, match=r"(?s)shape \(A, G\).*shape"):
        costs[name](genes)


def test_a_cost_of_genes_that_are_no_options_is_a_value_error() -> None:
    costs = edgenas.cost_models(SPACE, edgenas.Task(10))
    with pytest.raises(ValueError, match="gene 0 of some row has none of"):
        costs["params"](np.array([(99, *ROW[1:])], dtype=np.int16))


def test_a_split_that_is_not_there_names_those_there_are(images: Images) -> None:
    for asked in (images.arrays, images.labels, images.sites):
        with pytest.raises(ValueError, match=r"no split 'tset'.*did you mean 'test'"):
            asked("tset")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: edgenas.get_space(3), "3"),  # type: ignore[arg-type]
        (lambda: edgenas.open_images(3), "3"),  # type: ignore[arg-type]
        (lambda: edgenas.open_images("digits", image_px="32"), "image_px is '32'"),  # type: ignore[arg-type]
        (lambda: edgenas.open_images("digits", image_px=0), "image_px is 0"),
        (lambda: edgenas.open_images("digits", positive=8), "positive is 8; allowed: a string"),  # type: ignore[arg-type]
        (lambda: edgenas.Task(0), "num_classes is 0; allowed: a whole number at least 1"),
        (lambda: edgenas.Task(10, image_px=-32), "image_px is -32"),
        (lambda: edgenas.LoopSettings(epochs=-1, learning_rate=1e-3), "epochs is -1"),
        (lambda: edgenas.LoopSettings(epochs=3, learning_rate=-1.0), "learning_rate is -1"),
        (lambda: edgenas.LoopSettings(epochs=3, learning_rate=float("nan")), "learning_rate is nan"),
        (lambda: edgenas.LoopSettings(3, 1e-3, schedule="cosin"), "did you mean 'cosine'"),  # type: ignore[arg-type]
        (lambda: edgenas.TrainingLoss(kd_weight=2.0), "kd_weight is 2.0; allowed: a number at least 0 and at most 1"),
        (lambda: edgenas.TrainingLoss(kd="sofd"), "did you mean 'soft'"),
        (lambda: edgenas.TrainingLoss(temperature=0.0), "temperature is 0"),
        (lambda: edgenas.MeasuringSettings(calibration_nets=0), "calibration_nets is 0"),
        (lambda: edgenas.MeasuringSettings(validation_nets=-2), "validation_nets is -2"),
        (lambda: edgenas.MeasuringSettings(confidence=1.5), "confidence is 1.5"),
        (lambda: TimingSettings(visits=0), "visits is 0"),
        (lambda: edgenas.EvolutionSettings(population=0), "population is 0"),
        (lambda: edgenas.EvolutionSettings(num_generations=-1), "num_generations is -1"),
        (lambda: edgenas.EvolutionSettings(mutation_prob=1.5), "mutation_prob is 1.5"),
        (lambda: edgenas.Division(seed=-1), "seed is -1"),
        (lambda: edgenas.Division(val_as="tset"), "did you mean 'test'"),  # type: ignore[arg-type]
        (lambda: edgenas.ExportSpec((3, 32, 32), batch_size=0), "batch_size is 0"),
        (lambda: edgenas.ExportSpec((3, 32, 32), opset=9), "opset is 9"),
        (lambda: edgenas.ExportSpec((3, 32, 32), precision="fp8"), "precision is 'fp8'"),  # type: ignore[arg-type]
        (lambda: next(iter(edgenas.measure_table(SPACE, edgenas.Task(10), threads=0))), "threads is 0"),
        (lambda: next(iter(edgenas.measure_table(SPACE, edgenas.Task(10), batch_size=0))), "batch_size is 0"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_with_what_is_allowed(call: Callable[[], object], words: str) -> None:
    with pytest.raises((ValueError, UsageError), match=words):
        call()


def test_every_wrong_field_is_named_and_numpy_scalars_are_numbers() -> None:
    with pytest.raises(ValueError, match=r"Task: num_classes is 0; .*; image_px is 'a'; "):
        edgenas.Task(0, image_px="a")  # type: ignore[arg-type]
    assert edgenas.Task(np.int64(10)).num_classes == 10  # type: ignore[arg-type]
    assert edgenas.LoopSettings(epochs=1, learning_rate=np.float32(0.5)).learning_rate == 0.5  # type: ignore[arg-type]


def test_a_supernet_of_another_task_is_refused_before_a_step(images: Images) -> None:
    settings = edgenas.LoopSettings(epochs=1, learning_rate=1e-3)
    for task in (edgenas.Task(7), edgenas.Task(10, in_channels=1), edgenas.Task(10, image_px=64)):
        with pytest.raises(ValueError, match=r"built for Task.*images are of Task"):
            next(edgenas.train_supernet(build_supernet(SPACE, task), images, settings))


def test_a_batch_of_no_image_is_refused(images: Images) -> None:
    net = build_net(SPACE, images.task, ROW)
    with pytest.raises(ValueError, match="batch_size is 0"):
        next(edgenas.train_net(net, images, edgenas.LoopSettings(epochs=1, learning_rate=1e-3), batch_size=0))


def test_a_teacher_of_other_classes_is_refused_and_one_that_fits_teaches(images: Images) -> None:
    settings = edgenas.LoopSettings(epochs=1, learning_rate=1e-3)
    other, fits = (build_net(SPACE, edgenas.Task(num_classes), ROW) for num_classes in (7, 10))
    with pytest.raises(ValueError, match=r"teacher gives logits of shape \(\d+, 7\), the student of shape \(\d+, 10\)"):
        next(edgenas.train_net(build_net(SPACE, images.task, ROW), images, settings, teacher=other))
    (epoch,) = edgenas.train_net(build_net(SPACE, images.task, ROW), images, settings, teacher=fits)
    assert epoch.losses["kd_loss"] > 0


def test_images_are_resized_in_half_precision_too() -> None:
    space = edgenas.get_space("pvt-elastic-nano")
    supernet = build_supernet(space, edgenas.Task(10)).to(torch.bfloat16).eval()
    genes = tuple(int(gene) for gene in space.extreme(largest=False)[0])
    with torch.no_grad():
        assert supernet(torch.rand(2, 3, 40, 40, dtype=torch.bfloat16), genes).shape == (2, 10)
