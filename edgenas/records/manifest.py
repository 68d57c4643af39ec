"""What goes with an exported model: parity of every file, and the manifest of its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from edgenas.errors import ParityError
from edgenas.records.acceptance import AcceptanceFacts
from edgenas.records.candidates import Percentile
from edgenas.records.codec import OMITTED, Arch, JsonRecord
from edgenas.records.decision import DecisionRule
from edgenas.records.evidence import BlockDifferences, CalibrationShift, Margins, UnseenFlips
from edgenas.records.metrics import SplitMetrics
from edgenas.records.precision import Repair
from edgenas.records.proportion import Proportion
from edgenas.records.search import TableFacts

Verdict = Literal["passed", "failed", "undecided", "not_run"]
Precision = Literal["fp32", "fp16", "bf16", "int8"]  # of a computation
CalibrationMethod = Literal["minmax", "percentile", "entropy"]  # how ranges of activations are taken from images
FileKind = Literal["onnx", "engine", "openvino", "executorch"]  # by which a runtime knows what it can load
MANIFEST_SCHEMA = 1  # 1: first


EQUAL_WORD = "equal within rounding"


@dataclass(frozen=True, slots=True)
class Gate(JsonRecord):
    """One judged limit; ``low`` and ``high`` equal ``value`` for counts and distances.

    Attributes:
        reason: why it is not passed; of one that margins decide, how.
        basis: what decided in the interval's stead: ``rounding`` (the conversion is equal within rounding) or ``margins``.
        n: images that a share is of; None for counts and distances.
        needs: images that would decide it, of an undecided share that more of them can decide.
    """

    name: str
    limit: float
    value: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    reason: str = ""
    basis: Annotated[Literal["rounding", "margins"] | None, OMITTED] = None
    n: Annotated[int | None, OMITTED] = None
    needs: Annotated[int | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Equality(JsonRecord):
    """How near an exported model's logits are to its source's, beside how far every image is from another decision.

    Attributes:
        is_equal: equal within rounding: no larger an error than 1e-5 of the range, and every decision 100 times as far away.
        max_abs_error: largest difference of two logits on the images.
        logits_range: largest less smallest logit of the source on them.
        nearest_decision: smallest distance of an image to another decision, a difference of logits; None where there is no other.
    """

    is_equal: bool
    max_abs_error: float
    logits_range: float
    nearest_decision: float | None

    @property
    def words(self) -> str:
        """Both figures."""
        share = f"{self.max_abs_error / self.logits_range:.1e} of the logits' range" if self.logits_range else "of no range"
        error = f"largest logit error {self.max_abs_error:.1e}, {share}"
        if self.nearest_decision is None:
            return f"{error}; no image has another decision"
        times = f", {self.nearest_decision / self.max_abs_error:,.0f} times that" if self.max_abs_error else ""
        return f"{error}; nearest other decision {self.nearest_decision:.2g} away{times}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogitErrors(JsonRecord):
    """Distances of logits: None where nothing was compared, or where a logit is not a finite number.

    Attributes:
        max_abs, mean_abs: of the differences.
        min_cosine: smallest cosine between the two logit vectors of an image.
        snr_db: power of the source's logits over that of the differences, in decibels; None where there are no differences.
    """

    max_abs: float | None = None
    mean_abs: float | None = None
    min_cosine: float | None = None
    snr_db: Annotated[float | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionAgreement(JsonRecord):
    """Images whose decision changed, and the share of those that kept it; None without images."""

    flips: int = 0
    agreement: Proportion | None = None


@dataclass(frozen=True, slots=True)
class Parity(JsonRecord):
    """The contract's PARITY; ``decision``, ``emulated`` and what follows are additions.

    Attributes:
        reason: why it was not passed, empty when it was.
        reference: what the candidate was compared with.
        num_positives: images of the positive class, None without such a class.
        top1_agreement: share of images with the same argmax.
        flips: per class, its images whose decision changed.
        new_false_negatives: positives found by the reference and missed by the candidate, None without a positive class.
        logits: their distances; NaN or infinite if a logit is.
        decision: how decisions changed, over all classes.
        emulated: the comparison with a graph that emulates the precision, where the real file could not run.
        new_false_positives: other images that only the candidate decides as positive, None without a positive class.
        p_mcnemar: that both are equally often right, by the decision rule; exact.
        equality: whether they are equal within rounding; None where nothing was compared.
        margins: how far images are from another decision, beside the errors.
        unseen: what is to be expected of images that were not seen.
        unseen_positives: the same of positives.
        calibration: how right the probabilities are, before and after.
        blocks: where in the net numbers part; None for a conversion that is equal within rounding, and where nothing could look.
    """

    verdict: Verdict
    reason: str
    reference: str = ""
    num_images: int = 0
    num_positives: int | None = None
    top1_agreement: float | None = None
    flips: Mapping[str, int] = field(default_factory=dict)
    new_false_negatives: int | None = None
    logits: LogitErrors = field(default_factory=LogitErrors)
    gates: tuple[Gate, ...] = ()
    decision: DecisionAgreement = field(default_factory=DecisionAgreement)
    emulated: Parity | None = None
    new_false_positives: Annotated[int | None, OMITTED] = None
    p_mcnemar: Annotated[float | None, OMITTED] = None
    equality: Annotated[Equality | None, OMITTED] = None
    margins: Annotated[Margins | None, OMITTED] = None
    unseen: Annotated[UnseenFlips | None, OMITTED] = None
    unseen_positives: Annotated[UnseenFlips | None, OMITTED] = None
    calibration: Annotated[CalibrationShift | None, OMITTED] = None
    blocks: Annotated[BlockDifferences | None, OMITTED] = None

    @property
    def word(self) -> str:
        """The verdict in a word for people: a conversion that passed as equal within rounding says so."""
        is_equal = self.verdict == "passed" and self.equality is not None and self.equality.is_equal
        return EQUAL_WORD if is_equal else self.verdict

    def require(self) -> None:
        """Raise `ParityError` with the numbers unless every gate passed."""
        if self.verdict == "passed":
            return
        num_images = self.num_images or (self.emulated.num_images if self.emulated is not None else 0)
        problems = [f"{gate.name}: {gate.reason}" for gate in self.gates if gate.verdict != "passed"]
        if self.emulated is not None:
            problems += [f"emulated {gate.name}: {gate.reason}" for gate in self.emulated.gates if gate.verdict != "passed"]
        raise ParityError(
            f"parity {self.verdict} over {num_images:,} images: {self.reason}",
            problems=problems if len(problems) > 1 else (),
            result={"parity": self.as_json()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileIdentity(JsonRecord):
    """A file of an artefact folder: its path in it, its size and its hash."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile(JsonRecord):
    """A file that computes the net.

    Attributes:
        path: in the folder.
        kind: what a runtime must accept to load it.
        batch_size: images a call; None for any number.
        targets: GPUs that it is for.
        size_bytes, sha256: of the file at ``path`` alone.
        emulation: ONNX file that computes the same in float32, for where this one cannot run.
        notes: of its exporter.
        parts: files that belong to it and are read with it, as the weights of an OpenVINO model; None where it is one file.
    """

    path: str
    kind: FileKind
    runtime: str
    precision: Precision
    batch_size: int | None
    targets: tuple[str, ...]
    size_bytes: int
    sha256: str
    emulation: FileIdentity | None
    notes: Mapping[str, Any]
    parts: Annotated[tuple[FileIdentity, ...] | None, OMITTED] = None

    @property
    def total_bytes(self) -> int:
        """Bytes of the file and its parts."""
        return self.size_bytes + sum(part.size_bytes for part in self.parts or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class FileParity(JsonRecord):
    """A line of `parity.json`: a file and its parity."""

    path: str
    parity: Parity


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityFile(JsonRecord):
    """What `parity.json` says; its verdict is the worst of all files."""

    schema_version: int = 1  # 1: first
    verdict: Verdict
    files: tuple[FileParity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFacts(JsonRecord):
    """The tensor that a model reads; None in the shape is any number."""

    name: str = "image"
    dtype: str = "float32"
    layout: str = "NCHW"
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreprocessFacts(JsonRecord):
    """How a decoded image becomes what a net reads; `edgenas.data.preprocess.Preprocess` says what each word means.

    Attributes:
        mean, std: per channel, of values in [0, 1].
        grey_range: values of more than 8 bits that become 0 and 255; None where that is not settled.
        background: what transparent pixels are laid on; None drops alpha.
    """

    image_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: str
    resize_mode: str
    crop_pct: float
    channels: str
    grey_range: Annotated[tuple[float, float] | None, OMITTED] = None
    background: Annotated[str | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFacts(JsonRecord):
    """The tensor that a model writes; None in the shape is any number."""

    name: str = "logits"
    dtype: str = "float32"
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureFacts(JsonRecord):
    """The net of an artefact.

    Attributes:
        ensemble: nets of the architecture that answer together, by the mean of their logits; costs are theirs together. None for a
            single one.
    """

    space: str
    arch: Arch
    params: int
    macs: int
    ensemble: Annotated[int | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsFacts(JsonRecord):
    """Where an artefact's weights come from, ``inherited``, ``finetuned`` or ``scratch``, with the checkpoint's hash."""

    origin: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts(JsonRecord):
    """What a net was made with: name, fingerprint, images by split."""

    source: str
    fingerprint: str
    splits: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyFacts(JsonRecord):
    """What is known of a net's latency, in milliseconds, and the table that it was predicted with.

    Attributes:
        percentiles: p90, p95 and p99 of its calls with what their number allows to say, where it was measured.
    """

    latency_ms_predicted: float | None
    latency_ms_upper: float | None
    latency_ms_measured: float | None
    table: TableFacts | None
    percentiles: Annotated[Mapping[str, Percentile] | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenFacts(JsonRecord):
    """Generated images with the logits that they must give.

    Attributes:
        path: of the file.
        seed: of the images.
        num_samples: images.
        max_error: allowed, by precision, relative to the largest logit.
    """

    path: str
    seed: int
    num_samples: int
    max_error: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersFacts(JsonRecord):
    """What the source answered to the images that judged the export: no image, but a hash of each.

    Attributes:
        path: of the file, with ``hashes`` (SHA-256 of every image as it is stored), ``decisions`` (class indices) and, where they
            are not too many, ``logits``.
        num_images: that it holds.
        has_logits: whether logits are among them.
    """

    path: str
    num_images: int
    has_logits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(JsonRecord):
    """What `manifest.json` of an artefact folder says.

    Attributes:
        status: ``accepted``, ``rejected`` or ``unproven``.
        verdict: the worst of its files.
        preprocessing: exact enough to write in another language.
        positive: name of the class that must not be missed; None without one.
        threshold: probability from which ``positive`` is decided.
        metrics: on test.
        latency: None if it was never profiled.
        versions: of the packages that had a part in it.
        files: that compute the net.
        support_files: what goes with them.
        decision: the rule that is judged and shipped; None in manifests of before, as is what follows.
        gates: limits by name that the files were held to.
        word: the verdict in a word for people.
        answers: of the source to the images that judged.
        quick: stages behind the net that took a few steps only; None where none did, and in manifests of before.
        net: ``searched``, ``baseline`` or a rival's name.
        created_on: day in UTC, as 2026-11-29.
        repair: what had to stay float32 in a reduced precision; None where that was not looked at.
        acceptance: the plan that the files were judged by, sealed before test was read.
    """

    schema_version: int = MANIFEST_SCHEMA
    created_by: str = ""
    status: str
    verdict: str
    input: InputFacts
    output: OutputFacts
    preprocessing: Mapping[str, object]
    classes: tuple[str, ...]
    positive: str | None
    threshold: float | None
    architecture: ArchitectureFacts
    weights: WeightsFacts
    data: DataFacts
    metrics: SplitMetrics
    latency: LatencyFacts | None
    versions: Mapping[str, str]
    golden: GoldenFacts
    files: tuple[ModelFile, ...]
    support_files: tuple[FileIdentity, ...]
    decision: Annotated[DecisionRule | None, OMITTED] = None
    gates: Annotated[Mapping[str, float] | None, OMITTED] = None
    word: Annotated[str | None, OMITTED] = None
    answers: Annotated[AnswersFacts | None, OMITTED] = None
    quick: Annotated[tuple[str, ...] | None, OMITTED] = None
    net: Annotated[str | None, OMITTED] = None
    created_on: Annotated[str | None, OMITTED] = None
    repair: Annotated[Repair | None, OMITTED] = None
    acceptance: Annotated[AcceptanceFacts | None, OMITTED] = None

    @property
    def pixels(self) -> PreprocessFacts:
        """What ``preprocessing`` says.

        Raises:
            RunFolderError: naming what is missing, or is something else than it should be.
        """
        return PreprocessFacts.from_json(self.preprocessing)

    @property
    def refer(self) -> tuple[float, float] | None:
        """Probabilities of the positive class at which a person is to decide."""
        return None if self.decision is None else self.decision.refer

    @property
    def verdict_word(self) -> str:
        """The export's verdict in its own word."""
        return self.verdict if self.word is None else self.word


@dataclass(frozen=True, slots=True)
class Check(JsonRecord):
    """One thing that was checked of one file: ``sha256``, ``precision``, ``golden``, ``acceptance``, or ``parity`` with numbers."""

    path: str
    name: str
    verdict: Verdict
    reason: str
    parity: Annotated[Parity | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResult(JsonRecord):
    """What `edgenas verify` answers; its verdict is the worst of all checks, of the export's own where nothing judges it anew.

    Attributes:
        exported: the export's verdict in its own word.
    """

    artifact: str
    verdict: Verdict
    checks: tuple[Check, ...]
    exported: Annotated[str | None, OMITTED] = None
