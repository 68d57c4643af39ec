"""Images and labels out of the data sets of torchvision and timm, whose attributes differ."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgenas.data.files import EXTENSIONS, decode_bytes, decode_file, read_file
from edgenas.data.quiet import quietly
from edgenas.errors import DataError

_SMALL_PX = 64  # images up to this side suit the smallest space
_NO_CLASS = "(none)"
_LABELS = ("targets", "labels", "_labels", "y")
_SAMPLES = ("samples", "_samples", "imgs")  # of (path, label)
_PATHS = ("_image_files", "_images")


@dataclass(frozen=True, slots=True, eq=False)
class LibraryPart:
    """One data set of a library.

    Attributes:
        part: where it is published as one; else empty.
        dataset: gives a pair of image and label for an index.
        labels_N: positions in ``class_names``.
        paths: of its images, where each is a file.
    """

    part: str
    dataset: Any
    labels_N: NDArray[np.int64]
    class_names: tuple[str, ...]
    paths: tuple[Path, ...] | None


@dataclass(frozen=True, slots=True, eq=False)
class LibraryImages:
    """Labelled images of a library's data sets, those of several parts one after another.

    Attributes:
        parts: in order.
        origins_N2: position in ``parts`` and in that part, of every image.
    """

    name: str
    class_names: tuple[str, ...]
    labels_N: NDArray[np.int64]
    ids: tuple[str, ...]
    parts: tuple[LibraryPart, ...]
    origins_N2: NDArray[np.int64]
    published_split: tuple[str, ...] | None
    file_keys: tuple[str, ...] | None
    notes: tuple[str, ...]
    problems: tuple[str, ...]
    default_space: str
    default_image_px: int
    groups: tuple[str, ...] | None = None
    sites: tuple[str, ...] | None = None
    default_positive: str | None = None

    def path(self, index: int) -> Path | None:
        """The image's file, where the data set is made of files."""
        position, item = self.origins_N2[index].tolist()
        paths = self.parts[position].paths
        return None if paths is None else paths[item]

    def load(self, index: int) -> Image.Image:
        """Decode the file, or ask the data set.

        Raises:
            DataError: naming the image, if that fails.
        """
        position, item = self.origins_N2[index].tolist()
        return _load(self.parts[position], item, f"{self.ids[index]} of {self.name}")

    def content(self, index: int) -> bytes:
        """The file's bytes, or mode, size and pixels.

        Raises:
            DataError: if the image cannot be read.
        """
        path = self.path(index)
        if path is not None:
            return read_file(path)
        image = self.load(index)
        return f"{image.mode} {image.size} ".encode() + image.tobytes()


