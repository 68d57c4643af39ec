"""What `retrain` reports: the searched net beside those that no search has found, which is better, what each has cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from edgenas.records.codec import FLAT, OMITTED, Arch, JsonRecord, SealedRecord
from edgenas.records.manifest import Gate
from edgenas.records.metrics import MostFrequent, NetReport, TrainedWay
from edgenas.records.proportion import Proportion

StageCosts = Mapping[str, float | None]  # seconds by ``STAGE_s``, epochs by ``STAGE_epochs``; None where no log says


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(JsonRecord):
    """The searched net against another on the images of test.

    Attributes:
        better: ``searched``, the key of the other, or ``neither``.
        difference: of their accuracies, searched - other, paired.
        p_mcnemar: that both are equally often right.
        words: the verdict in a sentence.
    """

    better: str
    difference: Proportion
    p_mcnemar: float
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RivalReport(JsonRecord):
    """A net that no search has found.

    Attributes:
        baseline: null, as a net's row has it.
        limits: that it was chosen under, by name; of the hand-designed net.
        num_nets: that it was chosen of.
        comparison: of the searched net with it; of the plain CNN.
    """

    net: Annotated[NetReport, FLAT]
    baseline: None = None
    limits: Annotated[Mapping[str, float] | None, OMITTED] = None
    num_nets: Annotated[int | None, OMITTED] = None
    comparison: Annotated[Comparison | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenBy(JsonRecord):
    """Why a net is deployed.

    Attributes:
        splits: that decided.
        searched, baseline: accuracies there.
        low_floors: floors that each net misses, by net.
        weights_sha256: by net; None where there are none.
        words: the reason in a sentence.
    """

    splits: tuple[str, ...]
    searched: Proportion
    baseline: Proportion
    low_floors: Annotated[Mapping[str, tuple[str, ...]] | None, OMITTED] = None
    weights_sha256: Mapping[str, str | None]
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalTraining(JsonRecord):
    """A final of the search: its trainings to the end."""

    arch: Arch
    starts: tuple[TrainedWay, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainResult(SealedRecord):
    """What `edgenas retrain` reports.

    Attributes:
        net: the searched one, or the one that was asked for.
        baseline: the best hand-designed net; None where none was trained.
        comparison: with it.
        cnn: the plain CNN of equal latency; None where nothing could be measured.
        chosen: ``searched`` or ``baseline``.
        chosen_by: why.
        remarks: what must be said beside the numbers.
        finals: what the search put forward, its winner first; nothing where a net was asked for.
        cost: by net.
        gates: the search's floors on sensitivities, as the net that is to be deployed meets them on test.
        most_frequent_on_select: class there, and what always answering it gives; None in results of before.
    """

    kind: ClassVar[str] = "retrain result"
    schema_version: ClassVar[int] = 2  # 1: first; 2: with the hash of its content

    net: Annotated[NetReport, FLAT]
    baseline: RivalReport | None = None
    comparison: Annotated[Comparison | None, OMITTED] = None
    cnn: RivalReport | None = None
    chosen: Annotated[str | None, OMITTED] = None
    chosen_by: Annotated[ChosenBy | None, OMITTED] = None
    remarks: tuple[str, ...] = ()
    finals: Annotated[tuple[FinalTraining, ...] | None, OMITTED] = None
    cost: Annotated[Mapping[str, StageCosts] | None, OMITTED] = None
    gates: Annotated[tuple[Gate, ...] | None, OMITTED] = None
    most_frequent_on_select: Annotated[MostFrequent | None, OMITTED] = None

    @property
    def doubts(self) -> tuple[str, ...]:
        """That a net's accuracy is not shown to be above the most frequent class's, a sentence for each that it is true of."""
        rivals = {"the hand-made net": self.baseline, "the plain CNN": self.cnn}
        nets = {"the net": self.net} | {name: rival.net for name, rival in rivals.items() if rival is not None}
        said = (net.metrics.doubts(f"{name} on {net.split}") for name, net in nets.items())
        return tuple(text for text in said if text is not None)

    def as_json(self) -> dict[str, Any]:
        """As `JsonRecord.as_json`; without a comparison nothing is said of a plain CNN, and remarks come last."""
        plain = super(RetrainResult, self).as_json()
        if self.comparison is None:
            del plain["cnn"]
            plain["remarks"] = plain.pop("remarks")
        return plain
