"""Sides of images at which a space is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from edgenas.data import ImageSource
from edgenas.spaces import SearchSpace
from edgenas.spaces.base import RESOLUTION

SIDES = (32, 48, 64, 96, 128, 160, 192, 224, 256)
LEAST_SHARE, MOST_TIMES = 0.5, 2.0  # of the side that a space was published for
LARGER = 2.0  # nets that choose their own side may read images so many times as large as they are stored
SEEN = 64  # images whose size is looked at


def stored_px(source: ImageSource, *, seed: int = 0) -> int:
    """Shorter side of the images as they are stored, the median of some.

    Raises:
        DataError: naming an image that cannot be decoded.
    """
    num = len(source.labels_N)
    some = np.sort(np.random.default_rng(seed).choice(num, size=min(SEEN, num), replace=False))
    return int(np.median([min(source.load(int(index)).size) for index in some]))


def sides_for(
    spaces: Mapping[str, SearchSpace], images_px: int, image_px: int | None
) -> dict[str, tuple[SearchSpace, tuple[int, ...]]]:
    """Spaces with the sides at which they are looked at, by name; spaces without any are left out.

    Args:
        spaces: by name.
        images_px: side of the images as they are stored.
        image_px: the one side that is asked for; None leaves the choice.
    """
    sides = {name: sides_of(space, images_px if image_px is None else image_px) for name, space in spaces.items()}
    if image_px is not None:
        near = [name for name, space in spaces.items() if sides[name] and _is_near(space, image_px)]
        sides = dict.fromkeys(near or spaces, (image_px,))
    return {name: (spaces[name], possible) for name, possible in sides.items() if possible}


def sides_of(space: SearchSpace, images_px: int) -> tuple[int, ...]:
    """Sides from the largest down at which a space makes sense for images that are stored with a side of ``images_px``.

    From half to twice the side that it was published for, for strides and patches are made for one; none is more than the next
    step above what is stored, for enlarging shows nothing new. A space whose nets choose their own side has one, its largest.
    """
    cap_px = next((side for side in SIDES if side >= images_px), SIDES[-1])
    if RESOLUTION in space.index:
        own = [cast(int, option) for option in space.choices[space.index[RESOLUTION]].options]
        return (max(own),) if min(own) <= LARGER * cap_px else ()
    return tuple(side for side in reversed(SIDES) if side <= cap_px and _is_near(space, side))


def _is_near(space: SearchSpace, side: int) -> bool:
    """Whether a side is near to that which a space was published for, or its nets choose their own."""
    published_px = space.default_task.image_px
    return RESOLUTION in space.index or LEAST_SHARE * published_px <= side <= MOST_TIMES * published_px
