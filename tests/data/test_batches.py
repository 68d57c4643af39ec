from __future__ import annotations

import importlib.util
import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from edgenas.data.arrays import ArrayImages
from edgenas.data.batches import LoaderRate, TrainBatches, loader_rate
from edgenas.data.digits import as_digits
from edgenas.data.loaders import ImageStore, arrays
from edgenas.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Augmentation, Preprocess

PREP = Preprocess(16, IMAGENET_MEAN, IMAGENET_STD)
NEEDS_TORCHIO = pytest.mark.skipif(importlib.util.find_spec("torchio") is None, reason="torchio is not installed")
ALL = ["none", "light", "crop", "base", "autoaug", "randaug", "deit", pytest.param("torchio", marks=NEEDS_TORCHIO)]
ALL_NAMES = ("deit", "torchio", "none", "light", "crop", "base", "autoaug", "randaug")
Batch = tuple[torch.Tensor, torch.Tensor]


def tiny_source(num: int = 23) -> ArrayImages:
    rng = np.random.default_rng(0)
    return as_digits(rng.integers(0, 256, (num, 8, 8), dtype=np.uint8), np.arange(num) % 10)


def tiny_batches(augmentation: Augmentation = "none", *, memory_bytes: int = 1 << 30, **options: int) -> TrainBatches:
    store = ImageStore(tiny_source(), PREP, memory_bytes=memory_bytes)
    return TrainBatches(store, np.arange(23), 8, augmentation, **options)  # type: ignore[arg-type]


def same(first: list[Batch], second: list[Batch]) -> bool:
    pairs = list(zip(first, second, strict=True))
    return all(torch.equal(a, b) for batches in pairs for a, b in zip(*batches, strict=True))


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
    batches = tiny_batches()
    images_NCHW, labels_N = next(batches(0))
    expected = {arrays(batches.store, np.array([index]))[0].tobytes() for index in range(23)}
    assert all(image.numpy().tobytes() in expected for image in images_NCHW)
    assert len(labels_N) == 7


@pytest.mark.parametrize(
    "augmentation",
    [
        *("none", "deit"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("light", "crop", "base", "autoaug", "randaug")),
        pytest.param("torchio", marks=[pytest.mark.slow, NEEDS_TORCHIO]),
    ],
)
def test_bits_do_not_depend_on_workers_cache_first_step_or_global_generators(augmentation: Augmentation) -> None:
    torch.manual_seed(1)
    whole = list(tiny_batches(augmentation, seed=5, workers=0)(3))
    torch.manual_seed(2)
    ways = ((1, 0), (3, 0), (2, 1 << 30), (0, 0))
    chosen = ways if augmentation == "deit" else ways[ALL_NAMES.index(augmentation) % 2 :: 2]  # workers are slow to start
    for workers, memory_bytes in chosen:
        batches = tiny_batches(augmentation, memory_bytes=memory_bytes, seed=5, workers=workers)
        assert same(whole, list(batches(3))), (workers, memory_bytes)
        assert same(whole[2:], list(batches(3, first_step=2))), (workers, memory_bytes)
    assert not torch.equal(whole[0][0], next(tiny_batches(augmentation, seed=5, workers=0)(4))[0])


@pytest.mark.parametrize("augmentation", ALL)
@pytest.mark.parametrize("balance", ["none", "downsample"])
def test_processes_make_the_parts_of_a_batch_as_one_makes_the_whole(augmentation: Augmentation, balance: str) -> None:
    options = {"seed": 5, "workers": 0, "flip": True, "balance": balance}
    whole = list(tiny_batches(augmentation, **options)(3))  # type: ignore[arg-type]
    parts = [list(tiny_batches(augmentation, part=(number, 3), **options)(3, 0)) for number in range(3)]  # type: ignore[arg-type]
    for step, (images_NCHW, labels_N) in enumerate(whole):
        assert torch.equal(torch.cat([part[step][0] for part in parts]), images_NCHW)
        assert torch.equal(torch.cat([part[step][1] for part in parts]), labels_N)
        assert len(labels_N) >= 6
    if (augmentation, balance) not in (("none", "none"), ("base", "downsample")):
        return  # workers are slow to start, and what they do does not depend on it
    with_workers = list(tiny_batches(augmentation, part=(1, 3), **{**options, "workers": 2})(3))  # type: ignore[arg-type]
    assert same(parts[1], with_workers)


