"""CIFAR-10 and CIFAR-100 from their binary versions.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009). A record is a label byte (CIFAR-100: the
coarse label, then the fine one) and 3,072 bytes of pixels: the red, green and blue planes of 32 x 32, row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenas.data.arrays import ArrayImages, numbered
from edgenas.data.files import is_file, read_text
from edgenas.errors import DataError

_SIDE_PX = 32
_PIXEL_BYTES = 3 * _SIDE_PX * _SIDE_PX
_CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True, slots=True)
class _Version:
    """How one of the two data sets is laid out.

    Attributes:
        title: for messages.
        folder: what its archive unpacks to.
        files: each with its published part.
        label_bytes: before the pixels; the last one is the label.
        num_classes: labels are below it.
        names_file: one class name a line.
        names: used where there is no such file; None where it is needed.
        python_file: betrays the version for Python.
    """

    title: str
    folder: str
    files: tuple[tuple[str, str], ...]
    label_bytes: int
    num_classes: int
    names_file: str
    names: tuple[str, ...] | None
    python_file: str


_CIFAR10 = _Version(
    "CIFAR-10",
    "cifar-10-batches-bin",
    (*((f"data_batch_{number}.bin", "train") for number in range(1, 6)), ("test_batch.bin", "test")),
    1,
    10,
    "batches.meta.txt",
    _CIFAR10_NAMES,
    "data_batch_1",
)
_CIFAR100 = _Version(
    "CIFAR-100",
    "cifar-100-binary",
    (("train.bin", "train"), ("test.bin", "test")),
    2,
    100,
    "fine_label_names.txt",
    None,
    "train",
)


def open_cifar10(argument: str | None) -> ArrayImages:
    """Read CIFAR-10's six files in ``argument`` or its ``cifar-10-batches-bin``.

    Raises:
        DataError: if none of the files is there. What else is wrong is in ``problems``.
    """
    return _open(f"cifar10:{argument}", Path(argument or "."), _CIFAR10)


def open_cifar100(argument: str | None) -> ArrayImages:
    """Read CIFAR-100's two files in ``argument`` or its ``cifar-100-binary``; labels are the fine ones.

    Raises:
        DataError: if none of the files or no names are there. What else is wrong is in ``problems``.
    """
    return _open(f"cifar100:{argument}", Path(argument or "."), _CIFAR100)


def _open(name: str, folder: Path, version: _Version) -> ArrayImages:
    if (folder / version.folder).is_dir():
        folder = folder / version.folder
    missing = [f"{folder / file} is missing" for file, _ in version.files if not is_file(folder / file)]
    if len(missing) == len(version.files):
        python = is_file(folder / version.python_file)
        is_python = "; the files there are the version for Python" if python else ""
        hint = f"unpack the binary version, {version.folder}, and name the folder that holds it"
        raise DataError(f"{version.title}'s binary version is not in {folder}{is_python}", problems=missing, hint=hint)
    class_names, problems = _class_names(folder, version)
    problems += missing
    pixels, labels, parts = [], [], []
    for file, part in version.files:
        if is_file(folder / file):
            pixels_NCHW, labels_N, wrong = _read_records(folder / file, version)
            problems += wrong
            pixels.append(pixels_NCHW)
            labels.append(labels_N)
            parts += [part] * len(labels_N)
    return ArrayImages(
        name=name,
        class_names=class_names,
        ids=numbered(parts),
        pixels_NHW=np.ascontiguousarray(np.concatenate(pixels).transpose(0, 2, 3, 1)),
        labels_N=np.concatenate(labels),
        published_split=tuple(parts),
        problems=tuple(problems),
    )


def _class_names(folder: Path, version: _Version) -> tuple[tuple[str, ...], list[str]]:
    """Names, and what is wrong with their file.

    Raises:
        DataError: if the file is missing but needed.
    """
    numbers = tuple(str(label) for label in range(version.num_classes))
    file = folder / version.names_file
    if not is_file(file):
        if version.names is None:
            raise DataError(f"{file} is missing; it names {version.title}'s classes", hint="copy it from the data set's archive")
        return version.names, []
    try:
        names = tuple(line.strip() for line in read_text(file).splitlines() if line.strip())
    except DataError as error:
        return numbers, [error.message]
    if len(names) == len(set(names)) == version.num_classes:
        return names, []
    return numbers, [f"{file} has {len(names)} names, {len(set(names))} distinct, instead of {version.num_classes}"]


def _read_records(path: Path, version: _Version) -> tuple[NDArray[np.uint8], NDArray[np.int64], list[str]]:
    """Pixels of shape (records, 3, 32, 32) and labels of the sound records, and what is wrong with the others."""
    record_bytes = version.label_bytes + _PIXEL_BYTES
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        data, problems = np.zeros(0, dtype=np.uint8), [f"{path} cannot be read: {error.strerror or error}"]
    else:
        problems = []
        if len(data) == 0:
            problems.append(f"{path} is empty")
        elif len(data) % record_bytes:
            problems.append(f"{path} has {len(data):,} bytes, no multiple of the {record_bytes:,} of a record; copy it again")
    records_NB = data[: len(data) // record_bytes * record_bytes].reshape(-1, record_bytes)
    labels_N = records_NB[:, version.label_bytes - 1].astype(np.int64)
    bad_M = np.flatnonzero(labels_N >= version.num_classes)
    if len(bad_M):
        first = f"the first is record {bad_M[0]:,} with {labels_N[bad_M[0]]}"
        problems.append(f"{path} has {len(bad_M):,} label(s) above {version.num_classes - 1}, {first}")
    sound_N = labels_N < version.num_classes
    pixels_NB = records_NB[:, version.label_bytes :] if sound_N.all() else records_NB[sound_N, version.label_bytes :]
    return pixels_NB.reshape(-1, 3, _SIDE_PX, _SIDE_PX), labels_N[sound_N], problems
