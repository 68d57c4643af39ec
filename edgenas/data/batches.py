"""Shuffled and augmented training batches, and how fast they come.

Shapes: N images, C channels, H and W rows and columns.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenas.data.augment import batch_transform, image_transform
from edgenas.data.loaders import ImageStore
from edgenas.data.order import Balance, batch_slices, epoch_length, epoch_order
from edgenas.data.preprocess import Augmentation
from edgenas.data.workers import Key, SampleImages, WorkerPlan, choose_workers, load

RATE_BATCH = 64  # most images of a batch when the rate is measured, so that one batch does not take long
_PIECE = 32  # images decoded between two looks at the clock


@dataclass(frozen=True, slots=True, eq=False)
class TrainBatches:
    """Shuffled, augmented batches of one split. Epoch and step decide everything random, so any batch can be made again.

    Batches have the same bits whatever the number of workers and whatever is cached.

    Attributes:
        store: where images come from.
        indices_N: positions of the split in the source.
        batch_size: images a batch, give or take one.
        augmentation: see `edgenas.data.augment`.
        seed: of shuffling and augmentation.
        balance: see `edgenas.data.order.epoch_order`.
        repeats: differently augmented copies of an image in a batch; needs ``balance`` none or weights.
        workers: processes that load; None decides, see `edgenas.data.workers.choose_workers`.
        flip: mirror every other image, see `edgenas.data.augment.batch_transform`.
        part: of every batch that this process makes: its number and how many processes make one together.

    Raises:
        MissingBackendError: if the package that ``augmentation`` needs is absent.
    """

    store: ImageStore
    indices_N: NDArray[np.int64]
    batch_size: int
    augmentation: Augmentation = "none"
    seed: int = 0
    balance: Balance = "none"
    repeats: int = 1
    workers: int | None = None
    flip: bool = False
    part: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        if self.batch_size < 1 or len(self.indices_N) == 0:
            raise ValueError(f"{len(self.indices_N)} images in batches of {self.batch_size}")
        if self.repeats < 1 or (self.repeats > 1 and self.balance in ("sampler", "downsample")):
            raise ValueError(f"{self.repeats} repeats with balance {self.balance}")
        image_transform(self.augmentation, self.store.preprocess.image_px)

    @property
    def num_classes(self) -> int:
        """Classes that labels are of."""
        return len(self.store.source.class_names)

    @property
    def num_images(self) -> int:
        """Images an epoch."""
        return epoch_length(self._labels(), self.balance)

    @property
    def num_batches(self) -> int:
        """Batches an epoch."""
        return len(batch_slices(self.num_images, self.batch_size))

    @property
    def plan(self) -> WorkerPlan:
        """How the next epoch is loaded on this machine."""
        value_bytes = 1 if batch_transform(self.augmentation, flip=self.flip) is None else 4
        return choose_workers(
            cached=self.store.cached,
            augmentation=self.augmentation,
            image_px=self.store.preprocess.image_px,
            batch_bytes=(self.batch_size + 1) * 3 * self.store.preprocess.image_px**2 * value_bytes,
            requested=self.workers,
        )

    def __call__(self, epoch: int, first_step: int = 0) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Float32 images (N, 3, H, W) and int64 labels (N,) of an epoch, from batch ``first_step`` on; of each its ``part``.

        Close the iterator, or use it up, to end its worker processes.

        Raises:
            DataError: naming an image that cannot be decoded; or if a worker process cannot start or dies.
        """
        chosen = self._chosen(epoch)
        mine = [self._mine(len(indices_N)) for indices_N in chosen]

        def keys() -> Iterator[list[Key]]:
            for step in range(first_step, len(chosen)):
                rows = mine[step]
                yield [(epoch, step, position, index) for position, index in enumerate(chosen[step][rows].tolist(), rows.start)]

        plan = self.plan
        wanted_N = np.concatenate([indices_N[rows] for indices_N, rows in zip(chosen, mine, strict=True)])
        for _ in self.store.fill((self.indices_N if self.part[1] == 1 else np.unique(wanted_N)) if plan.num else wanted_N[:0]):
            pass  # what workers decode would be gone with them
        transform = image_transform(self.augmentation, self.store.preprocess.image_px)
        sizes = None if self.part[1] == 1 else [len(indices_N) for indices_N in chosen]
        images = SampleImages(self.store, transform, self.seed, batch_transform(self.augmentation, flip=self.flip), sizes)
        with closing(load(images, keys, plan)) as stream:
            for step, images_NCHW in enumerate(stream, first_step):
                yield self._normalised(images_NCHW), torch.from_numpy(self.store.source.labels_N[chosen[step][mine[step]]])

    def _mine(self, num: int) -> slice:
        """This process's images of a batch of ``num``."""
        number, size = self.part
        return slice(num * number // size, num * (number + 1) // size)

    @property
    def smallest_batch(self) -> int:
        """Images of the smallest batch of an epoch."""
        return min(len(range(part.start, part.stop)) for part in batch_slices(self.num_images, self.batch_size))

    def _labels(self) -> NDArray[np.int64]:
        return self.store.source.labels_N[self.indices_N]

    def _chosen(self, epoch: int) -> list[NDArray[np.int64]]:
        """Positions in the source, batch by batch."""
        order_N = epoch_order(self._labels(), balance=self.balance, repeats=self.repeats, seed=self.seed, epoch=epoch)
        return [self.indices_N[order_N[part]] for part in batch_slices(len(order_N), self.batch_size)]

    def _normalised(self, images_NCHW: Tensor) -> Tensor:
        """Overwrites floats, which nothing else refers to."""
        if images_NCHW.dtype == torch.uint8:
            images_NCHW = images_NCHW.float().div_(255)
        mean_C11, std_C11 = _column(self.store.preprocess.mean), _column(self.store.preprocess.std)
        return images_NCHW.sub_(mean_C11).div_(std_C11)


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None, None]


