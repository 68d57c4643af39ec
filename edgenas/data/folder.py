"""Images in class folders, ``DIR/CLASS/*.png``, or divided already, ``DIR/{train,val,test}/CLASS/*.png``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgenas.data.base import PARTS
from edgenas.data.files import EXTENSIONS, FileImages
from edgenas.errors import DataError

PART_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


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


def open_folder(argument: str | None) -> FileImages:
    """List the folder ``argument``: classes are folder names in alphabetical order, ids paths relative to it.

    Raises:
        DataError: if there is no such folder or it cannot be listed. What is wrong inside is in ``problems``: fewer than two
            classes, empty classes.
    """
    root = Path(argument or ".")
    if not root.is_dir():
        raise DataError(f"{root} is no folder", hint="write folder:DIR with one folder of images for each class in DIR")
    try:
        parts = _parts(root)
        tops = [(part, parts[part]) for part in PARTS if part in parts] or [("", root)]
        class_names = sorted({path.name for _, top in tops for path in _visible(top) if path.is_dir()})
        files = {
            (part, name): list(_images(top / name)) if (top / name).is_dir() else [] for part, top in tops for name in class_names
        }
    except OSError as error:
        raise DataError(f"{error.filename or root} cannot be listed: {error.strerror or error}") from error
    rows = [(path, label, part) for part, _ in tops for label, name in enumerate(class_names) for path in files[part, name]]
    return FileImages(
        name=f"folder:{argument}",
        class_names=tuple(class_names),
        ids=tuple(path.relative_to(root).as_posix() for path, _, _ in rows),
        paths=tuple(path for path, _, _ in rows),
        labels_N=np.array([label for _, label, _ in rows], dtype=np.int64),
        published_split=tuple(part for _, _, part in rows) if parts else None,
        problems=tuple(_count_problems(root, tops, class_names, files)),
    )


def _count_problems(
    root: Path, tops: list[tuple[str, Path]], class_names: list[str], files: dict[tuple[str, str], list[Path]]
) -> list[str]:
    problems = []
    if len(class_names) < 2:
        problems.append(f"{root} has {len(class_names)} class folder(s); at least 2 are needed")
    for part, top in tops:
        problems += [f"class {name!r} has no images in {top / name}" for name in class_names if not files[part, name]]
    return problems
