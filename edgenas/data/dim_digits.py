"""Scikit-learn's real digits as a cheap camera sees them in low light: shifted, blurred, dim, noisy.

The digits as they are tell nets apart badly: nearly all nets read nearly all of them. These are the same scans, each seen once,
made hard by what optics and sensors do, always in the same way: enlarged, moved by up to four pixels, blurred, darkened to between
an eighth and a half of the light, photons counted (Poisson), the sensor's own noise added, rounded to eight bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from edgenas.data.arrays import ArrayImages
from edgenas.data.digits import open_digits

SIDE_PX = 24
DIGIT_PX = 16  # side that a scan of 8 px is enlarged to
SHIFT_PX = 4  # at most, in either direction
BLUR_PX = (0.6, 1.6)  # radius
LIGHT = (0.125, 0.5)  # share of the full range that the brightest stroke reaches
PHOTONS = 120.0  # that a pixel of full range counts
SENSOR_NOISE = 0.03  # standard deviation, in shares of the full range
_SEED = 1998  # the year of the scans: any number will do, as long as it is always the same
NOTE = (
    "real digits made hard as a cheap camera in low light sees them (moved, blurred, dim, noisy), the same in every run: "
    "no camera took these pictures"
)


def open_dim_digits(argument: str | None) -> ArrayImages:
    """The digits of the installed scikit-learn, degraded; takes no argument."""
    clean = open_digits(argument)
    seen_NHW = np.stack([_seen(pixels_HW, index) for index, pixels_HW in enumerate(clean.pixels_NHW)])
    return ArrayImages(
        name="dim-digits",
        class_names=clean.class_names,
        ids=tuple(f"dim-{each}" for each in clean.ids),
        pixels_NHW=seen_NHW,
        labels_N=clean.labels_N,
        notes=(NOTE,),
        default_positive=clean.default_positive,
    )


def _seen(pixels_HW: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
    """One scan through the camera; ``index`` alone decides what is random."""
    rng = np.random.default_rng([_SEED, index])
    enlarged = Image.fromarray(pixels_HW).resize((DIGIT_PX, DIGIT_PX), Image.Resampling.BICUBIC)
    room = (SIDE_PX - DIGIT_PX) // 2
    across, down = (int(shift) for shift in rng.integers(-SHIFT_PX, SHIFT_PX, size=2, endpoint=True))
    canvas = Image.new("L", (SIDE_PX, SIDE_PX))
    canvas.paste(enlarged, (room + across, room + down))
    blurred = canvas.filter(ImageFilter.GaussianBlur(float(rng.uniform(*BLUR_PX))))
    light_HW = np.asarray(blurred, dtype=np.float64) / 255 * rng.uniform(*LIGHT)
    counted_HW = rng.poisson(light_HW * PHOTONS) / PHOTONS + rng.normal(0, SENSOR_NOISE, light_HW.shape)
    return np.clip(np.round(255 * counted_HW), 0, 255).astype(np.uint8)
