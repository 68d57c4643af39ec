"""Images that are a file each: what folder, list and table sources share.

Decoding never trusts a file: empty, truncated, foreign and huge ones are errors that name the file and the reason.
"""

from __future__ import annotations

import io
import stat
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, features

from edgenas.data.deep import LOW, low_bits
from edgenas.data.problems import Problem
from edgenas.data.quiet import MAX_PIXELS, quietly
from edgenas.errors import DataError
from edgenas.runs.outside import MAX_IMAGE_BYTES, OutsideError, read_regular

_USUAL = (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tga", ".tif", ".tiff")
_BY_LIBRARY = {".avif": "avif", ".jp2": "jpg_2000", ".webp": "webp"}  # Pillow reads them where it was built with these
DICOM_EXTENSIONS = (".dcm", ".dicom")
EXTENSIONS = (*_USUAL, *(suffix for suffix, feature in _BY_LIBRARY.items() if features.check(feature)), *DICOM_EXTENSIONS)


@dataclass(frozen=True, slots=True, eq=False)
class FileImages:
    """Labelled files in a fixed order; the `ImageSource` of folders, lists and tables.

    Attributes:
        paths: of every image.
        odd: what was seen in names and labels.
        unclear: by label, why it cannot be taken for a class before somebody says so.
        empty: labels that lack images somewhere, with what is to be said of them unless others become one class with them.
    """

    name: str
    class_names: tuple[str, ...]
    ids: tuple[str, ...]
    paths: tuple[Path, ...]
    labels_N: NDArray[np.int64]
    groups: tuple[str, ...] | None = None
    sites: tuple[str, ...] | None = None
    published_split: tuple[str, ...] | None = None
    file_keys: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    default_space: str = "pvt-covidx"
    default_image_px: int = 256
    default_positive: str | None = None
    odd: tuple[Problem, ...] = ()
    unclear: Mapping[str, str] = field(default_factory=dict)
    empty: tuple[tuple[str, str], ...] = ()

    def path(self, index: int) -> Path | None:
        """The image's file."""
        return self.paths[index]

    def load(self, index: int) -> Image.Image:
        """Decode one file.

        Raises:
            DataError: naming the file and why it cannot be decoded.
        """
        return decode_file(self.paths[index])

    def content(self, index: int) -> bytes:
        """The file's bytes.

        Raises:
            DataError: if it cannot be read.
        """
        return read_file(self.paths[index])


def is_plain(name: str) -> bool:
    """Whether a name survives in a text file and on a terminal: no control characters, no line ends, no lone surrogates.

    Names that are not UTF-8 reach Python with lone surrogates.
    """
    return name.isprintable() or not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in name)


def read_file(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        DataError: naming the file and why it cannot be read.
    """
    try:
        return read_regular(path, MAX_IMAGE_BYTES)
    except OutsideError as error:
        raise DataError(f"{path} {error}") from error


def _require_regular(path: Path) -> None:
    """Refuse what cannot be read to an end: a pipe would wait for a writer, a device may never end."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # opening it tells why
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise DataError(f"{path} is no regular file")


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte order mark; line ends are kept.

    Raises:
        DataError: naming the file and why it is no such text: a folder, unreadable, NUL bytes, another encoding.
    """
    data = read_file(path)
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        raise DataError(f"{path} is no text in UTF-8: line {line} holds a NUL byte", hint="save it as plain text in UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        reason = f"line {line} holds the byte {data[error.start]:#04x}"
        raise DataError(f"{path} is no text in UTF-8: {reason}", hint="save it as plain text in UTF-8") from error


def why_no_file(path: Path) -> str:
    """Why ``path`` is no file that can be opened, such as "is missing"; empty where it is one."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    except OSError as error:
        return f"cannot be opened: {error.strerror or error}"
    if stat.S_ISREG(mode):
        return ""
    return "is a folder" if stat.S_ISDIR(mode) else "is no regular file"


def is_file(path: Path) -> bool:
    """Whether there is such a file; False where it cannot be asked, as for too long a name."""
    return not why_no_file(path)


def decode_file(path: Path) -> Image.Image:
    """Decode one image file wholly; of several frames the first.

    Raises:
        DataError: naming the file and the reason: empty, no image, truncated or damaged, more than `MAX_PIXELS`, unreadable.
    """
    _require_regular(path)
    if path.suffix.lower() in DICOM_EXTENSIONS:
        from edgenas.data.dicom import decode_dicom

        return decode_dicom(path)
    try:
        return _decode(path, str(path))
    except UnidentifiedImageError as error:
        raise _no_image(str(path), path.stat().st_size) from error


def decode_bytes(data: bytes, name: str) -> Image.Image:
    """Decode one image from its encoded bytes, as `decode_file`.

    Args:
        data: what a file would hold.
        name: for messages.

    Raises:
        DataError: as `decode_file`.
    """
    try:
        return _decode(io.BytesIO(data), name)
    except UnidentifiedImageError as error:
        raise _no_image(name, len(data)) from error


def _no_image(name: str, size: int) -> DataError:
    return DataError(f"{name} is empty" if size == 0 else f"{name} is no image that can be read ({size} bytes)")


def _decode(source: Path | io.BytesIO, name: str) -> Image.Image:
    try:
        with quietly():  # bombs are refused below
            image = Image.open(source)
        with image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise DataError(f"{name} is too large: {width} x {height} pixels, at most {MAX_PIXELS:,} are decoded")
            low = low_bits(image, source)
            image.load()
            if low is not None:
                image.info[LOW] = low
            return image
    except UnidentifiedImageError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{name} is too large: at most {MAX_PIXELS:,} pixels are decoded") from error
    except FileNotFoundError as error:
        raise DataError(f"{name} does not exist") from error
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise DataError(f"{name} cannot be decoded: {reason}") from error
    except (ValueError, SyntaxError, ArithmeticError, LookupError, TypeError, AttributeError, MemoryError) as error:
        # what Pillow's decoders raise on damaged bytes
        raise DataError(f"{name} cannot be decoded: {' '.join(str(error).split()) or type(error).__name__}") from error
