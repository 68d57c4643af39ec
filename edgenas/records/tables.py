"""What is said of latency tables and of the kits that make them elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from edgenas.records.codec import FLAT, OMITTED, JsonRecord
from edgenas.records.search import PromisedBound
from edgenas.stats import Proportion


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
    details: Mapping[str, Any]


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
    rows: Annotated[tuple[Mapping[str, Any], ...] | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileAnswer(JsonRecord):
    """What `edgenas profile` answers.

    Attributes:
        table: its file, relative to the run folder.
        num_nets_timed: different nets.
        seconds: wall time, tracing included.
        promises: a bound a quantile; none where the nets do not reach the confidence.
    """

    table: str
    table_sha256: str
    context: ContextWithDetails
    num_entries: int
    num_nets_timed: int
    seconds: float
    validation: ValidationFacts
    promises: tuple[PromisedBound, ...] = ()


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
