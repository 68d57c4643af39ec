"""Hashes that tell whether an image is one that was seen before."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from edgenas.data.base import ImageSource


def content_hashes(source: ImageSource, indices_N: NDArray[np.int64]) -> list[str]:
    """Hex SHA-256 of some images as they are stored, in order: of a file's bytes, or of what else the source calls its content.

    Raises:
        DataError: naming an image that cannot be read.
    """
    return [hashlib.sha256(source.content(index)).hexdigest() for index in indices_N.tolist()]
