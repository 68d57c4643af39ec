"""What a data source must offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

PARTS = ("train", "val", "test")  # words of `ImageSource.published_split`


@runtime_checkable
class ImageSource(Protocol):
    """Labelled images in a fixed order. Constructing one reads names and labels, not necessarily pixels."""

    @property
    def name(self) -> str:
        """As `open_source` takes it."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the labels 0, 1, ..., each once."""
        ...

    @property
    def labels_N(self) -> NDArray[np.int64]:  # noqa: N802 - shape suffix
        """Class index of every image."""
        ...

    @property
    def ids(self) -> tuple[str, ...]:
        """A distinct name of every image, the same on every machine."""
        ...

    @property
    def groups(self) -> tuple[str, ...] | None:
        """What must not be split (the patient) of every image; None where unknown."""
        ...

    @property
    def sites(self) -> tuple[str, ...] | None:
        """Where every image was taken; None where unknown."""
        ...

    @property
    def published_split(self) -> tuple[str, ...] | None:
        """``train``, ``val`` or ``test`` of every image, where the data come divided."""
        ...

    @property
    def default_space(self) -> str:
        """Search space that fits these images."""
        ...

    @property
    def default_image_px(self) -> int:
        """Resolution that fits these images."""
        ...

    @property
    def default_positive(self) -> str | None:
        """The class that must not be missed, where the data have an obvious one."""
        ...

    def load(self, index: int) -> Image.Image:
        """Decode one image; safe to call from several threads.

        Raises:
            DataError: naming the image if it cannot be decoded.
        """
        ...

    def content(self, index: int) -> bytes:
        """Bytes that change whenever the image does; cheaper than decoding where that is possible."""
        ...
