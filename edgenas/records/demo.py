"""The summary of `edgenas demo`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from edgenas.records.codec import JsonRecord, SealedRecord
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
        baseline: the hand-made net beside it.
        seconds: of the whole demo.
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

    def as_json(self) -> dict[str, Any]:
        """As `JsonRecord.as_json`, the hand-made net beside the winner, not in it."""
        plain = super(DemoResult, self).as_json()
        plain["winner"] = {name: value for name, value in plain["winner"].items() if name != "baseline"}
        return plain
