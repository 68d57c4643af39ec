"""How the images of a data set become what nets read: decided once, when they are first looked at, and kept beside their splits.

Shapes: N images, C channels, H and W rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgenas.data.base import ImageSource
from edgenas.data.inspect import Inspection
from edgenas.data.loaders import ImageStore
from edgenas.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess, Resize, ResizeMode
from edgenas.data.problems import Problem
from edgenas.data.tones import Alpha, Conversion, decide
from edgenas.errors import DataError
from edgenas.fields import Range, require_allowed

NUM_COMPUTED = 2048  # images that mean and deviation are computed on
_LEAST_STD = 1e-3  # of values in [0, 1]
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class PixelSettings:
    """What is asked for.

    Attributes:
        grey_range: grey values of more than 8 bits that become black and white: two numbers, ``full`` (0 and 65535) or ``auto``:
            by the data set's own range, one for all images.
        alpha: what transparent pixels are laid on, or ``drop``; ``auto`` takes what the drawings stand out against.
        normalise: ``imagenet``'s mean and deviation, those ``computed`` on images of train, or ``auto``: those that a given
            start's or teacher's weights were trained with, else ImageNet's.
        mean, std: a channel each, of values in [0, 1]; none takes what ``normalise`` says.
        resize, resize_mode, crop_pct: as `Preprocess` takes them.
    """

    grey_range: Literal["auto", "full"] | tuple[float, ...] = "auto"
    alpha: Alpha = "auto"
    normalise: Literal["auto", "imagenet", "computed"] = "auto"
    mean: tuple[float, ...] = ()
    std: tuple[Annotated[float, Range(gt=0)], ...] = ()
    resize: Resize = "bilinear"
    resize_mode: ResizeMode = "squash"
    crop_pct: Annotated[float, Range(gt=0, le=1)] = 1.0

    def __post_init__(self) -> None:
        require_allowed(self)
        require_pixels(self.grey_range, self.mean, self.std)

    @property
    def changed(self) -> dict[str, Any]:
        """What is not the default, JSON-ready."""
        plain = asdict(self)
        return {
            each.name: list(value) if isinstance(value := plain[each.name], tuple) else value
            for each in fields(self)
            if plain[each.name] != each.default
        }


def require_pixels(grey_range: str | Sequence[float], mean: Sequence[float], std: Sequence[float]) -> None:
    """Check what single values do not tell.

    Raises:
        ValueError: naming what is wrong.
    """
    problems = []
    if not isinstance(grey_range, str) and (len(grey_range) != 2 or not grey_range[0] < grey_range[1]):
        problems.append("grey_range is auto, full or two numbers, the lower one first")
    if any(values and len(values) != 3 for values in (mean, std)):
        problems.append("mean and std have three values each")
    if problems:
        raise ValueError(*problems)


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Mean and deviation of a channel each, of values in [0, 1], and whose they are."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    of: str

    @property
    def words(self) -> str:
        """Both, to be read."""
        return f"mean {_shown(self.mean)}, deviation {_shown(self.std)}"


IMAGENET = Normalisation(IMAGENET_MEAN, IMAGENET_STD, "ImageNet's")


@dataclass(frozen=True, slots=True)
class Pixels:
    """How images become pixels.

    Attributes:
        preprocess: at the data set's resolution.
        notes: what was seen and decided, a line each.
        warnings: what looks wrong all the same.
        problems: of single images.
    """

    preprocess: Preprocess
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def stored(self) -> dict[str, Any]:
        """What splits keep: nothing where everything is as ever."""
        plain = self.preprocess.as_json()
        image_px = plain.pop("image_px")
        usual = Preprocess(image_px, IMAGENET_MEAN, IMAGENET_STD)
        return {} if self.preprocess == usual else plain


def stored_preprocess(pixels: Mapping[str, Any], image_px: int) -> Preprocess:
    """The preprocessing that splits keep, at a resolution; of splits that keep none, as it ever was.

    Raises:
        DataError: if it is impossible.
    """
    if not pixels:
        return Preprocess(image_px, IMAGENET_MEAN, IMAGENET_STD)
    return Preprocess.from_json({**pixels, "image_px": image_px})


def decide_pixels(
    source: ImageSource,
    inspected: Inspection,
    kept: ImageSource,
    train_N: NDArray[np.int64],
    image_px: int,
    asked: PixelSettings,
    known: Normalisation | None = None,
) -> Pixels:
    """Decide how the images of a data set become pixels.

    Args:
        source: that was looked at.
        inspected: in it.
        kept: the source without what was left out.
        train_N: positions in ``kept`` of the images for training.
        image_px: side of the square that nets read.
        asked: by the settings.
        known: what weights that are given were trained with; None without any.
    """
    used = set(kept.ids)
    tones = {name: each for name, each in zip(source.ids, inspected.tones, strict=True) if each is not None and name in used}
    conversion = decide(tones, asked.grey_range, asked.alpha)
    plain = Preprocess(
        image_px,
        (0.0,) * 3,
        (1.0,) * 3,
        resize=asked.resize,
        resize_mode=asked.resize_mode,
        crop_pct=asked.crop_pct,
        grey_range=conversion.grey_range,
        background=conversion.background,
    )
    chosen = _normalisation(asked, known, kept, train_N, plain)
    return _pixels(plain, conversion, asked, chosen)


def _pixels(plain: Preprocess, conversion: Conversion, asked: PixelSettings, chosen: Normalisation) -> Pixels:
    preprocess = Preprocess.from_json({**plain.as_json(), "mean": asked.mean or chosen.mean, "std": asked.std or chosen.std})
    notes = list(conversion.notes)
    if asked.mean or asked.std or chosen != IMAGENET:
        given = " and ".join(name for name in ("mean", "std") if getattr(asked, name))
        whose = f"{given} as set" if given else f"{chosen.of} mean and deviation"
        notes.append(f"images are normalised by {whose}: {Normalisation(preprocess.mean, preprocess.std, '').words}")
    return Pixels(preprocess, tuple(notes), conversion.warnings, conversion.problems)


def _shown(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _normalisation(
    asked: PixelSettings, known: Normalisation | None, kept: ImageSource, train_N: NDArray[np.int64], plain: Preprocess
) -> Normalisation:
    if asked.mean and asked.std:
        return IMAGENET  # of which nothing is used
    if asked.normalise == "computed":
        return _computed(kept, train_N, plain)
    return known if known is not None and asked.normalise == "auto" else IMAGENET


def _computed(kept: ImageSource, train_N: NDArray[np.int64], plain: Preprocess) -> Normalisation:
    """Mean and deviation of every channel over images spread over train, as nets read them but for this."""
    chosen_N = train_N[np.unique(np.linspace(0, len(train_N) - 1, min(NUM_COMPUTED, len(train_N))).astype(np.int64))]
    store = ImageStore(kept, plain, memory_bytes=0)
    sums_C, squares_C = np.zeros(3), np.zeros(3)
    for start in range(0, len(chosen_N), _CHUNK):
        values_NCHW = store.pixels(chosen_N[start : start + _CHUNK]).astype(np.float64) / 255
        sums_C += values_NCHW.sum(axis=(0, 2, 3))
        squares_C += np.square(values_NCHW).sum(axis=(0, 2, 3))
    num = len(chosen_N) * plain.image_px**2
    if not num:
        raise DataError("no images to compute mean and deviation on", hint="set data.mean and data.std")
    mean_C = sums_C / num
    std_C = np.sqrt(np.maximum(squares_C / num - mean_C**2, _LEAST_STD**2))
    mean, std = (tuple(round(float(value), 6) for value in values_C) for values_C in (mean_C, std_C))
    return Normalisation(mean, std, f"the {len(chosen_N):,} training images'")
