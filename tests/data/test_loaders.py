from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgenas.data import open_source
from edgenas.data.augment import Augmentation, light
from edgenas.data.digits import Digits
from edgenas.data.loaders import ImageStore, TrainBatches, arrays, batch_slices, class_weights
from edgenas.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from edgenas.errors import DataError

PREP = Preprocess(16, IMAGENET_MEAN, IMAGENET_STD)


def tiny_source(num: int = 23) -> Digits:
    rng = np.random.default_rng(0)
    return Digits(rng.integers(0, 256, (num, 8, 8), dtype=np.uint8), np.arange(num) % 10)


@given(num=st.integers(2, 400), batch_size=st.integers(1, 64))
def test_batches_are_even_and_never_a_single_image(num: int, batch_size: int) -> None:
    sizes = [len(range(num)[part]) for part in batch_slices(num, batch_size)]
    assert sum(sizes) == num
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= max(batch_size + 1, 3)


def test_a_single_image_is_one_batch() -> None:
    assert batch_slices(1, 8) == [slice(0, 1)]


@pytest.mark.parametrize("memory_bytes", [0, 1 << 30])
def test_arrays_are_what_the_preprocessing_gives_for_each_image(memory_bytes: int) -> None:
    source = tiny_source()
    store = ImageStore(source, PREP, memory_bytes=memory_bytes)
    assert store.cached is (memory_bytes > 0)
    images_NCHW, labels_N = arrays(store, np.array([5, 2, 2]))
    assert images_NCHW.dtype == np.float32
    assert all(np.array_equal(images_NCHW[row], PREP(source.load(index))) for row, index in enumerate((5, 2, 2)))
    assert labels_N.tolist() == [5, 2, 2]


def test_filling_the_cache_reports_how_far_it_is() -> None:
    store = ImageStore(tiny_source(600), PREP)
    assert list(store.fill()) == [256, 512, 600]
    assert list(store.fill()) == []


def test_an_image_that_cannot_be_converted_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Digits, "load", lambda self, index: Image.new("La", (8, 8)))
    with pytest.raises(DataError, match="digits/0003: an image of mode La"):
        ImageStore(tiny_source(), PREP).pixels(np.array([3]))


@pytest.mark.parametrize("augmentation", ["none", "light"])
def test_every_image_comes_once_an_epoch_with_its_label(augmentation: Augmentation) -> None:
    source = tiny_source()
    batches = TrainBatches(ImageStore(source, PREP), np.arange(3, 23), 8, augmentation)
    parts = list(batches(0))
    assert len(parts) == batches.num_batches == 3
    labels_N = torch.cat([labels for _, labels in parts])
    assert sorted(labels_N.tolist()) == sorted(source.labels_N[3:].tolist())
    assert all(images.shape[1:] == (3, 16, 16) and images.dtype == torch.float32 for images, _ in parts)


def test_unaugmented_batches_equal_the_arrays() -> None:
    store = ImageStore(tiny_source(), PREP)
    batches = TrainBatches(store, np.arange(23), 8)
    images_NCHW, labels_N = next(batches(0))
    expected = {arrays(store, np.array([index]))[0].tobytes() for index in range(23)}
    assert all(image.numpy().tobytes() in expected for image in images_NCHW)
    assert len(labels_N) == 7


@pytest.mark.parametrize("augmentation", ["none", "light"])
def test_any_batch_can_be_made_again(augmentation: Augmentation) -> None:
    batches = TrainBatches(ImageStore(tiny_source(), PREP), np.arange(23), 8, augmentation, seed=5)
    whole = list(batches(3))
    tail = list(batches(3, first_step=1))
    assert all(torch.equal(a, b) for first, second in zip(whole[1:], tail, strict=True) for a, b in zip(first, second, strict=True))


def test_epochs_and_seeds_differ() -> None:
    store = ImageStore(tiny_source(), PREP)
    orders = {
        tuple(torch.cat([labels for _, labels in TrainBatches(store, np.arange(23), 8, seed=seed)(epoch)]).tolist())
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    }
    assert len(orders) == 3


@pytest.mark.parametrize("augmentation", ["base", "autoaug"])
def test_image_transforms_keep_the_shape_and_follow_the_global_seed(augmentation: Augmentation) -> None:
    batches = TrainBatches(ImageStore(tiny_source(), PREP), np.arange(23), 8, augmentation)

    def first() -> torch.Tensor:
        torch.manual_seed(0)
        random.seed(0)
        return next(batches(0))[0]

    assert first().shape == (7, 3, 16, 16)
    assert torch.equal(first(), first())


def test_balanced_batches_draw_rare_classes_as_often() -> None:
    source = Digits(np.zeros((400, 8, 8), dtype=np.uint8), np.repeat([0, 1], [380, 20]))
    batches = TrainBatches(ImageStore(source, PREP), np.arange(400), 50, balanced=True)
    labels_N = torch.cat([labels for _, labels in batches(0)])
    assert len(labels_N) == 400
    assert 150 < int(labels_N.sum()) < 250


def test_class_weights_are_inverse_frequencies_with_mean_one() -> None:
    labels_N = np.repeat([0, 1], [30, 10])
    weights_K = class_weights(labels_N, 2)
    assert np.isclose(weights_K[1] / weights_K[0], 3)
    assert np.isclose(weights_K[labels_N].mean(), 1)


def test_light_changes_each_image_on_its_own_and_a_little() -> None:
    source = open_source("digits")
    store = ImageStore(source, Preprocess(32, IMAGENET_MEAN, IMAGENET_STD))
    images_NCHW = torch.from_numpy(store.pixels(np.zeros(8, dtype=np.int64))).float() / 255
    changed_NCHW = light(images_NCHW, torch.Generator().manual_seed(0))
    assert not torch.equal(changed_NCHW[0], changed_NCHW[1])
    shared = torch.corrcoef(torch.stack([images_NCHW[0].flatten(), changed_NCHW[0].flatten()]))[0, 1]
    assert shared > 0.6
    assert torch.equal(changed_NCHW, light(images_NCHW, torch.Generator().manual_seed(0)))


def test_no_images_is_a_wrong_argument() -> None:
    with pytest.raises(ValueError, match="0 images"):
        TrainBatches(ImageStore(tiny_source(), PREP), np.arange(0), 8)
