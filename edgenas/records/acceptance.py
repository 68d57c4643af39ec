"""The plan that an export is accepted by: laid down and sealed before test is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from edgenas.records.codec import OMITTED, JsonRecord, SealedRecord
from edgenas.records.decision import DecisionRule
from edgenas.runs.files import sha256_json


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedImages(JsonRecord):
    """The images that will judge, without a look at them.

    Attributes:
        split: that they are.
        num: of them.
        num_positives: of the class that must not be missed; None without one.
        sha256: of the list of their contents' SHA-256, in order.
        labels_sha256: of the list of their classes' names, in order.
    """

    split: str
    num: int
    num_positives: int | None
    sha256: str
    labels_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFile(JsonRecord):
    """A file that will be written."""

    precision: str
    batch_size: int | None
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedNeed(JsonRecord):
    """How many images a gate takes at least where a conversion changes numbers, and how many there are.

    Attributes:
        gate: by name.
        kind: what the images are called.
        needs: of them, even if not one is decided otherwise.
        has: as many as the plan's images hold.
    """

    gate: str
    kind: str
    needs: int
    has: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptancePlan(SealedRecord):
    """What files will be held to, and on which images.

    Attributes:
        gates: limits by name.
        floor_confidence: of the interval that proves a floor on a class's sensitivity; None holds the share itself against it.
        decision: the rule that ships, with the threshold and how it was chosen.
        images: that judge.
        net: ``searched``, ``baseline`` or a rival's name.
        weights_sha256: of its checkpoint.
        format: that is written.
        files: of that format.
        needs: what the gates take, and what there is.
        versions: of the packages that have a part in it.
    """

    kind: ClassVar[str] = "acceptance plan"
    schema_version: ClassVar[int] = 1  # 1: first

    gates: Mapping[str, float]
    floor_confidence: float | None
    decision: DecisionRule
    images: PlannedImages
    net: str
    weights_sha256: str
    format: str
    files: tuple[PlannedFile, ...]
    needs: tuple[PlannedNeed, ...]
    versions: Mapping[str, str]

    @property
    def sha256(self) -> str:
        """A hash of everything that it says, as it stands in its file."""
        return sha256_json({"kind": self.kind, "schema_version": self.schema_version, **self.as_json()})

    @property
    def terms(self) -> dict[str, Any]:
        """What may not change once the images were read: gates, rule and how its threshold is chosen; not the threshold itself,
        which is each net's own."""
        rule, choice = self.decision, self.decision.choice
        terms: dict[str, Any] = {**self.gates, "floor_confidence": self.floor_confidence}
        terms |= {"rule": rule.rule, "positive": rule.positive}
        if choice is not None:
            terms |= {
                "threshold's floor": choice.floor,
                "threshold's confidence": choice.confidence,
                "threshold from": choice.split,
            }
            zone = choice.refer
            terms["referred"] = None if zone is None else [zone.low, zone.high] if zone.target is None else zone.target
        return terms

    @property
    def terms_sha256(self) -> str:
        """A hash of the terms."""
        return sha256_json(self.terms)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLine(JsonRecord):
    """A line of the history of plans: each carries the hash of the one before, so that none can be taken out or changed.

    Attributes:
        previous: SHA-256 of the line before; empty in the first.
        sealed_at: time in UTC; None of a plan that was found in an artefact and in no line.
        plan: as it was sealed.
    """

    previous: str
    sealed_at: str | None
    plan: AcceptancePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceFacts(JsonRecord):
    """What a manifest says of the plan that its files were judged by.

    Attributes:
        path: of the plan in the folder.
        plan_sha256: of what it says.
        line_sha256: of its line in the run folder's history.
        sealed_at: time in UTC, before test was read for it.
        number: which of the plans with other terms for the same images it is, counted from 1.
        num_plans: so many plans with other terms there were for these images when the folder was written.
        num_nets: so many nets were judged, or to be judged, on these images then.
        changes: in words, what is other than in the plan before; None for the first.
    """

    path: str
    plan_sha256: str
    line_sha256: str
    sealed_at: str | None
    number: int
    num_plans: int
    num_nets: int = 1
    changes: Annotated[tuple[str, ...] | None, OMITTED] = None

    @property
    def was_changed(self) -> bool:
        """Whether the images were judged by other terms, too."""
        return self.num_plans > 1

    @property
    def words(self) -> str:
        """How often these images were judged, and by what."""
        nets = f"; {self.num_nets} nets were judged on them" if self.num_nets > 1 else ""
        if not self.was_changed:
            return f"the only plan for these images, sealed before test was read{nets}"
        if self.number == 1:
            return f"the first of {self.num_plans} plans for these images: others were made after test was read{nets}"
        ending = {1: "st", 2: "nd", 3: "rd"}.get(0 if 10 < self.number % 100 < 14 else self.number % 10, "th")
        what = "; ".join(self.changes or ())
        changed = f"the plan was changed after test was read: {self.number}{ending} plan for these images"
        return (f"{changed} ({what})" if what else changed) + nets
