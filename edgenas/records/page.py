"""What the page of all results shows; `edgenas.report.page` draws it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from edgenas.records.bench import BenchResult
from edgenas.records.candidates import CandidateRow
from edgenas.records.codec import OMITTED, Arch, JsonRecord, SealedRecord
from edgenas.records.commands import StageFacts
from edgenas.records.compare import CompareResult
from edgenas.records.fidelity import FidelityReport
from edgenas.records.manifest import Manifest, ParityFile
from edgenas.records.metrics import Metrics
from edgenas.records.pictures import TrainingPicture
from edgenas.records.proportion import Proportion
from edgenas.records.retrain import RetrainResult
from edgenas.records.search import SearchResult
from edgenas.records.tables import BreakdownFacts, ContextFacts, ValidationFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class PageImage:
    """A small image, ready to be embedded.

    Attributes:
        name: as its source calls it.
        mime: ``image/png`` or ``image/jpeg``.
        content: of the file.
        width, height: in pixels, of ``content``.
        label: its class.
        decided: class by the decision rule; None where no net was asked.
        positive: p(positive); None likewise.
    """

    name: str
    mime: str
    content: bytes
    width: int
    height: int
    label: str
    decided: str | None = None
    positive: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """Some of the images that were decided wrongly in one way, the worst first.

    Attributes:
        images: that are shown.
        num: that there are.
        of: images that could have been.
        unread: of those to be shown, how many could not be read.
    """

    images: tuple[PageImage, ...]
    num: int
    of: int
    unread: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RocPoint:
    """What a threshold gives."""

    threshold: float
    false_alarms: float
    sensitivity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RocCurve:
    """Sensitivity over false alarms of the positive class, for every threshold.

    Attributes:
        points: from (0, 0) to (1, 1).
        area: under it, with its interval.
        threshold: that decides; None without one.
        sensitivity, false_alarms: there, with their intervals.
    """

    points: tuple[RocPoint, ...]
    area: Proportion
    threshold: float | None
    sensitivity: Proportion
    false_alarms: Proportion


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Images whose predictions are about as sure: their mean confidence, and how often they are right."""

    low: float
    high: float
    confidence: float
    accuracy: Proportion


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """Whether a probability is what it says.

    Attributes:
        bins: that hold an image, by growing confidence.
        error: mean distance of confidence and accuracy, over the bins, by images.
    """

    bins: tuple[ReliabilityBin, ...]
    error: Proportion


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedImages:
    """What the answers to the test split show, image by image.

    Attributes:
        missed: images of the positive class that were decided otherwise; None without such a class.
        alarms: others that were decided as it.
        confused: images that were decided wrongly, where no class is positive.
    """

    roc: RocCurve | None
    reliability: Reliability
    missed: Gallery | None
    alarms: Gallery | None
    confused: Gallery | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedNet:
    """The net that would be deployed.

    Attributes:
        name: ``searched``, ``baseline`` or a rival's.
        weights: ``inherited``, ``finetuned`` or ``scratch``.
        weights_sha256: of its checkpoint; None where that is gone.
        arch: None for a net of no space.
        params, macs: None where nobody says.
        metrics: on test; None where no report has read it.
        latency_ms_predicted, latency_ms_upper, latency_ms_measured: None where not known.
        ensemble: nets of the architecture that answer together; None for one.
        notes: why this net and no other, and what must be known of it.
    """

    name: str
    weights: str
    weights_sha256: str | None
    arch: Arch | None
    params: int | None
    macs: int | None
    metrics: Metrics | None
    latency_ms_predicted: float | None
    latency_ms_upper: float | None
    latency_ms_measured: float | None
    ensemble: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedNet:
    """A net's latency as predicted and as measured, in milliseconds, and what it is."""

    name: str
    predicted_ms: float
    measured_ms: float
    is_finalist: bool = False

    @property
    def error(self) -> float:
        """How far the prediction is off, relative to what was measured."""
        return self.predicted_ms / self.measured_ms - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTable:
    """The latency table that the results rest on.

    Attributes:
        nets: that fitted nothing, and finalists.
        breakdown: of the net that would be deployed; None for a net of no space.
    """

    name: str
    sha256: str
    date: str
    context: ContextFacts
    validation: ValidationFigures
    nets: tuple[TimedNet, ...]
    breakdown: BreakdownFacts | None
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageExport:
    """An artefact folder of the run.

    Attributes:
        folder: relative to the run folder.
    """

    folder: str
    manifest: Manifest
    parity: ParityFile


