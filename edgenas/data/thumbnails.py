"""Small images for a page: as a careful viewer shows them, in few bytes."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

from edgenas.data.base import ImageSource
from edgenas.data.samples import displayed

LOSSLESS_PX = 64  # longest side up to which an image is kept pixel by pixel
QUALITY = 82  # of JPEG, in per cent


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """An image as a file's bytes."""

    mime: str
    content: bytes
    width: int
    height: int


def thumbnail(source: ImageSource, index: int, longest_px: int) -> Thumbnail:
    """An image of a source, no side longer than ``longest_px``, without what its file says of camera, place and patient.

    Raises:
        DataError: if it cannot be decoded.
    """
    pixels_HW3, _ = displayed(source.load(index), longest_px)
    image, file = Image.fromarray(pixels_HW3), io.BytesIO()
    is_small = max(image.size) <= LOSSLESS_PX
    if is_small:
        image.save(file, format="PNG", optimize=True)
    else:
        image.save(file, format="JPEG", quality=QUALITY)
    return Thumbnail("image/png" if is_small else "image/jpeg", file.getvalue(), image.width, image.height)
