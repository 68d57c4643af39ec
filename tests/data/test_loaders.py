from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from edgenas.data.arrays import ArrayImages
from edgenas.data.digits import as_digits
from edgenas.data.loaders import HeldImages, ImageStore, LazyImages, arrays, held, read_split
from edgenas.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from edgenas.errors import DataError

PREP = Preprocess(16, IMAGENET_MEAN, IMAGENET_STD)


def tiny_source(num: int = 23) -> ArrayImages:
    rng = np.random.default_rng(0)
    return as_digits(rng.integers(0, 256, (num, 8, 8), dtype=np.uint8), np.arange(num) % 10)


@pytest.mark.parametrize("memory_bytes", [0, 1 << 30])
def test_arrays_are_what_the_preprocessing_gives_for_each_image(memory_bytes: int) -> None:
    source = tiny_source()
    store = ImageStore(source, PREP, memory_bytes=memory_bytes)
    assert store.cached is (memory_bytes > 0)
    images_NCHW, labels_N = arrays(store, np.array([5, 2, 2]))
    assert images_NCHW.dtype == np.float32
    assert all(np.array_equal(images_NCHW[row], PREP(source.load(index))) for row, index in enumerate((5, 2, 2)))
    assert labels_N.tolist() == [5, 2, 2]


@pytest.mark.parametrize("num_threads", [1, 4])
def test_threads_do_not_change_pixels(num_threads: int) -> None:
    store = ImageStore(tiny_source(), PREP, memory_bytes=0, num_threads=2)
    indices_N = np.arange(23)[::-1]
    assert np.array_equal(store.pixels(indices_N, num_threads=num_threads), store.pixels(indices_N))


def test_filling_the_cache_reports_how_far_it_is() -> None:
    store = ImageStore(tiny_source(600), PREP)
    assert list(store.fill()) == [256, 512, 600]
    assert list(store.fill()) == []


def test_an_image_that_cannot_be_converted_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ArrayImages, "load", lambda self, index: Image.new("La", (8, 8)))
    with pytest.raises(DataError, match="digits/0003: an image of mode La"):
        ImageStore(tiny_source(), PREP).pixels(np.array([3]))


@pytest.mark.parametrize("memory_bytes", [0, 1 << 30])
@pytest.mark.parametrize("key", [slice(2, 5), slice(6, 99), slice(9, 9), np.array([3, 3, 0]), np.array([], dtype=np.int64)])
def test_lazily_read_images_are_the_arrays_rows(memory_bytes: int, key: slice | np.ndarray) -> None:
    store = ImageStore(tiny_source(), PREP, memory_bytes=memory_bytes)
    indices_N = np.array([20, 3, 7, 7, 1, 22, 0, 5])
    lazily = LazyImages(store, indices_N)
    assert len(lazily) == 8
    assert torch.equal(lazily[key], torch.from_numpy(arrays(store, indices_N)[0][key]))


def test_lazily_read_images_are_decoded_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    load = ArrayImages.load
    monkeypatch.setattr(ArrayImages, "load", lambda self, index: read.append(index) or load(self, index))
    lazily = LazyImages(ImageStore(tiny_source(), PREP, memory_bytes=0), np.arange(23))
    assert read == []
    assert lazily[4:6].shape == (2, 3, 16, 16)
    assert sorted(read) == [4, 5]


def test_a_split_is_an_array_up_to_the_limit_and_lazily_read_above() -> None:
    store, indices_N = ImageStore(tiny_source(), PREP), np.arange(10)
    num_bytes = 10 * 3 * 16 * 16 * 4
    held = read_split(store, indices_N, limit_bytes=num_bytes)
    assert isinstance(held, np.ndarray)
    assert held.nbytes == num_bytes
    lazily = read_split(store, indices_N, limit_bytes=num_bytes - 1)
    assert isinstance(lazily, LazyImages)
    assert np.array_equal(lazily[:].numpy(), held)


def test_images_that_the_cache_has_no_room_for_are_decoded_once_where_their_split_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    indices_N, num_bytes = np.array([20, 3, 7, 1]), 4 * 3 * 16 * 16
    store = ImageStore(tiny_source(), PREP, memory_bytes=num_bytes)
    assert not store.cached
    kept = held(LazyImages(store, indices_N))
    assert isinstance(kept, HeldImages)
    monkeypatch.setattr(ArrayImages, "load", None)  # nothing is decoded again
    assert len(kept) == 4
    expected = torch.from_numpy(PREP.normalise(kept.pixels_NCHW))
    for key in (slice(1, 3), np.array([3, 0, 0])):
        assert torch.equal(kept[key], expected[key])


def test_images_are_read_when_they_are_asked_for_where_they_fit_nowhere_or_are_kept_already() -> None:
    for memory_bytes in (0, 1 << 30):
        lazily = LazyImages(ImageStore(tiny_source(), PREP, memory_bytes=memory_bytes), np.arange(4))
        assert held(lazily) is lazily
