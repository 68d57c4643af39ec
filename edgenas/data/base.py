"""What a data source must offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pathlib import Path

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
    def file_keys(self) -> tuple[str, ...] | None:
        """What names the same file wherever the data list it, of every image; None where ids do.

        Differs from the ids where one file may be listed in several published parts.
        """
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the data, a line each: repeated lines, files that nothing lists."""
        ...

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that keeps the data from being used, a line each; `open_source` raises where there are any."""
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

    def path(self, index: int) -> Path | None:
        """The file that holds this image and nothing else; None where there is none."""
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
