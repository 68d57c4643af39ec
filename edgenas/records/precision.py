"""What a reduced precision does to a net: how far its values reach, and what had to stay float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgenas.percents import percent
from edgenas.records.codec import JsonRecord

RANGES_SCHEMA = 1  # 1: first
WARN_SHARE = 0.25  # of the range: what lies above it is near to an overflow on other images


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRange(JsonRecord):
    """How far the values of one tensor reach over some images, in float32.

    Attributes:
        node: operator that gives it, by name; ``image`` for the input.
        operator: its type, empty for the input.
        block: that it belongs to; None where names do not say.
        largest: magnitude.
        share: of the largest number that the precision holds; above 1 it overflows.
        flushed: share of values that the precision makes zero.
        is_reduced: whether the exported graph holds it in the reduced precision.
    """

    node: str
    operator: str
    block: str | None
    largest: float
    share: float
    flushed: float
    is_reduced: bool

    @property
    def words(self) -> str:
        """Where, and how far."""
        return f"{self.node} reaches {self.largest:.4g}, {percent(self.share)} of the range"


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeReport(JsonRecord):
    """What `ranges.json` of an artefact folder says.

    Attributes:
        precision: whose range is meant.
        limit: largest finite number of it.
        smallest: largest magnitude that it makes zero.
        split: whose images were looked at.
        tensors: those that reach farthest first.
    """

    schema_version: int = RANGES_SCHEMA
    precision: Literal["fp16", "bf16"]
    limit: float
    smallest: float
    split: str
    num_images: int
    tensors: tuple[TensorRange, ...]

    @property
    def reduced(self) -> tuple[TensorRange, ...]:
        """Those that the exported graph holds in the reduced precision."""
        return tuple(each for each in self.tensors if each.is_reduced)

    def warning(self, most: int = 3) -> str | None:
        """In words, which values come near to the end of the range; None where none does."""
        near = [each for each in self.reduced if each.share > WARN_SHARE]
        if not near:
            return None
        listed = "; ".join(each.words for each in near[:most])
        more = f"; and {len(near) - most} more" if len(near) > most else ""
        return f"{self.precision} holds numbers up to {self.limit:.6g}, and over {self.num_images:,} images {listed}{more}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairTrial(JsonRecord):
    """One attempt of a repair.

    Attributes:
        kept: blocks and operators that stayed float32.
        passed: whether no gate failed.
        reason: of the gate that failed.
    """

    kept: tuple[str, ...]
    passed: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair(JsonRecord):
    """What had to stay float32 so that the gates hold in a reduced precision, found on images that do not judge the export.

    Attributes:
        verdict: ``not_needed`` (the plain conversion fails no gate), ``repaired``, ``impossible`` (not even with all in float32).
        split: whose images were asked.
        reason: why the plain conversion fails; empty where it does not.
        kept: blocks and operators that stay float32, as `ExportSpec.kept` takes them.
        blocks: that ``kept`` belongs to.
        macs_share: of the net's multiply-accumulates that stay float32 because of ``kept``.
        trials: in order, the plain conversion first.
    """

    precision: Literal["fp16", "bf16"]
    verdict: Literal["not_needed", "repaired", "impossible"]
    split: str
    num_images: int
    reason: str
    kept: tuple[str, ...]
    blocks: tuple[str, ...]
    macs_share: float
    trials: tuple[RepairTrial, ...]

    @property
    def words(self) -> str:
        """What was found, for people."""
        if self.verdict == "not_needed":
            return f"{self.precision} fails no gate on {self.num_images:,} images of {self.split}"
        tried = f"{len(self.trials)} attempts on {self.num_images:,} images of {self.split}"
        why = "; ".join(self.reason.split("; ")[:2])  # the gate that failed first, and where
        if self.verdict == "impossible":
            return f"{self.precision} fails on {self.split}, and nothing that stays fp32 repairs it ({tried}): {why}"
        more = f" and {len(self.kept) - 4} more" if len(self.kept) > 4 else ""
        verb = "stays" if len(self.kept) == 1 else "stay"
        cost = f"{percent(self.macs_share)} of the multiply-accumulates, {tried}"
        return f"{', '.join(self.kept[:4])}{more} {verb} fp32 ({cost}); plain {self.precision}: {why}"
