"""Images in class folders, ``DIR/CLASS/*.png``, or divided already, ``DIR/{train,val,test}/CLASS/*.png``."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from edgenas.data.base import PARTS
from edgenas.data.clutter import is_clutter, num_files
from edgenas.data.dicom_headers import with_headers
from edgenas.data.files import EXTENSIONS, FileImages, is_plain
from edgenas.data.names import is_missing
from edgenas.data.parts import part_of
from edgenas.data.problems import Problem
from edgenas.errors import DataError
from edgenas.registries import nearest

_NAMED = 5  # names in a note


@dataclass(frozen=True, slots=True)
class _Listing:
    """What was found on the way through the folders; `_walk` adds to it.

    Attributes:
        images: by published part ("" where there are none) and class, paths relative to the root, in alphabetical order.
        ignored: files without an image's extension, by extension.
        loose: images beside the class folders, by the folder they are in.
        problems: folders that cannot be listed, names that cannot be written down.
        clutter: folders and files of storage systems, with the number of files in them.
    """

    images: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)
    loose: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    clutter: dict[str, int] = field(default_factory=dict)


def visible_entries(folder: Path, clutter: dict[str, int] | None = None) -> list[os.DirEntry[str]]:
    """Entries that are neither hidden nor what storage systems leave behind, in alphabetical order.

    Args:
        folder: to list.
        clutter: takes the paths of the others that hold files or are named as images, with the number of files.

    Raises:
        OSError: if the folder cannot be listed.
    """
    kept = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            is_folder = _is_folder(entry)
            if not is_clutter(entry.name, folder=is_folder):
                kept.append(entry)
            elif clutter is not None:
                num = num_files(Path(entry.path)) if is_folder else 1
                if num and (is_folder or _is_image(entry.name) or entry.name[0] != "."):
                    clutter[entry.path] = num
    return kept


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or a link to one; False for a link in a circle."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _split_entries(folder: Path, listing: _Listing) -> tuple[list[os.DirEntry[str]], list[str]]:
    """Subfolders, and names of image files; everything else is counted or a problem."""
    folders, images = [], []
    try:
        entries = visible_entries(folder, listing.clutter)
    except OSError as error:
        listing.problems.append(f"{folder} cannot be listed: {error.strerror or error}")
        return [], []
    for entry in entries:
        try:
            is_folder = entry.is_dir()  # the kernel says so with the name; only links cost a look
        except OSError as error:
            listing.problems.append(f"{entry.path} cannot be followed: {error.strerror or error}")
            continue
        if is_folder or _is_image(entry.name):
            if not is_plain(entry.name):
                listing.problems.append(
                    f"{folder} holds {entry.name!a}, a name with a control character or not in UTF-8; rename it"
                )
            elif is_folder:
                folders.append(entry)
            else:
                images.append(entry.name)
        else:
            listing.ignored[PurePosixPath(entry.name).suffix.lower()] += 1
    return folders, images


def _walk(folder: Path, relative: str, above: tuple[Path, ...], listing: _Listing) -> list[str]:
    """Image files below ``folder``, their paths starting with ``relative``, files and folders in one alphabetical order.

    Args:
        folder: to list.
        relative: its path from the root.
        above: itself and the folders on the way here, with links resolved; links back into one of them are problems.
        listing: takes what is no image.
    """
    folders, images = _split_entries(folder, listing)
    rows = [(name, [f"{relative}/{name}"]) for name in images]
    for entry in folders:
        below = Path(entry.path)
        real = below.resolve() if entry.is_symlink() else above[-1] / entry.name
        if real in above:
            listing.problems.append(f"{entry.path} leads back to {real}; remove the link")
        else:
            rows.append((entry.name, _walk(below, f"{relative}/{entry.name}", (*above, real), listing)))
    return [path for _, paths in sorted(rows, key=lambda item: item[0]) for path in paths]


def published_folders(root: Path) -> list[tuple[str, str]]:
    """Published parts and their folders' names, one ``("", "")`` where the folders are classes.

    Parts are meant where all folders are named as parts, ``train`` among them, or at least ``train`` and another one are there.

    Raises:
        OSError: if the root cannot be listed.
        DataError: if two folders are the same part, or parts with classes lack ``train`` or stand beside unknown ones.
    """
    folders = [entry.name for entry in visible_entries(root) if _is_folder(entry)]
    named = [(part, name) for name in folders if (part := part_of(name)) is not None]
    parts = {part for part, _ in named}
    if "train" not in parts or (len(parts) == 1 and len(named) < len(folders)):
        divided = [name for _, name in named if _holds_only_folders(root / name)]
        if divided:
            raise DataError(
                f"{root} has {', '.join(divided)} with class folders in them, but its folders are not train with val or test",
                hint=f"name its parts train, val, test; it has: {', '.join(folders[:10])}",
            )
        return [("", "")]
    if len(named) > len(parts):
        listed = ", ".join(name for _, name in named)
        raise DataError(
            f"{root} has several folders for one published part: {listed}", hint="keep one for each of train, val, test"
        )
    return sorted(named, key=lambda item: PARTS.index(item[0]))


def _holds_only_folders(folder: Path) -> bool:
    """Whether a folder is a part with classes rather than a class with images."""
    entries = list(visible_entries(folder))
    return any(_is_folder(entry) for entry in entries) and not any(_is_image(entry.name) for entry in entries)


def _list_part(root: Path, part: str, folder: str, listing: _Listing) -> None:
    top = root / folder
    classes, loose = _split_entries(top, listing)
    if loose:
        listing.loose[str(top)] = len(loose)
    real = top.resolve()
    for entry in classes:
        below = Path(entry.path)
        relative = f"{folder}/{entry.name}" if folder else entry.name
        target = below.resolve() if entry.is_symlink() else real / entry.name
        listing.images[part, entry.name] = _walk(below, relative, (real, target), listing)


def _like(path: Path) -> Path | None:
    """The folder beside ``path`` whose name is spelt most like its own; None where none is."""
    try:
        names = [entry.name for entry in visible_entries(path.parent) if _is_folder(entry)]
    except OSError:
        return None
    near = nearest(path.name, names)
    return None if near is None else path.parent / near


def open_folder(argument: str | None) -> FileImages:
    """List the folder ``argument``: classes are folder names in alphabetical order, ids paths relative to it.

    Raises:
        DataError: if there is no such folder or it cannot be listed. What is wrong inside is in ``problems``: fewer than two
            classes, classes without images in a part, folders that cannot be listed, links in circles.
    """
    root = Path("." if argument is None else argument)
    if not root.is_dir():
        near = _like(root)
        meant = "" if near is None else f"did you mean 'folder:{near}'? "
        raise DataError(f"{root} is no folder", hint=f"{meant}write folder:DIR with one folder of images for each class in DIR")
    try:
        parts = published_folders(root)
        ignored = [entry.name for entry in visible_entries(root) if parts[0][0] and _is_folder(entry)]
    except OSError as error:
        raise DataError(f"{error.filename or root} cannot be listed: {error.strerror or error}") from error
    listing = _Listing()
    if parts[0][0]:
        visible_entries(root, listing.clutter)
    for part, folder in parts:
        _list_part(root, part, folder, listing)
    class_names = sorted({name for _, name in listing.images})
    rows = [
        (path, label, part)
        for part, _ in parts
        for label, name in enumerate(class_names)
        for path in listing.images.get((part, name), [])
    ]
    unused = sorted(set(ignored) - {folder for _, folder in parts})
    images = FileImages(
        name=f"folder:{argument}",
        class_names=tuple(class_names),
        ids=tuple(path for path, _, _ in rows),
        paths=tuple(root / path for path, _, _ in rows),
        labels_N=np.array([label for _, label, _ in rows], dtype=np.int64),
        published_split=tuple(part for _, _, part in rows) if parts[0][0] else None,
        notes=tuple(_notes(listing, unused)),
        problems=(*listing.problems, *_count_problems(root, parts, class_names, listing)),
        odd=tuple(_odd(root, class_names, listing)),
        empty=tuple(_empty(root, parts, class_names, listing)),
    )
    return with_headers(images)


def _odd(root: Path, class_names: list[str], listing: _Listing) -> Iterator[Problem]:
    for path, num in listing.clutter.items():
        yield Problem(os.path.relpath(path, root), f"is made by a storage system or hidden; {num:,} file(s)", "skipped")
    for name in class_names:
        if is_missing(name):
            yield Problem(name, "is a folder whose name is a word for a missing value", "kept as a class")


def _notes(listing: _Listing, unused: list[str]) -> list[str]:
    notes = []
    if listing.ignored:
        kinds = ", ".join(f"{kind or 'without extension'} {num:,}" for kind, num in sorted(listing.ignored.items()))
        notes.append(f"{listing.ignored.total():,} file(s) are no images by their names and ignored: {kinds}")
    if listing.clutter:
        named = ", ".join(sorted({Path(path).name for path in listing.clutter})[:_NAMED])
        notes.append(f"{sum(listing.clutter.values()):,} file(s) of storage systems or hidden are skipped: {named}")
    notes += [f"{num:,} image(s) lie beside the class folders in {top} and are ignored" for top, num in listing.loose.items()]
    if unused:
        notes.append(f"folder(s) beside the published parts are ignored: {', '.join(unused)}")
    return notes


def _count_problems(root: Path, parts: list[tuple[str, str]], class_names: list[str], listing: _Listing) -> list[str]:
    problems = []
    if len(class_names) < 2:
        problems.append(f"{root} has {len(class_names)} class folder(s); at least 2 are needed")
    for part, folder in parts:
        top = root / folder
        if part and not any(key[0] == part for key in listing.images):
            problems.append(f"{top} has no class folders, {listing.loose[str(top)]:,} loose image(s)")
    return problems


def _empty(root: Path, parts: list[tuple[str, str]], class_names: list[str], listing: _Listing) -> Iterator[tuple[str, str]]:
    """Classes without images in a part that has classes, and what is to be said of each, should it stay alone."""
    for part, folder in parts:
        if not part or any(key[0] == part for key in listing.images):
            for name in class_names:
                if not listing.images.get((part, name)):
                    yield name, f"class {name!r} has no images in {root / folder / name}"
