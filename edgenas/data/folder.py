"""Images in class folders, ``DIR/CLASS/*.png``, or divided already, ``DIR/{train,val,test}/CLASS/*.png``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgenas.data.base import PARTS
from edgenas.errors import DataError

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
PART_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
MIN_IMAGES = 5  # one for each of train, select, confirm, calibrate, test


@dataclass(frozen=True, slots=True, eq=False)
class ImageFolder:
    """Classes are folder names in alphabetical order; ids are paths relative to the folder."""

    name: str
    root: Path
    class_names: tuple[str, ...]
    ids: tuple[str, ...]
    labels_N: NDArray[np.int64]
    published_split: tuple[str, ...] | None
    groups: tuple[str, ...] | None = None
    sites: tuple[str, ...] | None = None
    default_space: str = "pvt-covidx"
    default_image_px: int = 256
    default_positive: str | None = None

    def load(self, index: int) -> Image.Image:
        """Decode one file.

        Raises:
            DataError: naming the file and why it cannot be decoded.
        """
        path = self.root / self.ids[index]
        try:
            with Image.open(path) as image:
                image.load()
                return image
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(f"{path} cannot be decoded: {error}") from error

    def content(self, index: int) -> bytes:
        """The file's bytes.

        Raises:
            DataError: if it cannot be read.
        """
        path = self.root / self.ids[index]
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _visible(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)


def _images(folder: Path) -> Iterator[Path]:
    """Image files below ``folder``, hidden files and folders left out, in alphabetical order."""
    for path in _visible(folder):
        if path.is_dir():
            yield from _images(path)
        elif path.suffix.lower() in EXTENSIONS:
            yield path


def _parts(root: Path) -> dict[str, Path]:
    """Published parts by canonical name; empty where the folders are classes."""
    folders = [path for path in _visible(root) if path.is_dir()]
    named = {PART_NAMES[path.name.lower()]: path for path in folders if path.name.lower() in PART_NAMES}
    return named if "train" in named and len(named) == len(folders) else {}


def _broken(path: Path) -> str | None:
    """Why the header of an image file cannot be read, or None."""
    try:
        with Image.open(path) as image:
            image.verify()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return f"{path} is unreadable: {error}"
    return None


def open_folder(argument: str | None) -> ImageFolder:
    """Scan the folder ``argument``; every file's header is read.

    Raises:
        DataError: listing every problem: no folder, fewer than two classes, empty classes, classes with fewer images than
            splits, unreadable images.
    """
    root = Path(argument or ".")
    if not root.is_dir():
        raise DataError(f"{root} is no folder", hint="write folder:DIR with one folder of images for each class in DIR")
    parts = _parts(root)
    tops = [(part, parts[part]) for part in PARTS if part in parts] or [("", root)]
    class_names = sorted({path.name for _, top in tops for path in _visible(top) if path.is_dir()})
    files = {(part, name): list(_images(top / name)) if (top / name).is_dir() else [] for part, top in tops for name in class_names}
    problems = _count_problems(root, tops, class_names, files)
    problems += [reason for paths in files.values() for path in paths if (reason := _broken(path)) is not None]
    if problems:
        raise DataError(f"{root} cannot be used: {len(problems)} problem(s)", problems=problems)
    rows = [(path, class_names.index(name), part) for (part, name), paths in files.items() for path in paths]
    return ImageFolder(
        name=f"folder:{argument}",
        root=root,
        class_names=tuple(class_names),
        ids=tuple(path.relative_to(root).as_posix() for path, _, _ in rows),
        labels_N=np.array([label for _, label, _ in rows], dtype=np.int64),
        published_split=tuple(part for _, _, part in rows) if parts else None,
    )


def _count_problems(
    root: Path, tops: list[tuple[str, Path]], class_names: list[str], files: dict[tuple[str, str], list[Path]]
) -> list[str]:
    problems = []
    if len(class_names) < 2:
        problems.append(f"{root} has {len(class_names)} class folder(s); at least 2 are needed")
    for part, top in tops:
        problems += [f"class {name!r} has no images in {top / name}" for name in class_names if not files[part, name]]
    for name in class_names:
        total = sum(len(files[part, name]) for part, _ in tops)
        if 0 < total < MIN_IMAGES:
            problems.append(f"class {name!r} has {total} image(s); at least {MIN_IMAGES} are needed, one for each split")
    return problems
