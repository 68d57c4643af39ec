"""A picture in 1,056 bytes: what it looks like whatever its size, to find pictures that are nearly the same.

Shapes: N images, D bytes of a sketch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 32  # of the grey picture
_COARSE = 4  # side of the two pictures of colour
_SMALLEST = 8  # pixels along a side
BYTES = SIDE * SIDE + 2 * _COARSE * _COARSE


def sketch(image: Image.Image) -> NDArray[np.uint8]:
    """Luminance at 32 x 32, then blue and red difference at 4 x 4, shape (D,).

    Pillow's triangle filter averages over what a pixel of the sketch covers, so that noise of single pixels is smoothed and a
    resized copy gives nearly the same.

    Pictures of fewer than 8 pixels along a side are 0 throughout: they have too little to be recognised by.

    Args:
        image: mode RGB.
    """
    if min(image.size) < _SMALLEST:
        return np.zeros(BYTES, dtype=np.uint8)
    small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    planes_HWC = np.asarray(small.convert("YCbCr"))
    step = SIDE // _COARSE
    colour_HWC = planes_HWC[..., 1:].astype(np.float32).reshape(_COARSE, step, _COARSE, step, 2).mean((1, 3))
    return np.concatenate([planes_HWC[..., 0].ravel(), np.rint(colour_HWC).astype(np.uint8).ravel()])


def grey_of(sketches_ND: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Luminance, shape (N, 32, 32)."""
    return sketches_ND[:, : SIDE * SIDE].astype(np.float32).reshape(-1, SIDE, SIDE)


def colour_of(sketches_ND: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Blue and red difference, 0 where grey, shape (N, 32)."""
    return sketches_ND[:, SIDE * SIDE :].astype(np.float32) - 128


def pooled(pictures_NHW: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Means over squares of ``step`` x ``step``."""
    sums_NHW = np.zeros((len(pictures_NHW), *(side // step for side in pictures_NHW.shape[1:])), dtype=np.float32)
    for row in range(step):
        for column in range(step):
            sums_NHW += pictures_NHW[:, row::step, column::step]
    sums_NHW /= step * step
    return sums_NHW


def normed(pictures_NHW: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pictures as vectors of mean 0 and length 1, shape (N, H * W), without brightness and contrast; 0 where all is one grey."""
    rows_NP = pictures_NHW.reshape(len(pictures_NHW), -1)
    rows_NP = rows_NP - rows_NP.mean(1, keepdims=True)
    result: NDArray[np.float32] = rows_NP / np.maximum(np.linalg.norm(rows_NP, axis=1, keepdims=True), 1e-6)
    return result
