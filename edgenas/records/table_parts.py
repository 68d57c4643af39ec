"""The parts of a latency table: its nets, how they were measured, and what went on meanwhile.

A table of another version may lack keys that this one writes, or have more. A part that was read keeps how it was read, so that a
table that gets a session is the same file but for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from edgenas.records.codec import AS_READ, OMITTED, Arch, AsRead, Component, Details, JsonRecord
from edgenas.records.machine import MachineFacts
from edgenas.records.proportion import Proportion


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedNet(JsonRecord):
    """A whole net that a table was calibrated on, so that it can be fitted again.

    Attributes:
        measured_ms: at the table's level, free of the moment it was timed in.
        n: calls.
    """

    arch: Arch
    measured_ms: float
    n: int
    as_read: Annotated[AsRead | None, AS_READ] = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundNet(JsonRecord):
    """A whole net that fitted nothing, as one session measured it: what bounds come from.

    Attributes:
        predicted_ms: by the table.
        measured_ms: at the table's level, free of the moment it was timed in.
        p50_ms, p90_ms, p95_ms, p99_ms: quantiles of its plain calls.
        n: calls.
    """

    arch: Arch
    predicted_ms: float
    measured_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    n: int
    as_read: Annotated[AsRead | None, AS_READ] = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedNet(JsonRecord):
    """A whole net that fitted nothing, to see how true predictions are; None where a table does not say.

    Attributes:
        predicted_ms: by the table, and ``upper_ms`` by its calibration's bound.
        measured_ms: at the table's level, free of the moment it was timed in.
        mad_ms: median absolute deviation of its plain calls.
        variation: their coefficient of variation.
        median_ms: of the calls, and their quantiles ``p50_ms`` to ``p99_ms``.
        min_ms: the fastest.
        n: calls.
    """

    arch: Arch
    predicted_ms: float
    upper_ms: float
    measured_ms: float
    mad_ms: float | None = None
    variation: float | None = None
    median_ms: float | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    min_ms: float | None = None
    n: int | None = None
    as_read: Annotated[AsRead | None, AS_READ] = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableValidation(JsonRecord):
    """How true a table's predictions are of nets that fitted nothing, errors as fractions; None where it does not say.

    Attributes:
        num_subnets: that it rests on.
        mape: mean absolute error, relative to what was measured.
        within_5, within_10: share of the nets that are predicted to within 5 and 10 %.
        p95_error: 95th percentile of the error.
        kendall_tau: rank correlation.
        noise_floor_mape: the error between two measurements of the same nets.
        bias: mean error.
        intervals: of shares, of the mean error and of the bound's coverage, by name.
    """

    num_subnets: int | None = None
    mape: float | None = None
    within_5: float | None = None
    within_10: float | None = None
    p95_error: float | None = None
    kendall_tau: float | None = None
    noise_floor_mape: float | None = None
    bias: float | None = None
    intervals: Mapping[str, Proportion] | None = None
    rows: tuple[CheckedNet, ...] = ()
    as_read: Annotated[AsRead | None, AS_READ] = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceNet(JsonRecord):
    """The net that a measurement returned to between all others; None where a table does not say.

    Attributes:
        components: in order.
        level_ms: that the reference stands for: the median of its calls, which later measurements are compared with.
        p50_ms, p90_ms, p95_ms, p99_ms: quantiles of its plain calls.
        p90_upper_ms, p95_upper_ms, p99_upper_ms: what these are at or below with 99 % confidence; None of too few calls.
        min_ms: the fastest call.
        mad_ms: median absolute deviation of the calls.
        variation: their coefficient of variation.
        compute_ms: median without copies and launches; None where the runtime cannot tell.
        n: calls.
    """

    components: tuple[Component, ...] | None = None
    level_ms: float
    p50_ms: float
    p90_ms: float | None = None
    p95_ms: float
    p99_ms: float | None = None
    p90_upper_ms: float | None = None
    p95_upper_ms: float | None = None
    p99_upper_ms: float | None = None
    min_ms: float
    mad_ms: float | None = None
    variation: float | None = None
    compute_ms: float | None = None
    n: int | None = None
    as_read: Annotated[AsRead | None, AS_READ] = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedSource(JsonRecord):
    """A table that another was made of.

    Attributes:
        date: when it was measured.
        visits: to each of its nets.
        level_ms: of its reference net.
    """

    sha256: str
    date: str
    visits: int
    level_ms: float
    runtime_version: str
    as_read: Annotated[AsRead | None, AS_READ] = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMeasuring(JsonRecord):
    """How a table was measured; None where it does not say.

    Attributes:
        statistic: that a net's milliseconds are, in words.
        copies: of a block in the nets that it is timed in.
        num_nets: that were timed.
        calibration_archs: what the calibration was fitted on; ``calibration_rows`` says what they measured, too.
        runs_per_visit: timed calls; ``runs`` of them were asked for, or ``visit_ms`` of them.
        visits: to every net, in a session.
        warmup_ms: before the calls of a visit.
        reference_every: nets after which the reference was returned to.
        seconds: that timing took.
        sessions_apart_seconds: between the two measurements of a net.
        date: when it was made.
        machine: what else went on, of both sessions.
        merged_from: its sources, where it was made of other tables.
    """

    statistic: str | None = None
    copies: int | None = None
    num_nets: int | None = None
    num_calibration_nets: int | None = None
    calibration_archs: tuple[Arch, ...] | None = None
    runs_per_visit: int
    visits: int
    runs: int | None = None
    visit_ms: float | None = None
    warmup_ms: float
    reference_every: int | None = None
    seconds: float
    sessions_apart_seconds: float | None = None
    date: str
    machine: tuple[MachineFacts, ...] | None = None
    calibration_rows: tuple[FittedNet, ...] | None = None
    merged_from: Annotated[tuple[MergedSource, ...] | None, OMITTED] = None
    as_read: Annotated[AsRead | None, AS_READ] = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceCalls(JsonRecord):
    """Quantiles of the plain calls of a reference net in a later session; None where it does not say. ``n`` of them."""

    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    n: int | None = None
    as_read: Annotated[AsRead | None, AS_READ] = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSession(JsonRecord):
    """A later session of a table: nets that fitted nothing, timed once more at another hour or on another day.

    Attributes:
        date: when it began.
        visits: to every net, of ``runs_per_visit`` calls each.
        speed: how many times as long as the table's level the reference net took.
        machine: what else went on.
        details: of its context.
        nets: the table's bound nets, or a part of them.
        checks: its validation nets, or a part of them.
    """

    date: str
    seconds: float
    visits: int
    runs_per_visit: int
    runtime_version: str
    speed: float
    reference: ReferenceCalls | None = None
    machine: MachineFacts
    details: Details
    nets: tuple[BoundNet, ...]
    checks: tuple[BoundNet, ...]
    as_read: Annotated[AsRead | None, AS_READ] = field(default=None, compare=False, repr=False)
