"""What was exported, timed in turn on one device, and which of it is the fastest with its gates passed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from edgenas.records.candidates import Percentile
from edgenas.records.codec import OMITTED, JsonRecord, SealedRecord
from edgenas.records.machine import MachineFacts
from edgenas.records.manifest import Precision, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRatio(JsonRecord):
    """How many times another's time something takes: the median of visits made in turn, with its 95 % interval.

    Attributes:
        low, high: None where so few visits say nothing.
        n: visits.
    """

    value: float
    low: float | None
    high: float | None
    n: int

    @property
    def is_faster(self) -> bool:
        """Whether it is shown to take less time; what is unknown is not shown."""
        return self.high is not None and self.high < 1.0

    @property
    def words(self) -> str:
        """The ratio with its interval, e.g. ``0.64 [0.62, 0.66]``."""
        ends = "" if self.low is None or self.high is None else f" [{self.low:.2f}, {self.high:.2f}]"
        return f"{self.value:.2f}{ends}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchedName(JsonRecord):
    """What was timed.

    Attributes:
        artifact: folder, relative to the run folder; empty for the net itself.
        path: of the file in it; empty for the net itself.
        runtime: that ran it.
        precision: of the computation.
    """

    artifact: str
    path: str
    runtime: str
    precision: Precision

    @property
    def words(self) -> str:
        """File and runtime, e.g. ``export/onnx/model-fp32-b1.onnx in onnxruntime-cpu``."""
        return f"{self.artifact}/{self.path} in {self.runtime}" if self.path else f"the net itself in {self.runtime}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchedRow(BenchedName):
    """What a file, or the net itself, measured.

    Attributes:
        runtime_version: of the package.
        device: as its live session says.
        threads: of that session; None on a GPU.
        batch_size: of the file; None for any number.
        size_bytes: of the file; None for the net itself.
        sha256: of the file; None for the net itself.
        parity: verdict of its gates in this runtime; None where that was not judged.
        is_own: whether it is of the net that is exported now; a rival's is timed, and never recommended.
        latency_ms: median of its calls.
        mad_ms: their median absolute deviation.
        compute_ms: median without copies, on a GPU; None where the runtime cannot tell.
        percentiles: p90 and p99 with what the number of calls allows to say.
        ratio: to the baseline, whose own is 1.
    """

    runtime_version: str
    device: str
    threads: int | None = None
    batch_size: int | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    parity: Verdict | None = None
    is_own: bool = True
    latency_ms: float
    mad_ms: float
    compute_ms: float | None = None
    calls: int
    percentiles: Mapping[str, Percentile]
    ratio: TimeRatio


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOutFile(JsonRecord):
    """A file of an artefact that was not timed, and why."""

    artifact: str
    path: str
    runtime: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchChoice(BenchedName):
    """The fastest file on this device whose gates passed.

    Attributes:
        ratio: to the baseline.
        words: one sentence that says what was chosen and why.
    """

    ratio: TimeRatio
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult(SealedRecord):
    """What `export --bench` found, kept in ``export/bench.json``.

    Attributes:
        created_by: the version of edgenas.
        device: processor or GPU of the baseline.
        threads: of every session on a CPU; None is the runtime's default.
        batch_size: images a call.
        weights_sha256: of the net that is exported.
        baseline: what the ratios are to.
        rows: fastest first.
        left_out: files that cannot run here, or not with this many images.
        choice: None where no file's gates passed.
        why: in words, where there is no choice, or a faster file was not taken.
        visits: to every file, in rounds of random order.
        seconds: that timing took.
        machine: what else went on in the meantime.
    """

    kind: ClassVar[str] = "edgenas bench"
    schema_version: ClassVar[int] = 1  # 1: first

    created_by: str
    device: str
    threads: int | None
    batch_size: int
    weights_sha256: str
    baseline: BenchedName
    rows: tuple[BenchedRow, ...]
    left_out: tuple[LeftOutFile, ...] = ()
    choice: BenchChoice | None
    why: tuple[str, ...] = ()
    visits: int
    seconds: float
    machine: Annotated[MachineFacts | None, OMITTED] = None
