"""Colours of 16 bits, of which Pillow gives the upper 8 alone: the lower ones beside them, and the values that both make.

Pillow has no mode for such colours, but decoders that pick one byte of two. A second decoding that picks the other byte gives what
the first leaves out. This holds for PNG (with alpha, and grey with alpha) and TIFF; other formats say how many bits they use.

Shapes: H and W rows and columns, C colour channels, alpha not among them.
"""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from edgenas.data.quiet import quietly
from edgenas.runs.outside import MAX_IMAGE_BYTES, OutsideError, read_regular

LOW = "low"  # in `Image.info`: an image of the lower 8 bits of the colour channels
_MODES = ("RGB", "RGBX", "RGBA")  # grey with alpha is among them
_OTHER_BYTE = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_HEADER = 33  # bytes of a PNG file before its second chunk
_GREY_ALPHA_16 = b"\x10\x04"  # bit depth and colour type of its header
_COLOUR_ALPHA_8 = b"\x08\x06"  # which has pixels of as many bytes: grey high, grey low, alpha high, alpha low


def is_deep(image: Image.Image) -> bool:
    """Whether the lower bits of colours of 16 bits are there."""
    return LOW in image.info


def low_bits(image: Image.Image, source: Path | io.BytesIO) -> Image.Image | None:
    """The lower 8 bits of colours of 16 bits, as an image of the colour channels; None for all other images.

    Args:
        image: opened, not yet loaded.
        source: that it was opened from.

    Raises:
        OSError: or whatever else Pillow raises for damaged files.
    """
    tiles: list[Any] = getattr(image, "tile", [])
    raws = [tile[3] if isinstance(tile[3], str) else tile[3][0] for tile in tiles if tile[3]]
    if image.mode not in _MODES or not raws or not all(isinstance(raw, str) and raw[-4:-1] == ";16" for raw in raws):
        return None
    if raws[0] == "LA;16B":
        return _low_of_grey(source)
    with _opened(source) as again:
        again.tile = [_other_byte(tile) for tile in again.tile]
        again.load()
        low: Image.Image = again if again.mode == "RGB" else again.convert("RGB")
        low.info = dict(again.info)  # with the orientation
        return low


def _opened(source: Path | io.BytesIO) -> Any:
    if isinstance(source, io.BytesIO):
        source = io.BytesIO(source.getvalue())
    with quietly():
        return Image.open(source)


def _other_byte(tile: Any) -> Any:
    """What a decoder is given, for it to pick the other byte of each value; a named tuple or, in earlier Pillows, a plain one."""
    raw, *more = (tile[3],) if isinstance(tile[3], str) else tile[3]
    other = raw[:-1] + _OTHER_BYTE[raw[-1]]
    parts = (*tile[:3], (other, *more) if more else other)
    return type(tile)(*parts) if hasattr(tile, "_fields") else parts


def _low_of_grey(source: Path | io.BytesIO) -> Image.Image | None:
    """The lower 8 bits of a grey PNG with alpha, read as one whose four channels are the bytes of its two."""
    data = source.getvalue() if isinstance(source, io.BytesIO) else _whole(source)
    if data[24:26] != _GREY_ALPHA_16:
        return None
    header = data[12:24] + _COLOUR_ALPHA_8 + data[26:29]
    four = data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[_HEADER:]
    with Image.open(io.BytesIO(four)) as image:
        low = image.getchannel(1)
        low.info = dict(image.info)
        return low


def _whole(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_IMAGE_BYTES)
    except OutsideError as error:
        raise OSError(str(error)) from error


def upright(image: Image.Image) -> Image.Image:
    """The image as EXIF says that it is to be looked at, its lower bits likewise."""
    turned = ImageOps.exif_transpose(image)
    if is_deep(turned):
        turned.info[LOW] = ImageOps.exif_transpose(image.info[LOW])
    return turned


def deep_values(image: Image.Image) -> NDArray[np.uint16]:
    """The values of the colour channels, shape (H, W, C), of grey (H, W)."""
    low = np.asarray(image.info[LOW])
    num = 1 if low.ndim == 2 else low.shape[2]
    high = np.asarray(image)[..., 0] if low.ndim == 2 else np.asarray(image)[..., :num]
    values: NDArray[np.uint16] = (high.astype(np.uint16) << 8) | low
    return values


def with_colours(image: Image.Image, levels: NDArray[np.uint8]) -> Image.Image:
    """Other colours, shape (H, W, C) or (H, W), with the image's alpha, if it has any; of 8 bits alone."""
    result = Image.fromarray(np.ascontiguousarray(levels))
    if "A" in image.getbands():
        result.putalpha(image.getchannel("A"))
    return result
