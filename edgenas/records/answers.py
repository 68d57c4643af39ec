"""What a net answered to the images of a split, kept so that a report can be drawn again without reading the split anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgenas.records.codec import SealedRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitAnswers(SealedRecord):
    """One net's answers to one split, image by image in the split's order; no image and no name of one is in it.

    Attributes:
        net: ``searched``, ``baseline``, or a rival's name.
        split: whose images answered.
        splits_sha256: of the division that they are of.
        weights_sha256: of the net's checkpoint.
        classes: names of the labels 0, 1, ...
        positive: class that must not be missed; None without one.
        threshold: least p(positive) at which it was decided; None where decisions are the argmax.
        num_images: of the split.
        label_int32, argmax_int32, decided_int32: class indices, little-endian, in Base64.
        confidence_float32: probability of the argmax, likewise.
        positive_float32: p(positive), likewise; None without a positive class.
    """

    kind: ClassVar[str] = "answers"
    schema_version: ClassVar[int] = 1  # 1: first

    net: str
    split: str
    splits_sha256: str
    weights_sha256: str
    classes: tuple[str, ...]
    positive: str | None
    threshold: float | None
    num_images: int
    label_int32: str
    argmax_int32: str
    decided_int32: str
    confidence_float32: str
    positive_float32: str | None
