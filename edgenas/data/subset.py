"""A source without some of its images."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgenas.data.base import ImageSource
from edgenas.data.problems import Problem, odd_of


@dataclass(frozen=True, slots=True, eq=False)
class Subset:
    """Some images of ``whole``, in its order; classes stay, even those without an image.

    Attributes:
        kept: positions in ``whole``.
    """

    whole: ImageSource
    kept: tuple[int, ...]
    name: str
    class_names: tuple[str, ...]
    labels_N: NDArray[np.int64]
    ids: tuple[str, ...]
    groups: tuple[str, ...] | None
    sites: tuple[str, ...] | None
    published_split: tuple[str, ...] | None
    file_keys: tuple[str, ...] | None
    notes: tuple[str, ...]
    problems: tuple[str, ...]
    default_space: str
    default_image_px: int
    default_positive: str | None
    odd: tuple[Problem, ...] = ()

    def path(self, index: int) -> Path | None:
        """As the whole source's."""
        return self.whole.path(self.kept[index])

    def load(self, index: int) -> Image.Image:
        """As the whole source's."""
        return self.whole.load(self.kept[index])

    def content(self, index: int) -> bytes:
        """As the whole source's."""
        return self.whole.content(self.kept[index])


def without(source: ImageSource, ids: Collection[str]) -> ImageSource:
    """The source without the images of these ids; itself where it has none of them."""
    gone = set(ids)
    kept = tuple(position for position, name in enumerate(source.ids) if name not in gone)
    if len(kept) == len(source.ids):
        return source

    def some(values: Sequence[str] | None) -> tuple[str, ...] | None:
        return None if values is None else tuple(values[position] for position in kept)

    return Subset(
        whole=source,
        kept=kept,
        name=source.name,
        class_names=source.class_names,
        labels_N=source.labels_N[list(kept)],
        ids=tuple(source.ids[position] for position in kept),
        groups=some(source.groups),
        sites=some(source.sites),
        published_split=some(source.published_split),
        file_keys=some(source.file_keys),
        notes=source.notes,
        problems=source.problems,
        default_space=source.default_space,
        default_image_px=source.default_image_px,
        default_positive=source.default_positive,
        odd=odd_of(source),
    )
