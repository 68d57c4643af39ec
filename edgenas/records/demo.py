"""The summary of `edgenas demo`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from edgenas.records.codec import OMITTED, JsonRecord, SealedRecord
from edgenas.records.compare import CompareResult
from edgenas.records.manifest import Verdict
from edgenas.records.retrain import RetrainResult, RivalReport
from edgenas.records.tables import ValidationFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRow(JsonRecord):
    """One of the demo's checks."""

    name: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult(SealedRecord):
    """The demo's summary.

    Attributes:
        latency_validation: of its table.
        winner: as `retrain` reports it.
        baseline: the hand-made net beside it; None where it is among those of the comparison.
        seconds: of the whole demo.
        task: what the images are, in words; None in results of before, which are of the digits.
        comparison: with the hand-made net and timm's.
        words: what it found, a sentence a rival, and why the searched net is not ahead where it is not.
        is_ahead: whether it is shown to be ahead of all of them that keep to the limit.
        missed: paths of images of the positive class that are decided otherwise, at most three.
        page: path of the page of results; None where none was drawn.
    """

    kind: ClassVar[str] = "demo result"
    schema_version: ClassVar[int] = 1  # 1: first

    run: str
    latency_limit_ms: float
    device: str
    runtime: str
    latency_validation: ValidationFacts
    feasible_share: float
    winner: RetrainResult
    baseline: RivalReport | None
    verdicts: tuple[VerdictRow, ...]
    seconds: float
    peak_memory_mb: float
    task: Annotated[str | None, OMITTED] = None
    comparison: Annotated[CompareResult | None, OMITTED] = None
    words: Annotated[tuple[str, ...] | None, OMITTED] = None
    is_ahead: Annotated[bool | None, OMITTED] = None
    missed: Annotated[tuple[str, ...] | None, OMITTED] = None
    page: Annotated[str | None, OMITTED] = None

    def as_json(self) -> dict[str, Any]:
        """As `JsonRecord.as_json`, the hand-made net beside the winner, not in it."""
        plain = super(DemoResult, self).as_json()
        plain["winner"] = {name: value for name, value in plain["winner"].items() if name != "baseline"}
        return plain
