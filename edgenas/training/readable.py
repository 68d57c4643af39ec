"""Images as nets read them, whether they are arrays, tensors or read when they are asked for.

Shapes: N images, C channels, H and W rows and columns.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class ImageSequence(Protocol):
    """Normalised images that are read when they are asked for, e.g. `edgenas.data.loaders.LazyImages`."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: slice | NDArray[np.int64], /) -> Tensor:
        """Float32, shape (N, C, H, W), on the CPU."""
        ...


ReadableImages = NDArray[np.float32] | Tensor | ImageSequence


def readable(images_NCHW: ReadableImages) -> Tensor | ImageSequence:
    """Arrays as tensors that share their memory, anything else as it is."""
    return torch.from_numpy(images_NCHW) if isinstance(images_NCHW, np.ndarray) else images_NCHW
