"""What both sessions of a profile measured, as the rows of a table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgenas.latency.fit import Calibration, mape, validation_of
from edgenas.latency.nets import MeasuringSettings, TimingPlan
from edgenas.latency.table import component_json
from edgenas.latency.timing import NetTiming, Session, TimingSettings, upper_ms
from edgenas.records import Arch, BoundNet, CheckedNet, FittedNet, ReferenceNet, TableMeasuring, TableValidation
from edgenas.spaces import Genes, SearchSpace

Floats = NDArray[np.float64]
STATISTIC = (
    "geometric mean of fastest run / reference's fastest run and the median over visits of that ratio around each visit, "
    "times the reference's median"
)


@dataclass(frozen=True, slots=True)
class BothSessions:
    """Both sessions of a profile.

    Attributes:
        first: of all nets, in the order of `TimingPlan.first_chains`.
        second: of the bound and validation nets again.
        level_ms: milliseconds that the reference stands for: the median of all calls of it.
    """

    first: Session
    second: Session
    level_ms: float

    def ms(self, timing: NetTiming) -> float:
        """A net's milliseconds, free of the moment it was timed in."""
        return timing.relative * self.level_ms


def validate(
    space: SearchSpace, plan: TimingPlan, measured: BothSessions, predicted_A: Floats, calibration: Calibration
) -> TableValidation:
    """Predictions of the validation nets, and what they measured in both sessions."""
    early, late = (session.timings[len(session.timings) - len(plan.validation) :] for session in (measured.first, measured.second))
    rows = []
    for genes_G, ms, first, second in zip(plan.validation, predicted_A, early, late, strict=True):
        once = (measured.ms(first) + measured.ms(second)) / 2
        rows.append(_checked(space, genes_G, float(ms), calibration, first.joined(second), once))
    floor = mape(np.array([t.relative for t in early]), np.array([t.relative for t in late]))
    return validation_of(rows, floor)


def bound_nets(space: SearchSpace, plan: TimingPlan, measured: BothSessions, predicted_A: Floats) -> tuple[BoundNet, ...]:
    """What promises come from: nets that fit nothing, measured as the validation nets are."""
    start = len(measured.first.timings) - len(plan.second_chains)
    early, late = measured.first.timings[start:], measured.second.timings
    rows = []
    for position, (genes_G, ms) in enumerate(zip(plan.bound, predicted_A, strict=True)):
        first, second = early[position], late[position]
        once = (measured.ms(first) + measured.ms(second)) / 2
        rows.append(bound_net(space.to_json(genes_G), float(ms), once, first.joined(second)))
    return tuple(rows)


def bound_net(arch: Arch, predicted_ms: float, measured_ms: float, timing: NetTiming) -> BoundNet:
    """A net that fitted nothing, with the quantiles of all its calls."""
    return BoundNet(
        arch=arch, predicted_ms=predicted_ms, measured_ms=measured_ms, **quantiles_ms(timing)._asdict(), n=timing.num_runs
    )


def _checked(
    space: SearchSpace, genes_G: Genes, ms: float, calibration: Calibration, timing: NetTiming, measured_ms: float
) -> CheckedNet:
    return CheckedNet(
        arch=space.to_json(genes_G),
        predicted_ms=ms,
        upper_ms=ms * calibration.upper_factor,
        measured_ms=measured_ms,
        mad_ms=timing.mad_ms,
        variation=timing.variation,
        median_ms=timing.median_ms,
        **quantiles_ms(timing)._asdict(),
        min_ms=timing.min_ms,
        n=timing.num_runs,
    )


class Quantiles(NamedTuple):
    """Quantiles of the plain distribution of calls, in milliseconds."""

    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float


def quantiles_ms(timing: NetTiming) -> Quantiles:
    """Quantiles of a net's calls."""
    return Quantiles(*(timing.quantile_ms(share / 100) for share in (50, 90, 95, 99)))


def _calibration_rows(space: SearchSpace, plan: TimingPlan, measured: BothSessions) -> tuple[FittedNet, ...]:
    """The nets that the calibration was fitted on, so that it can be fitted again."""
    start = len(plan.skeletons) + len(plan.block_chains)
    timings = measured.first.timings[start : start + len(plan.calibration)]
    return tuple(
        FittedNet(arch=space.to_json(genes_G), measured_ms=measured.ms(timing), n=timing.num_runs)
        for genes_G, timing in zip(plan.calibration, timings, strict=True)
    )


def reference_of(plan: TimingPlan, measured: BothSessions) -> ReferenceNet:
    """The reference net's components, level and plain distribution of calls."""
    both = measured.first.reference.joined(measured.second.reference)
    compute_ms = float(np.median(both.compute_V)) if both.compute_V.size else None
    return ReferenceNet(
        components=tuple(component_json(component) for component in plan.reference),
        level_ms=measured.level_ms,
        **quantiles_ms(both)._asdict(),
        p90_upper_ms=upper_ms(both.samples_VR, 0.90),
        p95_upper_ms=upper_ms(both.samples_VR, 0.95),
        p99_upper_ms=upper_ms(both.samples_VR, 0.99),
        min_ms=both.min_ms,
        mad_ms=both.mad_ms,
        variation=both.variation,
        compute_ms=compute_ms,
        n=both.num_runs,
    )


def measuring_of(
    space: SearchSpace, settings: MeasuringSettings, timing: TimingSettings, plan: TimingPlan, measured: BothSessions
) -> TableMeasuring:
    """How everything was measured, and the nets that the calibration was fitted on, so that it can be fitted again."""
    return TableMeasuring(
        statistic=STATISTIC,
        copies=settings.copies,
        num_nets=plan.num_nets,
        num_calibration_nets=len(plan.calibration),
        calibration_archs=tuple(space.to_json(genes_G) for genes_G in plan.calibration),
        runs_per_visit=measured.first.num_runs,
        visits=timing.visits,
        runs=timing.runs,
        visit_ms=timing.visit_ms,
        warmup_ms=timing.warmup_ms,
        reference_every=timing.reference_every,
        seconds=measured.first.seconds + measured.second.seconds,
        sessions_apart_seconds=(_wall_s(measured.first) + _wall_s(measured.second)) / 2 + settings.pause_seconds,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=(measured.first.machine, measured.second.machine),
        calibration_rows=_calibration_rows(space, plan, measured),
    )


def _wall_s(session: Session) -> float:
    """How long a session took where it was made."""
    seconds = session.machine.seconds
    return session.seconds if seconds is None else seconds
