"""Lines of logs and journals: what an epoch of a training reached, what a net predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from edgenas.records.codec import OMITTED, JsonRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class LogShown(JsonRecord):
    """Nets of a supernet that its epochs are not judged by; shares of images.

    Attributes:
        top1: of the ``median`` net, and the mean of the ``random set``.
        spread: standard deviation of the accuracies in the random set.
        num_images: of select that these nets were shown.
        sensitivity: by class, by net, those that are judged included.
    """

    top1: Mapping[str, float]
    spread: float
    num_images: int
    sensitivity: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow(JsonRecord):
    """One line of a training's log, as far as anybody asks.

    Attributes:
        epoch: counted from 1.
        losses: means over the epoch, ``loss`` among them.
        select: accuracies on select, fractions; empty where nothing was judged.
        elapsed_s: seconds of the training so far, over all calls.
        learning_rate: of the epoch's last step; None in logs of before.
        shown: what else was looked at on select; None where nothing was.
    """

    epoch: int
    losses: Mapping[str, float]
    select: Mapping[str, float]
    elapsed_s: float | None = None
    learning_rate: float | None = None
    shown: LogShown | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedPredictions(JsonRecord):
    """Probabilities of a net, shape (images, classes).

    Attributes:
        classes: of every image.
        float16: little-endian values, row by row, in Base64.
        seconds: of the net's training, where it was trained for them; None where no log says.
        images_int32: positions of the images, little-endian, in Base64; None where they are all, in order.
    """

    classes: int
    float16: str
    seconds: Annotated[float | None, OMITTED] = None
    images_int32: Annotated[str | None, OMITTED] = None