def reason_of(error: Exception) -> str:
    """A library's error on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def read_part(part: str, dataset: Any, name: str) -> LibraryPart | None:
    """Labels, class names and paths of one data set, without decoding images where it lists them; None if it has no labels.

    Raises:
        DataError: if its items are no pairs of an image and a class index, as for detection; or if it has no length.
    """
    try:
        num = len(dataset)
    except Exception as error:  # whatever a library raises
        raise DataError(f"{name} has no length, but images need a fixed order: {reason_of(error)}") from error
    if num == 0:
        raise DataError(f"{name} has no images")
    paths = _listed_paths(dataset, num)
    labels_N = _listed_labels(dataset, num)
    if labels_N is None or (paths is None and not _is_true_of_first(dataset, labels_N, name)):
        labels_N = _read_labels(dataset, num, name)
    if labels_N is None:
        return None
    if labels_N.min() < 0:
        raise DataError(f"{name} has labels below 0, such as {labels_N.min()}; images without a class cannot be used")
    return LibraryPart(part, dataset, labels_N, _class_names(dataset, int(labels_N.max()) + 1), paths)


def join_parts(
    name: str, folder: Path | None, parts: Sequence[LibraryPart], notes: Sequence[str], problems: Sequence[str]
) -> LibraryImages:
    """One source of all parts. Classes are matched by name; ids are paths relative to ``folder`` or part and position."""
    class_names = tuple(dict.fromkeys(label for part in parts for label in part.class_names))
    index = {label: position for position, label in enumerate(class_names)}
    labels = [np.array([index[label] for label in part.class_names], dtype=np.int64)[part.labels_N] for part in parts]
    ids = [id_ for part in parts for id_ in _ids(part, folder)]
    words = [part.part for part in parts for _ in range(len(part.labels_N))]
    repeated = len(set(ids)) < len(ids)
    distinct = _distinct(words, ids) if repeated else ids
    origins = [np.stack([np.full(len(part.labels_N), at), np.arange(len(part.labels_N))], axis=1) for at, part in enumerate(parts)]
    drawn = []
    if len(class_names) < 2:
        drawn.append(f"{name} has {len(class_names)} class(es); at least 2 are needed")
    if _NO_CLASS in class_names:
        drawn.append(f"{name} has images that lie in no class folder")
    small = _first_side_px(parts[0], name) <= _SMALL_PX
    return LibraryImages(
        name=name,
        class_names=class_names,
        labels_N=np.concatenate(labels),
        ids=tuple(distinct),
        parts=tuple(parts),
        origins_N2=np.concatenate(origins).astype(np.int64),
        published_split=tuple(words) if parts[0].part else None,
        file_keys=tuple(ids) if repeated else None,
        notes=tuple(notes),
        problems=(*problems, *drawn),
        default_space="pvt-nano" if small else "pvt-covidx",
        default_image_px=32 if small else 256,
    )


def _distinct(words: Sequence[str], ids: Sequence[str]) -> Iterator[str]:
    """Ids behind their part, and numbered where a part repeats one."""
    seen: Counter[tuple[str, str]] = Counter()
    for word, id_ in zip(words, ids, strict=True):
        seen[word, id_] += 1
        prefix = f"{word}/" if word else ""
        yield f"{prefix}{id_}" if seen[word, id_] == 1 else f"{prefix}{id_}#{seen[word, id_]}"


def _ids(part: LibraryPart, folder: Path | None) -> Iterator[str]:
    prefix = f"{folder}/"
    for index in range(len(part.labels_N)):
        path = "" if part.paths is None else part.paths[index].as_posix()
        yield path.removeprefix(prefix) if path.startswith(prefix) else f"{part.part}/{index:06d}".removeprefix("/")


def _first_side_px(part: LibraryPart, name: str) -> int:
    try:
        return max(_load(part, 0, name).size)
    except DataError:  # whoever decodes all images names it
        return _SMALL_PX + 1


def _load(part: LibraryPart, item: int, what: str) -> Image.Image:
    if part.paths is not None:
        return decode_file(part.paths[item])
    return _as_image(_pair(_get(part.dataset, item, what), what)[0], what)


def _get(dataset: Any, index: int, what: str) -> Any:
    try:
        with quietly():  # one at a time: data sets seed the process's generator, and leave files to be closed with a warning
            item = dataset[index]
            if isinstance(item, tuple) and item and isinstance(item[0], Image.Image):
                item[0].load()
            return item
    except Exception as error:  # whatever a library raises
        raise DataError(f"{what} cannot be read: {reason_of(error)}") from error


def _pair(item: Any, what: str) -> tuple[Any, Any]:
    if isinstance(item, tuple) and len(item) == 2:
        return item[0], item[1]
    shown = f"{len(item)} things" if isinstance(item, tuple) else f"a {type(item).__name__}"
    raise DataError(f"{what} gives {shown} an item instead of an image and its class; only classification works")


def _as_image(value: Any, what: str) -> Image.Image:
    """An image from what a data set gave: encoded bytes, Pillow's image, an array of rows, or a tensor with channels first."""
    if isinstance(value, Image.Image):
        return value
    if isinstance(value, bytes):
        return decode_bytes(value, what)
    is_tensor = hasattr(value, "detach")
    array = np.asarray(value.detach().cpu() if is_tensor else value)
    if is_tensor and array.ndim == 3:
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == 2 and _is_wide(array):
        return Image.fromarray(array.astype(np.float32 if array.dtype.kind == "f" else np.int32))
    if array.dtype.kind == "f" and array.size and not (array.min() >= 0 and array.max() <= 1):
        raise DataError(f"{what} has colours from {array.min():g} to {array.max():g}; floats are shown from 0 to 1")
    if array.dtype.kind == "f":
        array = np.clip(np.round(array * 255), 0, 255).astype(np.uint8)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise DataError(f"{what} is no image but {type(value).__name__} of shape {array.shape} and type {array.dtype}")
    return Image.fromarray(np.ascontiguousarray(array))


