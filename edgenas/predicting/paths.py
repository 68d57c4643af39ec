"""Images by what a person types: files, folders, patterns, lists on standard input, videos and cameras; never all at once.

Of a folder only the names of one level are held, in alphabetical order.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from edgenas.data.clutter import is_clutter
from edgenas.data.files import EXTENSIONS, decode_file
from edgenas.errors import DataError, UsageError

STDIN = "-"
VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
MAX_PATH_BYTES = 1 << 16
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Item:
    """One image to be asked about: its name, and what decodes it or raises `DataError`."""

    name: str
    load: Callable[[], Image.Image]


@dataclass(frozen=True, slots=True)
class Frames:
    """Which frames of videos and cameras: every so manieth, and so many at most (None: all)."""

    every: int = 1
    most: int | None = None


def items_of(arguments: Sequence[str], frames: Frames, stdin: BinaryIO | None = None) -> Iterator[Item]:
    """The images that arguments name, one after the other.

    Args:
        arguments: paths of files, folders and videos, patterns, numbers of cameras, ``-`` for paths on standard input.
        frames: of videos and cameras.
        stdin: where ``-`` reads, a path a line or ended by NUL.

    Raises:
        UsageError: for ``-`` without ``stdin``.
        MissingBackendError: for a video or camera without OpenCV.
    """
    for argument in arguments:
        if argument != STDIN:
            yield from _of_argument(argument, frames)
        elif stdin is None:
            raise UsageError("- reads paths from standard input, which is not there")
        else:
            for path in lines_of(stdin):
                yield from _of_path(path, frames)


def count_of(arguments: Sequence[str]) -> int | None:
    """How many images arguments name, by their names alone; None where only time tells."""
    total = 0
    for argument in arguments:
        if argument == STDIN or _is_video(argument) or _is_camera(argument):
            return None
        total += sum(1 for _ in _of_argument(argument, Frames()))
    return total


def lines_of(stream: BinaryIO) -> Iterator[str]:
    """Paths of a stream as they come, a line each, or each ended by NUL where the first one is (``find -print0``).

    Raises:
        DataError: for what is far too long for a path.
    """
    rest, end = b"", b"\n"
    read = getattr(stream, "read1", stream.read)
    while part := read(_CHUNK):
        rest += part
        if b"\0" in rest:
            end = b"\0"
        *whole, rest = rest.split(end)
        yield from (os.fsdecode(each) for line in whole if (each := _line(line, end)))
        if len(rest) > MAX_PATH_BYTES:
            raise DataError(f"standard input holds no paths: {len(rest):,} bytes without an end of line")
    if last := _line(rest, end):
        yield os.fsdecode(last)


def _line(line: bytes, end: bytes) -> bytes:
    return line if end == b"\0" else line.removesuffix(b"\r")


def _of_argument(argument: str, frames: Frames) -> Iterator[Item]:
    if _is_camera(argument):
        yield from _frames(int(argument), frames)
    elif glob.has_magic(argument) and not os.path.lexists(argument):
        matches = sorted(glob.iglob(argument, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not matches:
            yield Item(argument, partial(_fail, f"{argument} matches nothing"))
        for path in matches:
            if "**" not in argument or not Path(path).is_dir():  # what is in it matches, too
                yield from _of_path(path, frames)
    else:
        yield from _of_path(argument, frames)


def _of_path(path: str, frames: Frames) -> Iterator[Item]:
    if "\0" in path:
        yield Item(path, partial(_fail, f"{path!r} is no path"))
    elif Path(path).is_dir():
        yield from _of_folder(path, ())
    elif _is_video(path):
        yield from _frames(path, frames)
    else:
        yield Item(path, partial(decode_file, Path(path)))


def _of_folder(folder: str, above: tuple[tuple[int, int], ...]) -> Iterator[Item]:
    """Images of a folder, then those of the folders in it; links that lead back are not followed."""
    try:
        seen = Path(folder).stat()
        if (seen.st_dev, seen.st_ino) in above:
            return
        names, folders = _listed(folder)
    except OSError as error:
        yield Item(folder, partial(_fail, f"{folder} cannot be listed: {error.strerror or error}"))
        return
    for name in names:
        path = Path(folder, name)
        yield Item(str(path), partial(decode_file, path))
    for name in folders:
        yield from _of_folder(str(Path(folder, name)), (*above, (seen.st_dev, seen.st_ino)))


def _listed(folder: str) -> tuple[list[str], list[str]]:
    """Names of the images and of the folders in a folder."""
    names, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            is_folder = entry.is_dir()
            if is_clutter(entry.name, folder=is_folder):
                continue
            if is_folder:
                folders.append(entry.name)
            elif Path(entry.name).suffix.lower() in EXTENSIONS:
                names.append(entry.name)
    return sorted(names), sorted(folders)


def _is_camera(argument: str) -> bool:
    return argument.isascii() and argument.isdecimal() and len(argument) < 4 and not os.path.lexists(argument)


def _is_video(path: str) -> bool:
    return Path(path).suffix.lower() in VIDEOS


def _frames(source: str | int, frames: Frames) -> Iterator[Item]:
    from edgenas.predicting.frames import frames_of

    for name, load in frames_of(source, every=frames.every, most=frames.most):
        yield Item(name, load)


def _fail(words: str) -> Image.Image:
    raise DataError(words)


def is_live(arguments: Sequence[str]) -> bool:
    """Whether an argument is a camera, whose images are wanted as they are seen."""
    return any(map(_is_camera, arguments))
