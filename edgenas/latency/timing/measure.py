"""Measuring a few nets side by side: finalists of a search, or what was exported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgenas.deploy.contracts import RunnerInfo
from edgenas.latency.timing.percentiles import upper_ms
from edgenas.latency.timing.samples import NetTiming
from edgenas.latency.timing.sessions import Session, time_nets
from edgenas.latency.timing.target import Target, TimingSettings
from edgenas.portable.memory import Memory
from edgenas.runs import Progress

if TYPE_CHECKING:
    from torch import nn

FINALIST_TIMING = TimingSettings(visits=10, runs=10, visit_ms=8.0)
UNSTABLE_VARIATION = 0.25


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a user is promised: the plain distribution of calls, in milliseconds.

    Attributes:
        latency_ms: median of all calls (the contract's word), also ``p50_ms``.
        mad_ms: median absolute deviation.
        relative: to the net that was returned to, robust against slow moments; compare nets by this.
        variation: standard deviation over mean.
        compute_ms: median without copies, None where the runtime cannot tell.
        n: calls.
        p90_upper_ms, p95_upper_ms, p99_upper_ms: what the percentile is at or below with 99 % confidence, by `percentiles`; None
            where the calls are too few.
    """

    latency_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    min_ms: float
    mad_ms: float
    relative: float
    variation: float
    compute_ms: float | None
    n: int
    p90_upper_ms: float | None = None
    p95_upper_ms: float | None = None
    p99_upper_ms: float | None = None

    @property
    def unstable(self) -> bool:
        """Whether calls spread so much that the median says little."""
        return self.variation > UNSTABLE_VARIATION

    def as_json(self) -> dict[str, Any]:
        """Plain values with units in the keys."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Measurements:
    """What all nets measured, in the order asked for, and what the live runner says of itself."""

    nets: tuple[Measurement, ...]
    info: RunnerInfo


def measurement_of(timing: NetTiming) -> Measurement:
    """The numbers of one net's runs."""
    p50, p90, p95, p99 = (timing.quantile_ms(share) for share in (0.5, 0.9, 0.95, 0.99))
    return Measurement(
        latency_ms=p50,
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        min_ms=timing.min_ms,
        mad_ms=timing.mad_ms,
        relative=timing.relative,
        variation=timing.variation,
        compute_ms=float(np.median(timing.compute_V)) if timing.compute_V.size else None,
        n=timing.num_runs,
        p90_upper_ms=upper_ms(timing.samples_VR, 0.9),
        p95_upper_ms=upper_ms(timing.samples_VR, 0.95),
        p99_upper_ms=upper_ms(timing.samples_VR, 0.99),
    )


def measure_nets(
    target: Target,
    sources: Sequence[Path | nn.Module],
    *,
    rng: np.random.Generator,
    settings: TimingSettings = FINALIST_TIMING,
    reference: Path | nn.Module | None = None,
    label: str = "measuring",
    memory: Memory | None = None,
) -> Iterator[Progress | Measurements]:
    """Time nets interleaved with each other; the last record is the `Measurements`.

    Args:
        target: runtime and input.
        sources: what the runtime loads, one a net, at least one.
        rng: draws the order of every round.
        settings: visits and runs.
        reference: a net that is returned to; by default the first.
        label: of the progress records.
        memory: as in `time_nets`.

    Raises:
        ValueError: if there is nothing to measure.
    """
    if not sources:
        raise ValueError("there are no nets to measure")
    beside = sources[0] if reference is None else reference
    for record in time_nets(target, sources, beside, settings, rng=rng, label=label, memory=memory):
        if isinstance(record, Session):
            yield Measurements(tuple(measurement_of(timing) for timing in record.timings), record.info)
        else:
            yield record
