"""Scikit-learn's 1,797 scanned digits of 8 x 8 pixels, which come with the package.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI (1998), its test part.
"""

from __future__ import annotations

from importlib.metadata import distribution

import numpy as np
from numpy.typing import NDArray

from edgenas.data.arrays import ArrayImages


def as_digits(pixels_NHW: NDArray[np.uint8], labels_N: NDArray[np.int64]) -> ArrayImages:
    """Grey images of digits, with ids ``digits/0000`` and so on."""
    return ArrayImages(
        name="digits",
        class_names=tuple("0123456789"),
        ids=tuple(f"digits/{index:04d}" for index in range(len(labels_N))),
        pixels_NHW=pixels_NHW,
        labels_N=labels_N,
        default_positive="8",
    )


def open_digits(argument: str | None) -> ArrayImages:
    """The digits of the installed scikit-learn, their 0..16 as ``(255 v + 8) // 16``; takes no argument."""
    scans_NHW, labels_N = _scans()
    return as_digits(((scans_NHW * 255 + 8) // 16).astype(np.uint8), labels_N)


def _scans() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Values from 0 to 16 and labels, from scikit-learn's file where it stands; importing the package takes a second."""
    path = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    try:
        rows = np.loadtxt(str(path), delimiter=",", dtype=np.int64)
    except OSError:  # a package that keeps it elsewhere, which it knows itself
        from sklearn.datasets import load_digits

        bunch = load_digits()
        return bunch.images.astype(np.int64), bunch.target.astype(np.int64)
    return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1]
