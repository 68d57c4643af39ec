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
from PIL import Image

from edgenas.data.deep import deep_values, is_deep, upright, with_colours
from edgenas.errors import DataError

Resize = Literal["bilinear", "bicubic", "lanczos", "box"]
ResizeMode = Literal["squash", "crop", "letterbox"]
Background = Literal["white", "grey", "black"]
Unforeseen = Literal["range", "ground"]  # that an image needs, and the steps do not name
Augmentation = Literal["none", "light", "crop", "base", "autoaug", "randaug", "deit", "torchio"]  # of training: `augment` has them

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
BACKGROUNDS = {"white": 255, "grey": 128, "black": 0}  # value of all three channels

_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}
_KEYS = ("image_px", "mean", "std", "resize", "resize_mode", "crop_pct", "channels")
_LATER = ("grey_range", "background")  # absent in what was written before them; None then as now means the same
SHOWN = "shown"  # in `Image.info`: how the file itself says that its grey values are shown, mode L


def is_wide(image: Image.Image) -> bool:
    """Whether an image holds grey values or colours of more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16") or is_deep(image)


def wide_values(image: Image.Image) -> NDArray[Any]:
    """The values of an image that `is_wide`, shape (H, W), of colours (H, W, C)."""
    return deep_values(image) if is_deep(image) else np.asarray(image)


def has_alpha(image: Image.Image) -> bool:
    """Whether an image says how transparent its pixels are."""
    return image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info


def narrowed(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Values as 8 bits: ``low`` and less become 0, ``high`` and more 255, what is no number 0; in float64, halves go up."""
    wide_HW = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
    levels_HW = np.floor((np.clip(wide_HW, low, high) - low) * 255.0 / (high - low) + 0.5)
    return levels_HW.astype(np.uint8)


def _narrow(image: Image.Image, grey_range: tuple[float, float] | None) -> Image.Image:
    if is_deep(image):  # without a range as Pillow gives it: the upper 8 bits
        return image if grey_range is None else with_colours(image, narrowed(deep_values(image), *grey_range))
    if grey_range is not None:
        return Image.fromarray(narrowed(np.asarray(image), *grey_range))
    if SHOWN in image.info:
        shown: Image.Image = image.info[SHOWN]
        return shown
    return image if image.mode == "F" else Image.fromarray(narrowed(np.asarray(image), 0, 65535))


def _composited(image: Image.Image, background: Background) -> Image.Image:
    over = Image.new("RGBA", image.size, (BACKGROUNDS[background],) * 3 + (255,))
    return Image.alpha_composite(over, image.convert("RGBA")).convert("RGB")


def to_rgb(image: Image.Image, grey_range: tuple[float, float] | None = None, background: Background | None = None) -> Image.Image:
    """Upright 8-bit RGB.

    EXIF orientation is applied. Grey values and colours of more than 8 bits become `narrowed` ones. Palettes are looked up, CMYK is
    converted by Pillow's formula without colour profiles.

    Args:
        image: decoded; not changed.
        grey_range: which values of more than 8 bits become 0 and 255; None takes 0 and 65535, of a float image 0 and 255, of
            colours the upper 8 bits, and of a file that says itself how it is shown just that.
        background: what transparent pixels are laid on; None drops alpha.

    Raises:
        DataError: for a mode that Pillow cannot convert.
    """
    image = upright(image)
    if is_wide(image):
        image = _narrow(image, grey_range)
    try:
        if background is not None and has_alpha(image):
            return _composited(image, background)
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")
        return image if image.mode == "RGB" else image.convert("RGB")
    except ValueError as error:
        raise DataError(f"an image of mode {image.mode} cannot be converted to RGB") from error