@dataclass(frozen=True, slots=True, kw_only=True)
class OddThing:
    """A line of the list of everything odd about the images."""

    path: str
    what: str
    done: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSheet:
    """What the images are.

    Attributes:
        source: as `init --data` takes it.
        splits: images by split and class.
        patients: patients by split; None where they are not known.
        sites: images by site and split; None likewise.
        provable: sentences on what the images can prove.
        excluded: images that were left out.
        odd: lines of the list of odd things; not all of many.
        num_odd: that the list has.
        contact: some images of every class, of train.
        classes_shown: how many classes these are of.
        why_no_images: why none is shown; empty where they are.
    """

    source: str
    fingerprint: str
    splits_sha256: str
    classes: tuple[str, ...]
    splits: Mapping[str, Mapping[str, int]]
    patients: Mapping[str, int] | None
    sites: Mapping[str, Mapping[str, int]] | None
    provable: tuple[str, ...]
    excluded: int
    odd: tuple[OddThing, ...]
    num_odd: int
    contact: tuple[PageImage, ...]
    classes_shown: int
    why_no_images: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsPage:
    """Everything that the page of a run folder shows.

    Attributes:
        run: the folder, as it was asked for.
        made: date and time.
        space: searched.
        positive: class that must not be missed; None without one.
        stages: of the run, with the command that makes what is missing.
        rows: candidates as in `search.jsonl`.
        cost: of ``rows``, that nets are compared by.
        judged: None where no report has kept a net's answers to test.
        curves: of every training that left a log.
        settings: in force, by table.
        bench: how the artefacts were timed in turn; None where they were not, as the weights are today.
        hashes: SHA-256 of every file that the page was drawn from, by its path in the run folder.
        unread: what could not be read, a sentence each.
        quick: stages whose results were made by a quick run.
    """

    run: str
    made: str
    space: str
    positive: str | None
    stages: tuple[StageFacts, ...]
    deployed: DeployedNet | None
    judged: JudgedImages | None
    search: SearchResult | None
    rows: tuple[CandidateRow, ...]
    cost: str
    retrain: RetrainResult | None
    compare: CompareResult | None
    fidelity: FidelityReport | None
    table: PageTable | None
    curves: tuple[TrainingPicture, ...]
    exports: tuple[PageExport, ...]
    data: DataSheet | None
    bench: BenchResult | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()

    @property
    def own_exports(self) -> tuple[PageExport, ...]:
        """Artefact folders of the net that would be deployed, as its weights are today."""
        sha256 = self.deployed.weights_sha256 if self.deployed is not None else None
        return tuple(each for each in self.exports if each.manifest.weights.sha256 == sha256)

    def command_for(self, stage: str) -> str:
        """What makes a stage; empty where it is there."""
        return next((each.command for each in self.stages if each.name == stage), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSeal(SealedRecord):
    """What is beside the page: its own hash, and those of everything that it was drawn from.

    Attributes:
        page_sha256: of the file.
        made: date and time.
        sources: SHA-256 by path in the run folder.
        num_images: of the data set that are embedded.
    """

    kind: ClassVar[str] = "page seal"
    schema_version: ClassVar[int] = 1  # 1: first

    page_sha256: str
    made: str
    sources: Mapping[str, str]
    num_images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportResult(JsonRecord):
    """What `edgenas report` answers.

    Attributes:
        page: relative to the run folder.
        size_bytes: of it.
        sections: drawn from results that are there.
        missing: sections that wait, with the command that makes what they show.
        older_than: results that the page before was older than; None where there was none.
        images: of the data set that it embeds.
        pdf: relative to the run folder; None where none was asked for.
        unread: what could not be read, a sentence each.
    """

    page: str
    size_bytes: int
    sections: tuple[str, ...]
    missing: Mapping[str, str]
    older_than: tuple[str, ...] | None
    images: int
    pdf: Annotated[str | None, OMITTED] = None
    unread: tuple[str, ...] = ()