@dataclass(frozen=True, slots=True)
class LoaderRate:
    """How fast training images come when nothing is trained.

    Attributes:
        images_per_second: of the loader alone.
        workers: processes that loaded.
        cached: the images were decoded already.
        num_images: that were counted.
    """

    images_per_second: float
    workers: int
    cached: bool
    num_images: int


def loader_rate(batches: TrainBatches, *, seconds: float = 2.0) -> LoaderRate:
    """Measure the loader alone for about ``seconds`` after as long a warm-up at most; one batch may take it beyond.

    A warm-up batch a worker is not counted, unless warming up takes all the time. Where images are cached, as many as can be
    decoded in ``seconds`` stand for all.

    Raises:
        DataError: naming an image that cannot be decoded; or if a worker process cannot start or dies.
    """
    batches = replace(batches, batch_size=min(batches.batch_size, RATE_BATCH))
    if batches.store.cached:
        batches = replace(batches, indices_N=_filled(batches, seconds))
    plan = batches.plan
    num_warm = max(1, plan.num)
    began = time.perf_counter()
    counts, times = [0], [began]
    with closing(_endless(batches)) as stream:
        for position, num in enumerate(stream, 1):
            now = time.perf_counter()
            if position == num_warm and now - began < seconds:
                counts, times = [0], [now]
                continue
            counts.append(num)
            times.append(now)
            if now - times[0] >= seconds:
                break
    num_images, elapsed_s = sum(counts), times[-1] - times[0]
    return LoaderRate(num_images / max(elapsed_s, 1e-9), plan.num, batches.store.cached, num_images)


def _endless(batches: TrainBatches) -> Generator[int, None, None]:
    """Images of one batch after the other, through epochs."""
    epoch = 0
    while True:
        with closing(batches(epoch)) as stream:
            for _, labels_N in stream:
                yield len(labels_N)
        epoch += 1


def _filled(batches: TrainBatches, seconds: float) -> NDArray[np.int64]:
    """Some of the images, spread over the split, that are in the cache."""
    wanted_N = np.random.default_rng(0).permutation(batches.indices_N)[: 4 * batches.batch_size]
    ends = time.perf_counter() + seconds
    for start in range(0, len(wanted_N), _PIECE):
        for _ in batches.store.fill(wanted_N[start : start + _PIECE]):
            pass
        if time.perf_counter() > ends:
            return wanted_N[: start + _PIECE]
    return wanted_N
