"""The rule by which an exported net decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from edgenas.records.codec import OMITTED, JsonRecord
from edgenas.records.metrics import ThresholdChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRule(JsonRecord):
    """The rule that the artefact carries, and that its gates judge.

    Attributes:
        rule: ``threshold`` (``positive`` from the threshold on, else the best other class) or ``argmax``.
        choice: how the threshold was chosen; None without one.
        refer: least and largest probability of ``positive`` at which a person is to decide, both included; None refers nothing.
    """

    rule: Literal["threshold", "argmax"]
    positive: str | None = None
    threshold: float | None = None
    choice: Annotated[ThresholdChoice | None, OMITTED] = None
    refer: Annotated[tuple[float, float] | None, OMITTED] = None
