"""What is said of latency tables and of the kits that make them elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from edgenas.records.candidates import Percentile
from edgenas.records.codec import FLAT, OMITTED, Arch, Component, Details, JsonRecord
from edgenas.records.commands import TaskFacts
from edgenas.records.machine import MachineFacts
from edgenas.records.manifest import Verdict
from edgenas.records.proportion import Proportion
from edgenas.records.search import PromisedBound
from edgenas.records.table_parts import CheckedNet, ReferenceNet, TableMeasuring


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextFacts(JsonRecord):
    """What a table was measured with; see `edgenas.latency.context.Context`."""

    device: str
    device_kind: str
    runtime: str
    runtime_version: str
    precision: str
    batch_size: int
    threads: int | None
    scope: str
    spinning: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextWithDetails(JsonRecord):
    """A context with what is compared with nothing: load, clocks, versions and the like."""

    context: Annotated[ContextFacts, FLAT]
    details: Details


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationFigures(JsonRecord):
    """How true predictions are of nets that fitted nothing; None where that was never measured.

    Attributes:
        mape: mean absolute error, relative to what was measured.
        noise_floor_mape: the same of two measurements.
        within_5, within_10: share of the nets that are predicted to within 5 and 10 %.
        p95_error: 95th percentile of the error.
        kendall_tau: rank correlation.
    """

    mape: float | None
    noise_floor_mape: float | None
    within_5: float | None = None
    within_10: float | None = None
    p95_error: float | None = None
    kendall_tau: float | None = None
    num_subnets: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationFacts(JsonRecord):
    """The validation of a table that was just made.

    Attributes:
        num_subnets: that it rests on.
        mape: mean absolute error, relative to what was measured.
        within_5, within_10: share of the nets that are predicted to within 5 and 10 %.
        p95_error: 95th percentile of the error.
        kendall_tau: rank correlation; None where it says nothing.
        noise_floor_mape: the error between two measurements of the same nets.
        bias: mean error.
        intervals: of these figures, by name.
        rows: one a net.
    """

    num_subnets: int
    mape: float | None
    within_5: float | None
    within_10: float | None
    p95_error: float | None
    kendall_tau: float | None
    noise_floor_mape: float | None
    bias: Annotated[float | None, OMITTED] = None
    intervals: Annotated[Mapping[str, Proportion] | None, OMITTED] = None
    rows: Annotated[tuple[CheckedNet, ...] | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts(JsonRecord):
    """One of the sessions of a table, the first its own.

    Attributes:
        date: when it began; of the first, when it was made.
        num_nets: behind bounds.
        num_checks: validation nets.
        num_runs: fewest calls of a net behind bounds; None without such nets.
        speed: how many times as long as the table's own the reference net took.
    """

    date: str
    seconds: float
    num_nets: int
    num_checks: int
    num_runs: int | None
    speed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileAnswer(JsonRecord):
    """What `edgenas profile` answers.

    Attributes:
        table: its file, relative to the run folder.
        num_nets_timed: different nets; with `--again`, those of the session.
        seconds: wall time, tracing included; with `--again`, of the session.
        promises: a bound a quantile; none where the nets do not reach the confidence.
        sessions: of the table; only with `--again`.
    """

    table: str
    table_sha256: str
    context: ContextWithDetails
    num_entries: int
    num_nets_timed: int
    seconds: float
    validation: ValidationFacts
    promises: tuple[PromisedBound, ...] = ()
    sessions: Annotated[tuple[SessionFacts, ...] | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KitFacts(JsonRecord):
    """What `edgenas profile --pack` answers.

    Attributes:
        plan_sha256: of what is to be timed.
        num_visits: timings of nets.
        kit: the file.
    """

    plan_sha256: str
    runtime: str
    precision: str
    batch_size: int
    num_nets: int
    num_visits: int
    size_bytes: int
    kit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableHeader(JsonRecord):
    """What every subcommand says of a table.

    Attributes:
        name: of its file, without the suffix.
        task: of its nets.
        date: when it was made; empty where it does not say.
        age_days: None where that is unknown.
    """

    name: str
    path: str
    sha256: str
    context: Annotated[ContextFacts, FLAT]
    space: str
    task: TaskFacts
    date: str
    age_days: float | None
    num_entries: int
    validation: ValidationFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTable(JsonRecord):
    """A table of a run (``run``) or one that comes with ``edgenas``; None where nothing tells whether it is of this device."""

    header: Annotated[TableHeader, FLAT]
    source: str
    of_this_device: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TablesListed(JsonRecord):
    """What `edgenas tables list` answers."""

    action: Literal["list"] = "list"
    device: str
    tables: tuple[ListedTable, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryCounts(JsonRecord):
    """How many components of a space a table has measured and interpolated, and how many it lacks."""

    measured: int
    interpolated: int
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationFacts(JsonRecord):
    """From a sum of components to milliseconds; see `edgenas.latency.fit.Calibration`."""

    scale: float
    offset_ms: float
    upper_factor: float
    confidence: float
    num_nets: int
    weights_ms: float = 0.0
    num_bound_nets: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFacts(JsonRecord):
    """What some components of a net cost together, calibrated.

    Attributes:
        stage: counted from 1; None where they are in several stages, and for what a call costs whatever the net.
        kind: of component, e.g. ``block``; ``frame`` for several kinds that were only timed together; ``call`` for the offset.
        num: components.
        ms: milliseconds.
        share: of the net's milliseconds; below 0 where a calibration's offset is.
    """

    stage: int | None
    kind: str
    num: int
    ms: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakdownFacts(JsonRecord):
    """One net's predicted time in parts that add up to it, in milliseconds."""

    name: str
    arch: Arch
    predicted_ms: float
    upper_ms: float
    parts: tuple[PartFacts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableShown(JsonRecord):
    """What `edgenas tables show` answers.

    Attributes:
        reference, measuring, details: as the table has them, without components and the nets of the calibration.
        remarks: what must be known of how it was measured.
        nets: where their time goes.
        promises: a bound a quantile; none where its nets do not reach the confidence.
        each_session: its own, and later ones.
        percentiles: of the calls of the reference net, with what their number allows to say.
    """

    action: Literal["show"] = "show"
    table: TableHeader
    entries: EntryCounts
    calibration: CalibrationFacts
    reference: ReferenceNet
    measuring: TableMeasuring
    details: Details
    remarks: tuple[str, ...]
    nets: tuple[BreakdownFacts, ...]
    promises: Annotated[tuple[PromisedBound, ...] | None, OMITTED] = None
    each_session: Annotated[tuple[SessionFacts, ...] | None, OMITTED] = None
    percentiles: Annotated[Mapping[str, Percentile] | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCheck(JsonRecord):
    """One thing that was looked at in a table, with every problem found."""

    name: str
    verdict: Verdict
    reason: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioFacts(JsonRecord):
    """A distribution of ratios; the 5th and the 95th percentile are not of few."""

    n: int
    median: float
    mad: float
    p5: Annotated[float | None, OMITTED] = None
    p95: Annotated[float | None, OMITTED] = None
    min: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRow(JsonRecord):
    """A net that was timed again, in milliseconds; its error is that at the speed of then."""

    arch: Arch
    predicted_ms: float
    measured_ms: float
    p95_ms: Annotated[float | None, OMITTED] = None
    ratio: float
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftGate(JsonRecord):
    """A judged limit, with the interval of what was seen."""

    name: str
    limit: float
    value: float
    low: float
    high: float
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftFacts(JsonRecord):
    """What timing nets again said; see `edgenas.latency.table.drift.Drift`."""

    verdict: Verdict
    words: str
    gates: tuple[DriftGate, ...]
    noise_floor_mape: float | None
    ratios: RatioFacts
    rows: tuple[DriftRow, ...]
    machine: MachineFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class TableValidated(JsonRecord):
    """What `edgenas tables validate` answers; without a ``drift`` where nothing was timed."""

    action: Literal["validate"] = "validate"
    table: TableHeader
    checks: tuple[TableCheck, ...]
    entries: EntryCounts
    remarks: tuple[str, ...]
    drift: DriftFacts | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextDifference(JsonRecord):
    """One thing in which two contexts differ: ``refused``, ``warns`` or ``noted``."""

    key: str
    first: Any
    second: Any
    weight: Literal["refused", "warns", "noted"]

    def __str__(self) -> str:
        return f"{self.key}: {self.first} and {self.second}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRatio(JsonRecord):
    """An entry that two tables have, in milliseconds, with the ratio of the second to the first."""

    components: tuple[Component, ...]
    first_ms: float
    second_ms: float
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryComparison(JsonRecord):
    """How the entries of two tables relate; no ratios where they share none."""

    ratios: RatioFacts | None
    only_first: int
    only_second: int
    largest: tuple[EntryRatio, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetComparison(JsonRecord):
    """How the predictions of two tables relate; Kendall's tau is None where it says nothing."""

    ratios: RatioFacts
    kendall_tau: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TablesCompared(JsonRecord):
    """What `edgenas tables diff` answers."""

    action: Literal["diff"] = "diff"
    first: TableHeader
    second: TableHeader
    differences: tuple[ContextDifference, ...]
    can_be_merged: bool
    entries: EntryComparison
    nets: NetComparison


@dataclass(frozen=True, slots=True, kw_only=True)
class TablesMerged(JsonRecord):
    """What `edgenas tables merge` answers: the new table and its sources."""

    action: Literal["merge"] = "merge"
    table: TableHeader
    sources: tuple[TableHeader, ...]
