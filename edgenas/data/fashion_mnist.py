"""Fashion-MNIST from its four IDX files, plain or gzipped.

Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST" (2017, arXiv:1708.07747); the IDX format is described with MNIST (LeCun et al.).
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenas.data.arrays import ArrayImages, numbered
from edgenas.data.files import read_file
from edgenas.errors import DataError
from edgenas.runs.outside import MAX_TEXT_BYTES, size_words

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist
PACKAGE_HINT = "install it with: apt-get install dataset-fashion-mnist, or write fashion-mnist:DIR"
_PARTS = (("train", "train"), ("t10k", "test"))
_STEMS = tuple((f"{stem}-images-idx3-ubyte", f"{stem}-labels-idx1-ubyte", part) for stem, part in _PARTS)
_CLASS_NAMES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")


def read_idx(path: Path, num_axes: int) -> NDArray[np.uint8]:
    """An array of unsigned bytes with ``num_axes`` axes from an IDX file, unpacked when its name ends in .gz.

    Raises:
        DataError: if it cannot be read, is of another type, or is shorter or longer than its header says.
    """
    try:
        data = read_file(path)
        data = _unpacked(data, path) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    header = 4 + 4 * num_axes
    if len(data) < header or data[:4] != bytes((0, 0, 8, num_axes)):
        raise DataError(f"{path} is no IDX file of {num_axes} axes of unsigned bytes")
    shape = tuple(int(size) for size in np.frombuffer(data[4:header], dtype=">u4"))
    expected = math.prod(shape)  # of whole numbers without a limit: a damaged header must not overflow
    if len(data) - header != expected:
        raise DataError(f"{path} holds {len(data) - header} bytes after its header; {shape} needs {expected}")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


def _unpacked(data: bytes, path: Path) -> bytes:
    """What a gzipped file holds; a few kilobytes may be told to become terabytes."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        content = file.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        raise DataError(f"{path} unpacks to more than {size_words(MAX_TEXT_BYTES)}, which nothing of its kind does")
    return content


def _locate(folder: Path, stem: str) -> Path | None:
    return next((path for path in _candidates(folder, stem) if path.is_file()), None)


def _candidates(folder: Path, stem: str) -> tuple[Path, Path]:
    return folder / stem, folder / f"{stem}.gz"


def fashion_mnist_files(argument: str | None) -> tuple[Path, ...]:
    """All files that `open_fashion_mnist` may read, whether they are there or not."""
    folder = DEBIAN_FOLDER if argument is None else Path(argument)
    return tuple(path for images, labels, _ in _STEMS for stem in (images, labels) for path in _candidates(folder, stem))


def open_fashion_mnist(argument: str | None) -> ArrayImages:
    """Read the four files in the folder ``argument``, by default where Debian's package puts them.

    Raises:
        DataError: naming every missing file and the package, or what does not fit.
    """
    folder = DEBIAN_FOLDER if argument is None else Path(argument)
    paths = {stem: _locate(folder, stem) for images, labels, _ in _STEMS for stem in (images, labels)}
    missing = [f"{folder / stem}[.gz] is missing" for stem, path in paths.items() if path is None]
    if missing:
        raise DataError(f"Fashion-MNIST is not in {folder}", problems=missing, hint=PACKAGE_HINT)
    images, labels, parts = [], [], []
    for image_stem, label_stem, part in _STEMS:
        image_path, label_path = paths[image_stem], paths[label_stem]
        assert image_path is not None
        assert label_path is not None
        pixels_NHW, labels_N = read_idx(image_path, 3), read_idx(label_path, 1)
        if len(pixels_NHW) != len(labels_N) or pixels_NHW.shape[1:] != (28, 28) or (labels_N > 9).any():
            raise DataError(f"{image_path} {pixels_NHW.shape} and {label_path} {labels_N.shape} do not belong together")
        images.append(pixels_NHW)
        labels.append(labels_N.astype(np.int64))
        parts += [part] * len(labels_N)
    name = "fashion-mnist" if argument is None else f"fashion-mnist:{argument}"
    return ArrayImages(name, _CLASS_NAMES, numbered(parts), np.concatenate(images), np.concatenate(labels), tuple(parts))
