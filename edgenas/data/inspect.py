"""Looking at every image once: does it decode, what does it show, and what was its file when it was read.

Shapes: N images, D bytes of a sketch.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgenas.data.archives import FRESH_NS
from edgenas.data.base import ImageSource
from edgenas.data.preprocess import Background, has_alpha, is_wide, to_rgb, wide_values
from edgenas.data.sketches import BYTES, sketch
from edgenas.data.tones import Tones, tones_of
from edgenas.errors import DataError, RunFolderError
from edgenas.runs import read_sealed, write_sealed
from edgenas.runs.place import threads_here

SCHEMA_VERSION = 1  # 1: first
_CHUNK = 64  # images between two reports
_AGAIN = "delete it: the files are then read again"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells cheaply that a file is the one that was read: its size, times and the hash of its bytes.

    Times are -1, and so the file is read again, where it was too young for its times to tell.
    """

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found out about every image of a source.

    Attributes:
        contents: hex SHA-256 of what `ImageSource.content` gives; empty where it cannot be read.
        shown: hex SHA-256 of size and RGB pixels, equal for equal pictures whatever the format; empty where undecodable.
        broken: why an image cannot be used, by position.
        index: of the files.
        tones: what values every image holds; None where undecodable.
        sketches_ND: what every image looks like, whatever its size; 0 where undecodable.
    """

    contents: tuple[str, ...]
    shown: tuple[str, ...]
    broken: Mapping[int, str]
    index: FileIndex
    sketches_ND: NDArray[np.uint8]
    tones: tuple[Tones | None, ...] = ()


@dataclass(frozen=True, slots=True)
class FileIndex:
    """Stamps of files by image id; what makes a second look at unchanged files cheap."""

    stamps: Mapping[str, Stamp]

    def known(self, identity: str, path: Path | None) -> str | None:
        """The hash of a file whose size and times are those that were stored; None if it must be read."""
        stamp = self.stamps.get(identity)
        if stamp is None or path is None:
            return None
        try:
            now = path.stat()
        except OSError:
            return None
        same = (now.st_size, now.st_mtime_ns, now.st_ctime_ns) == (stamp.size_bytes, stamp.mtime_ns, stamp.ctime_ns)
        return stamp.sha256 if same else None

    def save(self, path: Path) -> None:
        """Write the index atomically as JSON.

        Raises:
            RunFolderError: if it cannot be written.
        """
        rows = [[name, s.size_bytes, s.mtime_ns, s.ctime_ns, s.sha256] for name, s in self.stamps.items()]
        write_sealed(path, "file index", {"schema_version": SCHEMA_VERSION, "files": rows})

    @classmethod
    def load(cls, path: Path) -> FileIndex:
        """Read what `save` wrote; an index of nothing where there is no file.

        Raises:
            RunFolderError: if the file is damaged or of another schema.
        """
        if not path.exists():
            return cls({})
        value = read_sealed(path, "file index", schema_version=SCHEMA_VERSION, hint=_AGAIN)
        try:
            return cls({str(row[0]): _stamp(row[1:]) for row in value["files"]})
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise RunFolderError(f"{path} is damaged: {error}", hint=_AGAIN) from error


def _stamp(values: Sequence[Any]) -> Stamp:
    size_bytes, mtime_ns, ctime_ns, sha256 = values
    if not all(type(value) is int for value in (size_bytes, mtime_ns, ctime_ns)) or not isinstance(sha256, str):
        raise ValueError(f"{values!r} is no stamp")
    return Stamp(size_bytes, mtime_ns, ctime_ns, sha256)


@dataclass(frozen=True, slots=True)
class _Look:
    content: str
    shown: str
    reason: str | None
    stamp: Stamp | None
    tones: Tones | None = None
    sketch_D: NDArray[np.uint8] | None = None


def _look(source: ImageSource, index: int, *, decode: bool) -> _Look:
    """Read, hash and decode one image; the file is stamped before it is read."""
    path = source.path(index)
    try:
        before = path.stat() if path is not None else None
        content = hashlib.sha256(source.content(index)).hexdigest()
    except OSError as error:
        return _Look("", "", f"{path} cannot be read: {error.strerror or error}", None)
    except DataError as error:
        return _Look("", "", error.message, None)
    stamp = None
    if before is not None:
        times = (before.st_mtime_ns, before.st_ctime_ns)
        stamp = Stamp(before.st_size, *(times if time.time_ns() - max(times) > FRESH_NS else (-1, -1)), content)
    if not decode:
        return _Look(content, "", None, stamp)
    try:
        decoded = source.load(index)
        tones, digest = tones_of(decoded), _digest(decoded)
    except DataError as error:
        message = error.message if path is not None and str(path) in error.message else f"{source.ids[index]}: {error.message}"
        return _Look(content, "", message, stamp)
    return _Look(content, digest, None, stamp, tones, sketch(_seen(decoded, tones)))


def _seen(decoded: Image.Image, tones: Tones) -> Image.Image:
    """The image at its clearest: grey values from its own darkest to its brightest, drawings on a ground that shows them."""
    ground: Background | None = None
    if tones.alpha_light is not None:
        middle = (tones.low + tones.high) / 2 if tones.wide and tones.low < tones.high else 1 << 15 if tones.wide else 128
        ground = "white" if tones.alpha_light < middle else "black"
    return to_rgb(decoded, (tones.low, tones.high) if tones.wide and tones.low < tones.high else None, ground)


def _digest(decoded: Image.Image) -> str:
    """A hash of size and RGB pixels, and of what these leave out: finer grey values, and transparency."""
    image = to_rgb(decoded)
    digest = hashlib.sha256(f"{image.size}".encode())
    digest.update(image.tobytes())
    if is_wide(decoded):
        values, levels_HW3 = wide_values(decoded), np.asarray(image)
        levels = levels_HW3 if values.ndim == 3 else levels_HW3[..., 0]
        if values.shape != levels.shape or not np.array_equal(values, levels.astype(np.int64) * 257):
            digest.update(values.tobytes())
    if has_alpha(decoded) and (not is_wide(decoded) or "A" in decoded.getbands()):
        alpha = decoded.convert("RGBA").getchannel("A")
        if alpha.getextrema() != (255, 255):
            digest.update(alpha.tobytes())
    return digest.hexdigest()


def _looks(source: ImageSource, positions: Sequence[int], *, decode: bool) -> Iterator[list[_Look]]:
    """What is seen, a chunk at a time, in the order of ``positions``."""
    with ThreadPoolExecutor(min(8, threads_here())) as pool:
        for start in range(0, len(positions), _CHUNK):
            yield list(pool.map(lambda index: _look(source, index, decode=decode), positions[start : start + _CHUNK]))


def inspect(source: ImageSource) -> Iterator[int | Inspection]:
    """Read and decode every image; yields how many are done, and last the `Inspection`."""
    looks: list[_Look] = []
    sketches_ND = np.zeros((len(source.labels_N), BYTES), dtype=np.uint8)
    for seen in _looks(source, range(len(source.labels_N)), decode=True):
        for position, look in enumerate(seen, len(looks)):
            if look.sketch_D is not None:
                sketches_ND[position] = look.sketch_D
        looks += [replace(look, sketch_D=None) for look in seen]
        yield len(looks)
    stamps = {source.ids[i]: look.stamp for i, look in enumerate(looks) if look.stamp is not None}
    yield Inspection(
        contents=tuple(look.content for look in looks),
        shown=tuple(look.shown for look in looks),
        broken={i: look.reason for i, look in enumerate(looks) if look.reason is not None},
        index=FileIndex(stamps),
        tones=tuple(look.tones for look in looks),
        sketches_ND=sketches_ND,
    )


def changed_files(source: ImageSource, index: FileIndex, contents: Sequence[str], excluded: Collection[str]) -> list[str]:
    """Files that are new, gone or other than ``index`` says, a line each; images that are no files of their own are not known.

    Args:
        source: as it is, without the excluded images.
        index: of the files when they were divided.
        contents: hash of what every image is now; empty where only names are to be compared.
        excluded: ids that are in the index but not in the source.
    """
    if not index.stamps:
        return []
    now = dict(zip(source.ids, contents or [""] * len(source.ids), strict=True))
    lines = [f"{name} is new" for name in now if name not in index.stamps]
    lines += [f"{name} is gone" for name in index.stamps if name not in now and name not in excluded]
    both = (name for name in now if name in index.stamps)
    return lines + [f"{name} changed" for name in both if now[name] and now[name] != index.stamps[name].sha256]


def read_contents(source: ImageSource, index: FileIndex) -> Iterator[int | tuple[tuple[str, ...], FileIndex]]:
    """Hashes of what every image is now; files that are as ``index`` says are not read.

    Yields how many of the files that must be read are done, and last the hashes, in the source's order, with the index as it
    should be stored now.

    Raises:
        DataError: naming every file that cannot be read.
    """
    ids = source.ids
    hashes = [index.known(ids[i], source.path(i)) for i in range(len(ids))]
    unknown = [i for i, known in enumerate(hashes) if known is None]
    stamps = {ids[i]: index.stamps[ids[i]] for i, known in enumerate(hashes) if known is not None}
    problems: list[str] = []
    done = 0
    for seen in _looks(source, unknown, decode=False):
        for position, look in zip(unknown[done:], seen, strict=False):
            hashes[position] = look.content
            problems += [look.reason] if look.reason is not None else []
            if look.stamp is not None:
                stamps[ids[position]] = look.stamp
        done += len(seen)
        yield done
    if problems:
        raise DataError(f"{len(problems)} image(s) of {source.name} cannot be read any more", problems=problems)
    yield tuple(known or "" for known in hashes), FileIndex(stamps)
