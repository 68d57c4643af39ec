"""A quick look at which spaces have nets within a limit on this device, and which of them is taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from edgenas.records.codec import OMITTED, JsonRecord, SealedRecord

LOOK_SCHEMA = 1  # 1: first


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedNet(JsonRecord):
    """A net that was timed.

    Attributes:
        image_px: side of the image that it reads.
        latency_ms: median of a few calls.
    """

    image_px: int
    params: int
    macs: int
    latency_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QuickTime(JsonRecord):
    """The latency of a net as a look measures it.

    Attributes:
        ms: median of a few calls, or of one where it is far above the limit.
        is_one_call: whether it is of one.
    """

    ms: float
    is_one_call: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPace(JsonRecord):
    """How long the supernet would train here, from a few timed passes; the teacher, the search and its proof come on top.

    Attributes:
        quick_s: seconds with as many epochs as the recipe ``quick`` has.
        full_s: seconds with as many as the settings say.
    """

    quick_s: float
    quick_epochs: int
    full_s: float
    full_epochs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedSpace(JsonRecord):
    """One space at one side of its images.

    Attributes:
        image_px: side of the image that its nets read; of a space whose nets choose their own, the largest.
        num_subnets: of the space.
        needs_images: training images below which it is not taken by itself.
        nets: that were timed, by what they are: ``smallest``, ``median``, ``largest``, ``best`` (the most MACs that fit).
        least_ms: of the smallest.
        share: estimated share of the nets that fit, with latency read off MACs between the nets that were timed.
        num_fitting: how many nets that is.
        best_macs: most MACs of a net that fits; 0 where none does.
        training: None where nothing fits or it was not timed.
        is_ahead: whether nets that were chosen in it were measured ahead of others on images as small and as few as these; None
            where not.
    """

    space: str
    purpose: str
    image_px: int
    num_subnets: int
    needs_images: int
    nets: Mapping[str, LookedNet]
    least_ms: float
    share: float
    num_fitting: float
    best_macs: int
    training: Annotated[TrainingPace | None, OMITTED] = None
    is_ahead: Annotated[bool | None, OMITTED] = None

    @property
    def fits(self) -> bool:
        """Whether a net of it was found within the limit."""
        return self.num_fitting > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenSpace(JsonRecord):
    """What is taken and why: of the rule's steps, not of accuracies."""

    space: str
    image_px: int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LookResult(SealedRecord):
    """What a look at spaces found.

    Attributes:
        limit_ms: most milliseconds of a call.
        device, runtime, precision, batch_size, threads: of the timing; threads None where the runtime has none to set.
        num_images: of the train split.
        images_px: side of the images as they are stored, the median of some; nets do not read much larger ones.
        rows: every space and side that was looked at, the rule's first one first.
        chosen: None where nothing fits.
        set_aside: why other spaces were not taken, by their names.
        seconds: that the look took, what was known from an earlier one left out.
        date: of the look.
        disturbed: what else went on meanwhile, a line each, because of which nets may be faster than they seemed.
    """

    kind: ClassVar[str] = "look at spaces"
    schema_version: ClassVar[int] = LOOK_SCHEMA

    limit_ms: float
    device: str
    runtime: str
    precision: str
    batch_size: int
    threads: int | None
    num_images: int
    images_px: int
    rows: tuple[LookedSpace, ...]
    chosen: ChosenSpace | None
    set_aside: Mapping[str, str]
    seconds: float
    date: str
    disturbed: tuple[str, ...] = ()