def test_epochs_and_seeds_differ() -> None:
    orders = {
        tuple(torch.cat([labels for _, labels in tiny_batches(seed=seed)(epoch)]).tolist())
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    }
    assert len(orders) == 3


@pytest.mark.parametrize("augmentation", ["light", "base"])
def test_repeats_are_augmented_differently_and_decoded_once(augmentation: Augmentation, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    load = ArrayImages.load
    monkeypatch.setattr(ArrayImages, "load", lambda self, index: read.append(index) or load(self, index))
    images_NCHW, labels_N = next(tiny_batches(augmentation, memory_bytes=0, repeats=3, workers=0)(0))
    assert labels_N[:6].tolist() == [labels_N[0]] * 3 + [labels_N[3]] * 3
    assert len({image.numpy().tobytes() for image in images_NCHW}) == 7
    assert len(read) == 3


def test_downsampled_epochs_are_as_long_as_they_say() -> None:
    source = as_digits(np.zeros((40, 8, 8), dtype=np.uint8), np.repeat([0, 1], [35, 5]))
    batches = TrainBatches(ImageStore(source, PREP), np.arange(40), 4, balance="downsample")
    parts = [labels for _, labels in batches(0)]
    assert len(parts) == batches.num_batches == 3
    assert torch.cat(parts).bincount().tolist() == [5, 5]
    assert batches.num_images == 10


@pytest.mark.parametrize(("num", "options"), [(0, {}), (8, {"repeats": 0}), (8, {"repeats": 2, "balance": "sampler"})])
def test_impossible_batches_are_wrong_arguments(num: int, options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"0 images|repeats"):
        TrainBatches(ImageStore(tiny_source(), PREP), np.arange(num), 8, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("memory_bytes", "workers"), [(0, 1), (1 << 30, 0)])
def test_the_rate_goes_through_epochs_and_says_how_it_was_loaded(
    memory_bytes: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count()  # a clock that a busy machine does not hurry: a look at it takes a hundredth of a second
    monkeypatch.setattr("edgenas.data.batches.time", SimpleNamespace(perf_counter=lambda: next(ticks) / 100))
    rate = loader_rate(tiny_batches(memory_bytes=memory_bytes, workers=workers), seconds=0.5)
    assert rate == LoaderRate(rate.images_per_second, workers, memory_bytes > 0, rate.num_images)
    assert rate.num_images > 23
    assert rate.num_images / 120 < rate.images_per_second < rate.num_images / 0.4


@pytest.mark.parametrize("memory_bytes", [0, 1 << 30])
def test_measuring_a_slow_loader_takes_little_longer_than_asked(memory_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(self: ArrayImages, index: int) -> Image.Image:
        time.sleep(0.03)
        return Image.fromarray(self.pixels_NHW[index])

    monkeypatch.setattr(ArrayImages, "load", slow)
    store = ImageStore(tiny_source(2000), PREP, memory_bytes=memory_bytes, num_threads=1)
    began = time.perf_counter()
    rate = loader_rate(TrainBatches(store, np.arange(2000), 500, workers=0), seconds=0.1)
    assert time.perf_counter() - began < 12  # a whole batch takes 15
    assert rate.num_images >= 32
    if not store.cached:
        assert 1 < rate.images_per_second <= 34


def test_a_thousand_classes_of_files_load_alike_with_and_without_workers(tmp_path: Path) -> None:
    from edgenas.data import open_source

    rng = np.random.default_rng(0)
    for label in range(1000):
        for part in ("train", "val"):
            folder = tmp_path / part / f"n{label:08d}"
            folder.mkdir(parents=True)
            Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(folder / f"{part}_{label}.JPEG")
    source = open_source(f"folder:{tmp_path}")
    assert len(source.class_names) == 1000
    assert source.published_split is not None
    train_N = np.flatnonzero(np.array(source.published_split) == "train")
    store = ImageStore(source, PREP, memory_bytes=0)
    epochs = [list(TrainBatches(store, train_N, 256, "randaug", repeats=3, workers=workers)(0)) for workers in (0, 2)]
    assert same(*epochs)
    labels_N = torch.cat([labels for _, labels in epochs[0]])
    assert len(labels_N) == 1000
    assert labels_N.bincount().unique().tolist() == [0, 1, 3]