def _is_wide(array: NDArray[Any]) -> bool:
    """Whether grey values do not fit into 8 bits: floats beyond 0 to 1, and whole numbers of more bits."""
    if array.dtype.kind == "f":
        return not (array.size and array.min() >= 0 and array.max() <= 1)
    return array.dtype in (np.uint16, np.int16, np.int32)


def _class_index(label: Any, what: str) -> int:
    try:
        return operator.index(label)
    except (TypeError, ValueError) as error:
        kind = type(label).__name__
        raise DataError(f"{what} has a {kind} as label instead of a class index; only classification works") from error


def _holders(dataset: Any) -> Iterator[Any]:
    """The data set, and the reader that timm's keep theirs in."""
    yield dataset
    if hasattr(dataset, "reader"):
        yield dataset.reader


def _listed_labels(dataset: Any, num: int) -> NDArray[np.int64] | None:
    for holder in _holders(dataset):
        for values in (*(getattr(holder, name, None) for name in _LABELS), *_sample_columns(holder, 1)):
            try:
                array = np.asarray(values)
            except (TypeError, ValueError, RuntimeError):  # ragged lists, tensors elsewhere
                continue
            if array.shape == (num,) and array.dtype.kind in "iu":
                return array.astype(np.int64)
    return None


def _sample_columns(holder: Any, column: int) -> Iterator[list[Any]]:
    for name in _SAMPLES:
        samples = getattr(holder, name, None)
        if isinstance(samples, list) and all(isinstance(sample, tuple) and len(sample) == 2 for sample in samples):
            yield [sample[column] for sample in samples]


def _listed_paths(dataset: Any, num: int) -> tuple[Path, ...] | None:
    for holder in _holders(dataset):
        for values in (*_sample_columns(holder, 0), *(getattr(holder, name, None) for name in _PATHS)):
            if not isinstance(values, list) or not all(isinstance(value, str | Path) for value in values):
                continue
            if len(values) == num and str(values[0]).lower().endswith(EXTENSIONS):
                return tuple(Path(value) for value in values)
    return None


def _is_true_of_first(dataset: Any, labels_N: NDArray[np.int64], name: str) -> bool:
    """Whether the first item has the first of the listed labels; an item that cannot be read is no counter-example."""
    try:
        item = _get(dataset, 0, f"the first image of {name}")
    except DataError:
        return True
    return _class_index(_pair(item, name)[1], name) == int(labels_N[0])


def _read_labels(dataset: Any, num: int, name: str) -> NDArray[np.int64] | None:
    labels = []
    for index in range(num):
        label = _pair(_get(dataset, index, f"image {index} of {name}"), name)[1]
        if label is None:
            return None
        labels.append(_class_index(label, name))
    return np.array(labels, dtype=np.int64)


def _class_names(dataset: Any, num_needed: int) -> tuple[str, ...]:
    """Names as the data set lists them, made distinct; the indices where it lists none or too few."""
    for holder in _holders(dataset):
        for attribute in ("classes", "categories", "class_to_idx", "class_name_to_idx"):
            values = getattr(holder, attribute, None)
            if isinstance(values, dict):
                values = sorted(values, key=values.__getitem__) if sorted(values.values()) == list(range(len(values))) else None
            if isinstance(values, list | tuple) and len(values) >= num_needed:
                names = [", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value) for value in values]
                counts = Counter(names)
                return tuple(f"{name} ({at})" if counts[name] > 1 else name or _NO_CLASS for at, name in enumerate(names))
    return tuple(str(index) for index in range(num_needed))
