"""Images that are a file each: what folder, list and table sources share.

Decoding never trusts a file: empty, truncated, foreign and huge ones are errors that name the file and the reason.
"""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from edgenas.errors import DataError

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
MAX_PIXELS = 89_478_485  # of one image; Pillow's own threshold for what may be a decompression bomb
_OPENING = threading.Lock()  # filters of warnings belong to the whole process


@dataclass(frozen=True, slots=True, eq=False)
class FileImages:
    """Labelled files in a fixed order; the `ImageSource` of folders, lists and tables.

    Attributes:
        paths: of every image.
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


def read_file(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        DataError: naming the file and why it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def decode_file(path: Path) -> Image.Image:
    """Decode one image file wholly; of several frames the first.

    Raises:
        DataError: naming the file and the reason: empty, no image, truncated or damaged, more than `MAX_PIXELS`, unreadable.
    """
    try:
        with _OPENING, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of bombs, which are refused below, and of odd tags
            image = Image.open(path)
        with image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise DataError(f"{path} is too large: {width} x {height} pixels, at most {MAX_PIXELS:,} are decoded")
            image.load()
            return image
    except UnidentifiedImageError as error:
        size = path.stat().st_size
        raise DataError(f"{path} is empty" if size == 0 else f"{path} is no image that can be read ({size} bytes)") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{path} is too large: at most {MAX_PIXELS:,} pixels are decoded") from error
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise DataError(f"{path} cannot be decoded: {reason}") from error
    except (ValueError, SyntaxError, ArithmeticError, LookupError, TypeError, AttributeError, MemoryError) as error:
        # what Pillow's decoders raise on damaged bytes
        raise DataError(f"{path} cannot be decoded: {' '.join(str(error).split()) or type(error).__name__}") from error
