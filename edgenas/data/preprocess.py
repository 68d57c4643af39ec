"""From a decoded image to what a net reads, exact enough to write in another language.

Shapes: H and W rows and columns, C colour channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from edgenas.errors import DataError

Resize = Literal["bilinear", "bicubic"]
ResizeMode = Literal["squash", "crop"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_KEYS = ("image_px", "mean", "std", "resize", "resize_mode", "crop_pct", "channels")


def to_rgb(image: Image.Image) -> Image.Image:
    """Upright 8-bit RGB.

    EXIF orientation is applied. 16-bit grey values (also those that Pillow holds in 32 bits) become ``(v + 128) // 257``, clipped
    to 0..65535 first. Palettes are looked up, alpha is dropped, CMYK is converted by Pillow's formula without colour profiles.

    Raises:
        DataError: for a mode that Pillow cannot convert.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode == "I" or image.mode.startswith("I;16"):
        wide_HW = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        image = Image.fromarray(((wide_HW + 128) // 257).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    try:
        return image if image.mode == "RGB" else image.convert("RGB")
    except ValueError as error:
        raise DataError(f"an image of mode {image.mode} cannot be converted to RGB") from error


@dataclass(frozen=True, slots=True)
class Preprocess:
    """Image in, float32 array of shape (3, ``image_px``, ``image_px``) out.

    Steps: `to_rgb`; resize with antialias (Pillow); centre crop; divide by 255; subtract ``mean``, divide by ``std`` per channel,
    all three in float32.

    Attributes:
        image_px: side of the result.
        mean: per channel, of values in [0, 1].
        std: per channel, above 0.
        resize: filter.
        resize_mode: ``squash`` resizes to a square of ``floor(image_px / crop_pct)``; ``crop`` resizes the shorter side to that
            and the longer one to ``floor(that * longer / shorter)``. The crop starts at ``round((side - image_px) / 2)``, halves
            to even.
        crop_pct: share of the resized square that the centre crop keeps, in (0, 1].
        channels: their order.
    """

    image_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: Resize = "bilinear"
    resize_mode: ResizeMode = "squash"
    crop_pct: float = 1.0
    channels: Literal["RGB"] = "RGB"

    def __post_init__(self) -> None:
        problems = []
        if self.image_px < 1:
            problems.append(f"image_px is {self.image_px}; at least 1 is needed")
        if len(self.mean) != 3 or len(self.std) != 3:
            problems.append("mean and std need three values each")
        if not all(math.isfinite(value) for value in (*self.mean, *self.std)) or not all(value > 0 for value in self.std):
            problems.append("mean and std must be finite, std above 0")
        if self.resize not in get_args(Resize) or self.resize_mode not in get_args(ResizeMode):
            problems.append(f"resize {self.resize!r} or resize_mode {self.resize_mode!r} is unknown")
        if not 0 < self.crop_pct <= 1:
            problems.append(f"crop_pct is {self.crop_pct}; allowed is (0, 1]")
        if self.channels != "RGB":
            problems.append(f"channels is {self.channels!r}; allowed is 'RGB'")
        if problems:
            raise DataError("this preprocessing is impossible", problems=problems)

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """The image after resize and crop, uint8, shape (3, image_px, image_px). What a cache holds."""
        image = to_rgb(image)
        target = math.floor(self.image_px / self.crop_pct)
        width, height = target, target
        if self.resize_mode == "crop":
            shorter = min(image.size)
            width, height = (target * side // shorter for side in image.size)
        if image.size != (width, height):
            image = image.resize((width, height), _FILTERS[self.resize])
        left, top = round((width - self.image_px) / 2), round((height - self.image_px) / 2)
        if (width, height) != (self.image_px, self.image_px):
            image = image.crop((left, top, left + self.image_px, top + self.image_px))
        return np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))

    def normalise(self, pixels_CHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Float32 values of pixels, shape (..., 3, H, W)."""
        mean_C11 = np.asarray(self.mean, dtype=np.float32)[:, None, None]
        std_C11 = np.asarray(self.std, dtype=np.float32)[:, None, None]
        values = pixels_CHW.astype(np.float32) / np.float32(255)
        result: NDArray[np.float32] = (values - mean_C11) / std_C11
        return result

    def __call__(self, image: Image.Image) -> NDArray[np.float32]:
        """What the net reads, float32, shape (3, image_px, image_px)."""
        return self.normalise(self.pixels(image))

    def as_json(self) -> dict[str, Any]:
        """JSON-ready, read back by `from_json`."""
        return {key: list(value) if isinstance(value := getattr(self, key), tuple) else value for key in _KEYS}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Preprocess:
        """Read what `as_json` wrote.

        Raises:
            DataError: listing missing, unknown and impossible values.
        """
        problems = [f"{key} is missing" for key in _KEYS if key not in value]
        problems += [f"{key} is unknown" for key in value if key not in _KEYS]
        if problems:
            raise DataError("this preprocessing cannot be read", problems=problems)
        try:
            return cls(
                image_px=_integer(value["image_px"]),
                mean=tuple(float(x) for x in value["mean"]),
                std=tuple(float(x) for x in value["std"]),
                resize=value["resize"],
                resize_mode=value["resize_mode"],
                crop_pct=float(value["crop_pct"]),
                channels=value["channels"],
            )
        except (TypeError, ValueError) as error:
            raise DataError(f"this preprocessing cannot be read: {error}") from error


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"image_px is {value!r}, not a whole number")
    return value
