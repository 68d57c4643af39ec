"""Images as pixels, decoded once where they fit in memory, and whole splits for evaluation.

Shapes: N images, C channels, H and W rows and columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgenas.data.base import ImageSource
from edgenas.data.preprocess import Preprocess
from edgenas.errors import DataError
from edgenas.runs.place import threads_here

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_MEMORY_BYTES = 2 << 30
SPLIT_LIMIT_BYTES = 512 << 20  # of float32 images that are held for evaluation
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
        self.memory_bytes = memory_bytes
        self.num_threads = min(8, threads_here()) if num_threads is None else num_threads
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

    def pixels(self, indices_N: NDArray[np.int64], *, num_threads: int | None = None) -> NDArray[np.uint8]:
        """Resized images, uint8, shape (N, 3, H, W), a copy; without a cache decoded by ``num_threads``, the store's by default.

        Raises:
            DataError: naming an image that cannot be decoded.
        """
        if not self.cached:
            return self._decode(indices_N, num_threads)
        for _ in self.fill(indices_N):
            pass
        return self._pixels_NCHW[indices_N]

    def _decode(self, indices_N: NDArray[np.int64], num_threads: int | None = None) -> NDArray[np.uint8]:
        def one(index: int) -> NDArray[np.uint8]:
            image = self.source.load(index)
            try:
                return self.preprocess.pixels(image)
            except DataError as error:
                raise DataError(f"{self.source.ids[index]}: {error.message}") from error

        num_threads = self.num_threads if num_threads is None else num_threads
        result_NCHW = np.empty((len(indices_N), 3, self.preprocess.image_px, self.preprocess.image_px), dtype=np.uint8)
        if num_threads <= 1 or len(indices_N) < 2:
            for row, index in enumerate(indices_N.tolist()):
                result_NCHW[row] = one(index)
            return result_NCHW
        with ThreadPoolExecutor(num_threads) as pool:
            for row, image_CHW in enumerate(pool.map(one, indices_N.tolist())):
                result_NCHW[row] = image_CHW
        return result_NCHW


def arrays(store: ImageStore, indices_N: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """What a net reads of some images, float32 (N, 3, H, W), bit-equal to `Preprocess` on each, and their labels (N,).

    Raises:
        DataError: naming an image that cannot be decoded.
    """
    return store.preprocess.normalise(store.pixels(indices_N)), store.source.labels_N[indices_N]


@dataclass(frozen=True, slots=True, eq=False)
class LazyImages:
    """Some images as float32 (N, 3, H, W), decoded in threads when they are asked for; bit-equal to `arrays`.

    Attributes:
        store: where images come from; one with a cache decodes once.
        indices_N: positions in the source.
    """

    store: ImageStore
    indices_N: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices_N)

    def __getitem__(self, key: slice | NDArray[np.int64], /) -> Tensor:
        """Normalised images of a slice or of some rows, a new tensor on the CPU.

        Raises:
            DataError: naming an image that cannot be decoded.
        """
        import torch

        return torch.from_numpy(self.store.preprocess.normalise(self.store.pixels(self.indices_N[key])))


@dataclass(frozen=True, slots=True, eq=False)
class HeldImages:
    """Some images as float32 (N, 3, H, W), normalised when they are asked for; bit-equal to `arrays`.

    Attributes:
        preprocess: normalises.
        pixels_NCHW: of all of them, uint8.
    """

    preprocess: Preprocess
    pixels_NCHW: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.pixels_NCHW)

    def __getitem__(self, key: slice | NDArray[np.int64], /) -> Tensor:
        """Normalised images of a slice or of some rows, a new tensor on the CPU."""
        import torch

        return torch.from_numpy(self.preprocess.normalise(self.pixels_NCHW[key]))


def held(images: LazyImages) -> LazyImages | HeldImages:
    """Images that are asked for again and again, decoded once, where their store keeps none and its bound leaves room for these."""
    store, num = images.store, len(images)
    if store.cached or num * 3 * store.preprocess.image_px**2 > store.memory_bytes:
        return images
    return HeldImages(store.preprocess, store.pixels(images.indices_N))


def read_split(
    store: ImageStore, indices_N: NDArray[np.int64], *, limit_bytes: int = SPLIT_LIMIT_BYTES
) -> NDArray[np.float32] | LazyImages:
    """Images for evaluation: an array where it takes at most ``limit_bytes`` as float32, else read when they are asked for.

    Raises:
        DataError: naming an image that cannot be decoded.
    """
    if len(indices_N) * 3 * store.preprocess.image_px**2 * 4 > limit_bytes:
        return LazyImages(store, indices_N)
    return arrays(store, indices_N)[0]
