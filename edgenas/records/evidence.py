"""What parity knows beyond its verdict: how near other decisions are, what unseen images may do, where numbers part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from edgenas.records.codec import OMITTED, JsonRecord
from edgenas.records.proportion import Proportion


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginBin(JsonRecord):
    """Images whose distance to another decision, a difference of logits, is ``at_least`` and ``below`` (None: any larger).

    Attributes:
        images: that lie there in the source.
        flips: of these, whose decision changed.
    """

    at_least: float
    below: float | None
    images: int
    flips: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins(JsonRecord):
    """How far images are from another decision, beside how far the conversion can move them there.

    Attributes:
        bins: from the nearest on.
        nearest: smallest distance; None where no image has another decision.
        median_reach, largest_reach: twice an image's largest logit error, which is how far its distance can move.
        num_within: images that lie within their own reach.
    """

    bins: tuple[MarginBin, ...]
    nearest: float | None
    median_reach: float
    largest_reach: float
    num_within: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnseenFlips(JsonRecord):
    """Bounds on the share of images that were not seen and whose decision the conversion changes.

    Attributes:
        seen: share of those that were seen, with the exact interval (Clopper & Pearson). It assumes that unseen images are drawn
            like these, and no more.
        independent: share that would lie within reach if errors fell on images whatever their distance to another decision, with
            the upper end that this assumption allows; None where the source's logits are not known.
    """

    seen: Proportion
    independent: Annotated[Proportion | None, OMITTED] = None

    def words(self, kind: str) -> str:
        """Both bounds with what they assume; ``kind`` is what the images are called."""
        flips = round(self.seen.value * self.seen.n) if self.seen.n else 0
        text = f"{flips} of {self.seen.n:,} {kind} changed, so at most {100 * self.seen.high:.2g} % of unseen ones drawn alike"
        if self.independent is None:
            return text
        share = f"{100 * self.independent.value:.2g} % (at most {100 * self.independent.high:.2g} %)"
        return f"{text}; {share} if errors do not depend on how near another decision is"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationShift(JsonRecord):
    """Expected calibration errors of source and file on the same images, and the file's less the source's with its interval."""

    source: float
    file: float
    shift: Proportion


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDifference(JsonRecord):
    """How far a block's result in the file is from the float32 graph's.

    Attributes:
        block: path of the module, or name of the value where nodes have no such names.
        max_abs: largest difference.
        relative: root mean square of the differences over that of the float32 values; None where these are all 0, or not finite.
    """

    block: str
    max_abs: float | None
    relative: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDifferences(JsonRecord):
    """Results of the blocks of a file beside those of the float32 graph of the same net, on a few images.

    Attributes:
        first: the first block, in the order of computation, whose relative difference is above ``limit``; None where none is.
        limit: what the precision explains.
        steepest: the block at which the relative difference grows most.
        matched_by: ``modules`` (paths of the modules), ``values`` (names of values) or ``order`` (of products and convolutions).
        num_images: that were asked about, those with another decision first.
        blocks: in the order of computation; of more than 200 every second, third and so on, with the two that are named.
    """

    first: str | None
    limit: float
    steepest: str | None
    matched_by: str
    num_images: int
    blocks: tuple[BlockDifference, ...]

    @property
    def words(self) -> str:
        """Where numbers part."""
        if self.first is not None:
            relative = next(each.relative for each in self.blocks if each.block == self.first)
            size = "not finite" if relative is None else f"{100 * relative:.2g} %"
            return f"first block that differs by more than {100 * self.limit:g} %: {self.first} ({size})"
        return f"no block differs by more than {100 * self.limit:g} %; most of it comes in {self.steepest}"
