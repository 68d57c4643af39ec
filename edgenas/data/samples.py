"""Some images of every class as their files show them, beside what nets read: what a person looks at before anything is trained.

Shapes: H and W rows and columns.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgenas.data.base import ImageSource
from edgenas.data.deep import is_deep, upright, with_colours
from edgenas.data.preprocess import Preprocess, has_alpha, is_wide, narrowed, wide_values
from edgenas.data.splits import Splits
from edgenas.records import SamplePair, SamplePicture
from edgenas.runs import Picture

PER_CLASS = 4  # images
MOST_CLASSES = 24
SHOWN_PX = 192  # longest side of a file's image as it is drawn
_SQUARE_PX = 8  # of the board behind transparent pixels


def sample_picture(source: ImageSource, splits: Splits, preprocess: Preprocess, path: Path) -> Picture[SamplePicture]:
    """Images of train, spread evenly over every class; of more than `MOST_CLASSES` classes the first ones.

    Args:
        source: that was divided.
        splits: of it.
        preprocess: as nets read it.
        path: of the picture.

    Raises:
        DataError: naming an image that cannot be decoded any more.
    """
    train_N = splits["train"]
    labels_N = source.labels_N[train_N]
    pairs = []
    for label, name in enumerate(splits.class_names[:MOST_CLASSES]):
        own_N = train_N[labels_N == label]
        places_N = np.unique(np.linspace(0, len(own_N) - 1, min(PER_CLASS, len(own_N))).astype(np.int64))
        pairs += [_pair(source, int(index), name, preprocess) for index in own_N[places_N]]
    more = len(splits.class_names) - MOST_CLASSES
    shows = SamplePicture(pairs=tuple(pairs), title=source.name, how=_how(preprocess), num_more=max(0, more))
    return Picture(shows, (path,))


def _pair(source: ImageSource, index: int, name: str, preprocess: Preprocess) -> SamplePair:
    image = source.load(index)
    pixels_CHW = preprocess.pixels(image)
    before_HW3, words = displayed(image)
    return SamplePair(
        class_name=name,
        image=source.ids[index],
        words=words,
        before_HW3=before_HW3,
        after_HW3=np.ascontiguousarray(pixels_CHW.transpose(1, 2, 0)),
    )


def displayed(decoded: Image.Image, longest_px: int = SHOWN_PX) -> tuple[NDArray[np.uint8], str]:
    """A file's image as a careful viewer shows it, with what was done for that.

    More than 8 bits are shown from the image's own lowest to its own highest value, transparent pixels on a chequered board; no
    side is longer than ``longest_px``.
    """
    image = upright(decoded)
    words = f"{image.mode} {image.width} x {image.height}"
    if is_wide(image):
        values = wide_values(image)
        finite_N = values[np.isfinite(values)]
        low, high = float(finite_N.min()), float(finite_N.max())
        words += f"{', 16 bits' if is_deep(image) else ''}, {low:g} to {high:g}"
        image = with_colours(image, narrowed(values, low, high if high > low else low + 1))
    if has_alpha(image):
        words += ", alpha"
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(_board(rgba.size), rgba)
    image = image.convert("RGB")
    image.thumbnail((longest_px, longest_px))
    return np.array(image, dtype=np.uint8), words


def _board(size: tuple[int, int]) -> Image.Image:
    scale = max(1, max(size) // SHOWN_PX)
    y_HW, x_HW = np.indices((size[1], size[0])) // (_SQUARE_PX * scale)
    grey_HW = np.where((y_HW + x_HW) % 2 == 0, 200, 150).astype(np.uint8)
    return Image.fromarray(grey_HW).convert("RGBA")


def _how(preprocess: Preprocess) -> str:
    words = [f"{preprocess.image_px} px", preprocess.resize_mode, preprocess.resize]
    if preprocess.crop_pct != 1:
        words.append(f"crop {preprocess.crop_pct:g}")
    if preprocess.grey_range is not None:
        words.append("grey values {:g} to {:g}".format(*preprocess.grey_range))
    if preprocess.background is not None:
        words.append(f"transparent pixels on {preprocess.background}")
    return ", ".join(words)
