"""What both sessions of a profile measured, as the rows of a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.latency.fit import Calibration, Validation, mape
from edgenas.latency.nets import MeasuringSettings, TimingPlan
from edgenas.latency.table import component_json
from edgenas.latency.timing import NetTiming, Session, TimingSettings, upper_ms
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
) -> Validation:
    """Predictions of the validation nets, and what they measured in both sessions."""
    early, late = (session.timings[len(session.timings) - len(plan.validation) :] for session in (measured.first, measured.second))
    rows = []
    for genes_G, ms, first, second in zip(plan.validation, predicted_A, early, late, strict=True):
        once = (measured.ms(first) + measured.ms(second)) / 2
        rows.append(_row(space, genes_G, float(ms), calibration, first.joined(second), once))
    floor = mape(np.array([t.relative for t in early]), np.array([t.relative for t in late]))
    return Validation(tuple(rows), floor)


def bound_nets(space: SearchSpace, plan: TimingPlan, measured: BothSessions, predicted_A: Floats) -> tuple[dict[str, Any], ...]:
    """What promises come from: nets that fit nothing, measured as the validation nets are."""
    start = len(measured.first.timings) - len(plan.second_chains)
    early, late = measured.first.timings[start:], measured.second.timings
    rows = []
    for position, (genes_G, ms) in enumerate(zip(plan.bound, predicted_A, strict=True)):
        first, second = early[position], late[position]
        both = first.joined(second)
        once = (measured.ms(first) + measured.ms(second)) / 2
        row = {"arch": space.to_json(genes_G), "predicted_ms": float(ms), "measured_ms": once}
        rows.append({**row, **quantiles_ms(both), "n": both.num_runs})
    return tuple(rows)


def _row(
    space: SearchSpace, genes_G: Genes, ms: float, calibration: Calibration, timing: NetTiming, measured_ms: float
) -> dict[str, Any]:
    return {
        "arch": space.to_json(genes_G),
        "predicted_ms": ms,
        "upper_ms": ms * calibration.upper_factor,
        "measured_ms": measured_ms,
        "mad_ms": timing.mad_ms,
        "variation": timing.variation,
        "median_ms": timing.median_ms,
        **quantiles_ms(timing),
        "min_ms": timing.min_ms,
        "n": timing.num_runs,
    }


def quantiles_ms(timing: NetTiming) -> dict[str, float]:
    """Quantiles of the plain distribution of calls."""
    return {f"p{share}_ms": timing.quantile_ms(share / 100) for share in (50, 90, 95, 99)}


def _calibration_rows(space: SearchSpace, plan: TimingPlan, measured: BothSessions) -> list[dict[str, Any]]:
    """The nets that the calibration was fitted on, so that it can be fitted again."""
    start = len(plan.skeletons) + len(plan.block_chains)
    timings = measured.first.timings[start : start + len(plan.calibration)]
    return [
        {"arch": space.to_json(genes_G), "measured_ms": measured.ms(timing), "n": timing.num_runs}
        for genes_G, timing in zip(plan.calibration, timings, strict=True)
    ]


def reference_of(plan: TimingPlan, measured: BothSessions) -> dict[str, Any]:
    """The reference net's components, level and plain distribution of calls, in milliseconds.

    ``p99_upper_ms`` and the like are at or above the percentile with 99 % confidence, None where the calls are too few.
    """
    both = measured.first.reference.joined(measured.second.reference)
    compute_ms = float(np.median(both.compute_V)) if both.compute_V.size else None
    return {
        "components": [component_json(component) for component in plan.reference],
        "level_ms": measured.level_ms,
        **quantiles_ms(both),
        **{f"p{share}_upper_ms": upper_ms(both.samples_VR, share / 100) for share in (90, 95, 99)},
        "min_ms": both.min_ms,
        "mad_ms": both.mad_ms,
        "variation": both.variation,
        "compute_ms": compute_ms,
        "n": both.num_runs,
    }


def measuring_of(
    space: SearchSpace, settings: MeasuringSettings, timing: TimingSettings, plan: TimingPlan, measured: BothSessions
) -> dict[str, Any]:
    """How everything was measured, and the nets that the calibration was fitted on, so that it can be fitted again."""
    return {
        "statistic": STATISTIC,
        "copies": settings.copies,
        "num_nets": plan.num_nets,
        "num_calibration_nets": len(plan.calibration),
        "calibration_archs": [space.to_json(genes_G) for genes_G in plan.calibration],
        "runs_per_visit": measured.first.num_runs,
        **asdict(timing),
        "seconds": measured.first.seconds + measured.second.seconds,
        "sessions_apart_seconds": (_wall_s(measured.first) + _wall_s(measured.second)) / 2 + settings.pause_seconds,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": [dict(measured.first.machine), dict(measured.second.machine)],
        "calibration_rows": _calibration_rows(space, plan, measured),
    }


def _wall_s(session: Session) -> float:
    """How long a session took where it was made."""
    seconds = session.machine.get("seconds")
    return session.seconds if seconds is None else float(seconds)