@dataclass(frozen=True, slots=True)
class Preprocess:
    """Image in, float32 array of shape (3, ``image_px``, ``image_px``) out.

    Steps: `to_rgb`; resize with antialias (Pillow); pad (letterbox); centre crop; divide by 255; subtract ``mean``, divide by
    ``std`` per channel, all three in float32.

    Attributes:
        image_px: side of the result.
        mean: per channel, of values in [0, 1].
        std: per channel, above 0.
        resize: filter.
        resize_mode: ``squash`` resizes to a square of ``floor(image_px / crop_pct)``; ``crop`` resizes the shorter side to that
            and the longer one to ``floor(that * longer / shorter)``; ``letterbox`` resizes the longer side to that and the shorter
            one to ``max(1, floor(that * shorter / longer))``, and lays the image on a square of the ``background``, black without
            one, at ``floor((square - side) / 2)``. The crop starts at ``round((side - image_px) / 2)``, halves to even.
        crop_pct: share of the resized square that the centre crop keeps, in (0, 1].
        channels: their order.
        grey_range, background: as `to_rgb` takes them.
    """

    image_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: Resize = "bilinear"
    resize_mode: ResizeMode = "squash"
    crop_pct: float = 1.0
    channels: Literal["RGB"] = "RGB"
    grey_range: tuple[float, float] | None = None
    background: Background | None = None

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
        if self.background is not None and self.background not in BACKGROUNDS:
            problems.append(f"background is {self.background!r}; allowed are {', '.join(BACKGROUNDS)}")
        if self.grey_range is not None and not _is_range(self.grey_range):
            problems.append(f"grey_range is {list(self.grey_range)}; two finite values are needed, the lower one first")
        if problems:
            raise DataError("this preprocessing is impossible", problems=problems)

    def unforeseen(self, image: Image.Image) -> Unforeseen | None:
        """What an image holds that these steps do not name: a range for its values, a ground for its transparent pixels."""
        if is_wide(image) and self.grey_range is None and SHOWN not in image.info:
            return "range"
        if self.background is None and has_alpha(image) and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            return "ground"
        return None

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """The image after resize and crop, uint8, shape (3, image_px, image_px). What a cache holds."""
        image = to_rgb(image, self.grey_range, self.background)
        target = math.floor(self.image_px / self.crop_pct)
        width, height = self._resized(image.size, target)
        if image.size != (width, height):
            image = image.resize((width, height), _FILTERS[self.resize])
        if self.resize_mode == "letterbox":
            square = Image.new("RGB", (target, target), (BACKGROUNDS[self.background or "black"],) * 3)
            square.paste(image, ((target - width) // 2, (target - height) // 2))
            image, width, height = square, target, target
        left, top = round((width - self.image_px) / 2), round((height - self.image_px) / 2)
        if (width, height) != (self.image_px, self.image_px):
            image = image.crop((left, top, left + self.image_px, top + self.image_px))
        return np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))

    def _resized(self, size: tuple[int, int], target: int) -> tuple[int, int]:
        """Width and height after resizing."""
        if self.resize_mode == "squash":
            return target, target
        if self.resize_mode == "crop":
            return target * size[0] // min(size), target * size[1] // min(size)
        return max(1, target * size[0] // max(size)), max(1, target * size[1] // max(size))

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
        """JSON-ready, read back by `from_json`; without `grey_range` and `background` where they are None."""
        kept = [key for key in (*_KEYS, *_LATER) if key in _KEYS or getattr(self, key) is not None]
        return {key: list(value) if isinstance(value := getattr(self, key), tuple) else value for key in kept}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Preprocess:
        """Read what `as_json` wrote.

        Raises:
            DataError: listing missing, unknown and impossible values.
        """
        problems = [f"{key} is missing" for key in _KEYS if key not in value]
        problems += [f"{key} is unknown" for key in value if key not in (*_KEYS, *_LATER)]
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
                grey_range=_range(value.get("grey_range")),
                background=value.get("background"),
            )
        except (TypeError, ValueError) as error:
            raise DataError(f"this preprocessing cannot be read: {error}") from error


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"image_px is {value!r}, not a whole number")
    return value


def _range(value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    low, high = (float(bound) for bound in value)
    return low, high


def _is_range(values: tuple[float, float]) -> bool:
    return len(values) == 2 and all(map(math.isfinite, values)) and values[0] < values[1]
