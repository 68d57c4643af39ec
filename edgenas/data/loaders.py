"""Images as tensors: decoded once where they fit in memory, shuffled and augmented batches, whole splits for evaluation.

Shapes: N images, C channels, H and W rows and columns, K classes.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from edgenas.data.augment import Augmentation, image_transform, light
from edgenas.data.base import ImageSource
from edgenas.data.preprocess import Preprocess
from edgenas.errors import DataError

DEFAULT_MEMORY_BYTES = 2 << 30
_CHUNK = 256  # images decoded between two reports


class ImageStore:
    """The images of a source after resize, as uint8.

    A cache: what was decoded is kept where the whole set fits ``memory_bytes``, else every call decodes again.

    Args:
        source: where images come from.
        preprocess: how they are resized and normalised.
        memory_bytes: how much the decoded set may take.
        num_threads: that decode; by default one per CPU, at most 8.
    """

    def __init__(
        self,
        source: ImageSource,
        preprocess: Preprocess,
        *,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        num_threads: int | None = None,
    ) -> None:
        self.source = source
        self.preprocess = preprocess
        self.num_threads = min(8, os.cpu_count() or 1) if num_threads is None else num_threads
        shape = (len(source.labels_N), 3, preprocess.image_px, preprocess.image_px)
        self.cached = math.prod(shape) <= memory_bytes
        self._pixels_NCHW = np.empty(shape if self.cached else (0,), dtype=np.uint8)
        self._ready_N = np.zeros(shape[0], dtype=np.bool_)

    def fill(self, indices_N: NDArray[np.int64] | None = None) -> Iterator[int]:
        """Decode into the cache, reporting how many images are done; does nothing where there is no cache.

        Raises:
            DataError: naming an image that cannot be decoded.
        """
        if not self.cached:
            return
        wanted_N = np.arange(len(self._ready_N)) if indices_N is None else indices_N
        missing_N = wanted_N[~self._ready_N[wanted_N]]
        for start in range(0, len(missing_N), _CHUNK):
            chunk_N = missing_N[start : start + _CHUNK]
            self._pixels_NCHW[chunk_N] = self._decode(chunk_N)
            self._ready_N[chunk_N] = True
            yield start + len(chunk_N)

    def pixels(self, indices_N: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Resized images, uint8, shape (N, 3, H, W), a copy.

        Raises:
            DataError: naming an image that cannot be decoded.
        """
        if not self.cached:
            return self._decode(indices_N)
        for _ in self.fill(indices_N):
            pass
        return self._pixels_NCHW[indices_N]

    def _decode(self, indices_N: NDArray[np.int64]) -> NDArray[np.uint8]:
        def one(index: int) -> NDArray[np.uint8]:
            image = self.source.load(index)
            try:
                return self.preprocess.pixels(image)
            except DataError as error:
                raise DataError(f"{self.source.ids[index]}: {error.message}") from error

        if self.num_threads <= 1 or len(indices_N) < 2:
            return np.stack([one(index) for index in indices_N.tolist()])
        with ThreadPoolExecutor(self.num_threads) as pool:
            return np.stack(list(pool.map(one, indices_N.tolist())))


def arrays(store: ImageStore, indices_N: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """What a net reads of some images, float32 (N, 3, H, W), bit-equal to `Preprocess` on each, and their labels (N,).

    Raises:
        DataError: naming an image that cannot be decoded.
    """
    return store.preprocess.normalise(store.pixels(indices_N)), store.source.labels_N[indices_N]


def class_weights(labels_N: NDArray[np.int64], num_classes: int) -> NDArray[np.float32]:
    """Weights (K,) inversely proportional to class frequency, 1 on average over the images."""
    counts_K = np.bincount(labels_N, minlength=num_classes)
    weights_K: NDArray[np.float64] = len(labels_N) / (np.count_nonzero(counts_K) * np.maximum(counts_K, 1))
    return weights_K.astype(np.float32)


def batch_slices(num: int, batch_size: int) -> list[slice]:
    """Even consecutive batches of about ``batch_size``, none of a single image (which batch norm refuses) unless ``num`` is 1."""
    num_batches = max(1, min(math.ceil(num / batch_size), num // 2))
    edges = [num * position // num_batches for position in range(num_batches + 1)]
    return [slice(first, last) for first, last in itertools.pairwise(edges)]


@dataclass(frozen=True, slots=True, eq=False)
class TrainBatches:
    """Shuffled, augmented batches of one split. Epoch and step decide everything random, so any batch can be made again.

    Attributes:
        store: where images come from.
        indices_N: positions of the split in the source.
        batch_size: images a batch, give or take one.
        augmentation: see `edgenas.data.augment`.
        seed: of shuffling and augmentation.
        balanced: draw every class equally often, with replacement, instead of every image once.
    """

    store: ImageStore
    indices_N: NDArray[np.int64]
    batch_size: int
    augmentation: Augmentation = "none"
    seed: int = 0
    balanced: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1 or len(self.indices_N) == 0:
            raise ValueError(f"{len(self.indices_N)} images in batches of {self.batch_size}")

    @property
    def num_images(self) -> int:
        """Images an epoch."""
        return len(self.indices_N)

    @property
    def num_batches(self) -> int:
        """Batches an epoch."""
        return len(batch_slices(self.num_images, self.batch_size))

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Float32 images (N, 3, H, W) and int64 labels (N,) of an epoch, from batch ``first_step`` on."""
        order_N = self._order(epoch)
        transform = image_transform(self.augmentation, self.store.preprocess.image_px)
        slices = batch_slices(self.num_images, self.batch_size)
        for step in range(first_step, len(slices)):
            chosen_N = order_N[slices[step]]
            pixels_NCHW = self.store.pixels(chosen_N)
            if transform is not None:
                turned = [transform(Image.fromarray(image.transpose(1, 2, 0))) for image in pixels_NCHW]
                pixels_NCHW = np.stack([np.asarray(image).transpose(2, 0, 1) for image in turned])
            images_NCHW = torch.from_numpy(pixels_NCHW).float().div_(255)
            if self.augmentation == "light":
                images_NCHW = light(images_NCHW, _generator(self.seed, epoch, step))
            yield self._normalised(images_NCHW), torch.from_numpy(self.store.source.labels_N[chosen_N])

    def _order(self, epoch: int) -> NDArray[np.int64]:
        rng = np.random.default_rng([self.seed, epoch])
        if not self.balanced:
            return rng.permutation(self.indices_N)
        labels_N = self.store.source.labels_N[self.indices_N]
        weights_N = class_weights(labels_N, int(labels_N.max()) + 1)[labels_N].astype(np.float64)
        return rng.choice(self.indices_N, size=len(self.indices_N), p=weights_N / weights_N.sum())

    def _normalised(self, images_NCHW: Tensor) -> Tensor:
        mean_C11 = _column(self.store.preprocess.mean)
        return images_NCHW.sub_(mean_C11).div_(_column(self.store.preprocess.std))


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None, None]


def _generator(seed: int, epoch: int, step: int) -> torch.Generator:
    state = np.random.SeedSequence([seed, epoch, step]).generate_state(1, dtype=np.uint64)
    return torch.Generator().manual_seed(int(state[0]) >> 1)
