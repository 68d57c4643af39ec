"""Images that are held in memory: what sources that come as a few large files share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True, slots=True, eq=False)
class ArrayImages:
    """Labelled pixels in a fixed order.

    Attributes:
        pixels_NHW: uint8, shape (N, H, W) for grey images, (N, H, W, 3) for RGB.
    """

    name: str
    class_names: tuple[str, ...]
    ids: tuple[str, ...]
    pixels_NHW: NDArray[np.uint8]
    labels_N: NDArray[np.int64]
    published_split: tuple[str, ...] | None = None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None
    sites: tuple[str, ...] | None = None
    file_keys: tuple[str, ...] | None = None
    default_space: str = "pvt-nano"
    default_image_px: int = 32
    default_positive: str | None = None

    def path(self, index: int) -> Path | None:
        """None: the images share files."""
        return None

    def load(self, index: int) -> Image.Image:
        """One image, mode L or RGB."""
        return Image.fromarray(self.pixels_NHW[index])

    def content(self, index: int) -> bytes:
        """The image's pixels."""
        return bytes(self.pixels_NHW[index].tobytes())


def numbered(parts: list[str]) -> tuple[str, ...]:
    """An id for every image, ``PART/NUMBER``, counted within its part."""
    seen: dict[str, int] = {}
    ids = []
    for part in parts:
        seen[part] = seen.get(part, -1) + 1
        ids.append(f"{part}/{seen[part]:05d}")
    return tuple(ids)
