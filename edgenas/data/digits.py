"""Scikit-learn's 1,797 scanned digits of 8 x 8 pixels, which come with the package.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI (1998), its test part.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True, slots=True, eq=False)
class Digits:
    """Grey 8 x 8 images; the scans' 0..16 become ``(255 v + 8) // 16``."""

    pixels_NHW: NDArray[np.uint8]
    labels_N: NDArray[np.int64]
    name: str = "digits"
    class_names: tuple[str, ...] = tuple("0123456789")
    groups: tuple[str, ...] | None = None
    sites: tuple[str, ...] | None = None
    published_split: tuple[str, ...] | None = None
    file_keys: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    default_space: str = "pvt-nano"
    default_image_px: int = 32
    default_positive: str | None = "8"

    @property
    def ids(self) -> tuple[str, ...]:
        """``digits/0000`` and so on, in scikit-learn's order."""
        return tuple(f"digits/{index:04d}" for index in range(len(self.labels_N)))

    def path(self, index: int) -> Path | None:
        """None: the images share files."""
        return None

    def load(self, index: int) -> Image.Image:
        """One scan, mode L."""
        return Image.fromarray(self.pixels_NHW[index])

    def content(self, index: int) -> bytes:
        """The scan's 64 pixels."""
        return bytes(self.pixels_NHW[index].tobytes())


def open_digits(argument: str | None) -> Digits:
    """The digits of the installed scikit-learn; takes no argument."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    scans_NHW = bunch.images.astype(np.int64)
    return Digits(((scans_NHW * 255 + 8) // 16).astype(np.uint8), bunch.target.astype(np.int64))
