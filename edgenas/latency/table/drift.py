"""Does a table still hold? Fresh nets, timed as its own were, against what it predicts.

Two things can go wrong. The whole machine may be slower or faster than it was (another governor, heat, a neighbour): the reference
net tells. Or nets may cost other shares of the reference than they did (another driver or version of the runtime): then no common
factor corrects the predictions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgenas.latency.fit import bootstrap_mean, mape
from edgenas.latency.table.breakdown import typical_nets
from edgenas.latency.table.table import LatencyTable
from edgenas.latency.timing import NetTiming, Session, TimingSettings
from edgenas.percents import numeral, percent
from edgenas.records import DriftFacts, DriftGate, DriftRow, MachineFacts, RatioFacts
from edgenas.spaces import Genes, SearchSpace, unique_rows

DriftVerdict = Literal["passed", "failed", "undecided"]
Floats = NDArray[np.float64]

SAME_SPEED = 0.15  # share by which the reference may be slower or faster than when the table was measured
WORSE = 2.0  # times the table's own error, or its noise floor where that is larger, up to which nets may be off
LEAST_ERROR = 0.05  # an error up to which a table holds in any case
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Drift:
    """What timing nets again said.

    Attributes:
        gates: ``speed``: how many times slower the reference net is than when the table was measured; ``error``: mean absolute
            error of the predictions at the speed of then.
        noise_floor_mape: how much the first and the second half of the visits differ.
        ratios: measured to predicted milliseconds, of every net.
        rows: one a net, measured now.
        machine: what else went on.
    """

    gates: tuple[DriftGate, ...]
    noise_floor_mape: float
    ratios: RatioFacts
    rows: tuple[DriftRow, ...]
    machine: MachineFacts

    @property
    def verdict(self) -> DriftVerdict:
        """Failed if one gate is, else undecided if one is."""
        verdicts = {gate.verdict for gate in self.gates}
        return "failed" if "failed" in verdicts else "undecided" if "undecided" in verdicts else "passed"

    @property
    def words(self) -> str:
        """What follows "the table"."""
        speed, error = self.gates
        moved = f"the machine now takes {speed.value:.2f} [{speed.low:.2f}, {speed.high:.2f}] times as long as when it was measured"
        off = (
            f"predictions are {percent(error.value)} [{numeral(error.low)}, {numeral(error.high)}] off at the same speed"
            f" (limit {percent(error.limit)})"
        )
        if self.verdict == "passed":
            return f"still holds: {moved}; {off}"
        if self.verdict == "undecided":
            unsteady = f"the same nets measured twice now differ by {percent(self.noise_floor_mape)}"
            return f"cannot be judged from so few or so unsteady measurements: {unsteady}; {moved}; {off}"
        return f"no longer holds: {off if error.verdict == 'failed' else moved}"

    @property
    def facts(self) -> DriftFacts:
        """All of it, with what it comes to."""
        return DriftFacts(
            verdict=self.verdict,
            words=self.words,
            gates=self.gates,
            noise_floor_mape=self.noise_floor_mape,
            ratios=self.ratios,
            rows=self.rows,
            machine=self.machine,
        )


def nets_to_time(table: LatencyTable, space: SearchSpace, num: int, rng: np.random.Generator) -> Genes:
    """The smallest and the largest net by prediction, and random ones between that the table was not made with.

    Args:
        table: whose predictions are judged.
        space: of the table.
        num: at least 2; fewer come where the space has fewer.
        rng: draws.
    """
    typical = typical_nets(table, space, rng)
    ends_AG = np.stack([typical["smallest"], typical["largest"]])
    small = space.cardinality <= 50 * num
    drawn_AG = rng.permutation(space.enumerate()) if small else unique_rows(space.sample(50 * num, rng))
    known = [*(net.arch for net in table.checks), *(net.arch for net in table.measuring.calibration_rows or ())]
    taken = [*known, *(space.to_json(genes_G) for genes_G in ends_AG)]
    fresh = [genes_G for genes_G in drawn_AG if space.to_json(genes_G) not in taken]
    return np.stack([*ends_AG, *fresh[: num - 2]])


def same_timing(table: LatencyTable) -> TimingSettings:
    """As many visits and runs as the table's nets had in one session, since minima of more runs are lower."""
    measuring = table.measuring
    visits = measuring.visits / max(1, len(measuring.merged_from or ()))
    return TimingSettings(
        visits=max(2, round(visits)),
        runs=measuring.runs_per_visit,
        visit_ms=0.0,
        warmup_ms=measuring.warmup_ms,
    )


def drift_of(table: LatencyTable, space: SearchSpace, genes_AG: Genes, session: Session) -> Drift:
    """Compare a session of these nets with the table's predictions."""
    level_ms = table.level_ms
    reference_VR = session.reference.samples_VR
    speed = float(np.median(reference_VR)) / level_ms
    predicted = table.to_cost_model(space, table.task)(genes_AG)
    relative = np.array([timing.relative for timing in session.timings])
    then, now = relative * level_ms, relative * level_ms * speed
    errors = np.abs(predicted / then - 1.0)
    ratios = now / predicted
    rows = tuple(
        DriftRow(
            arch=space.to_json(genes_G),
            predicted_ms=float(predicted[at]),
            measured_ms=float(now[at]),
            p95_ms=session.timings[at].quantile_ms(0.95),
            ratio=float(ratios[at]),
            error=float(errors[at]),
        )
        for at, genes_G in enumerate(genes_AG)
    )
    median = float(np.median(ratios))
    spread = RatioFacts(
        n=len(ratios),
        median=median,
        mad=float(np.median(np.abs(ratios - median))),
        min=float(ratios.min()),
        max=float(ratios.max()),
    )
    floor = mape(*(np.array(half) for half in zip(*map(_halves, session.timings), strict=True)))
    gates = (_speed_gate(speed, reference_VR, level_ms), _error_gate(errors, table, floor))
    return Drift(gates, floor, spread, rows, session.machine)


def _halves(timing: NetTiming) -> tuple[float, float]:
    """What a net costs by the first and by the second half of its visits."""
    half = len(timing.samples_VR) // 2
    parts = [
        replace(timing, samples_VR=timing.samples_VR[part], reference_V=timing.reference_V[part])
        for part in (slice(None, half), slice(half, None))
    ]
    return parts[0].relative, parts[1].relative


def _speed_gate(speed: float, reference_VR: Floats, level_ms: float) -> DriftGate:
    """Within 15 % of then; the interval is a bootstrap over visits, since runs of one visit go together."""
    rng = np.random.default_rng(0)
    picks = rng.integers(len(reference_VR), size=(RESAMPLES, len(reference_VR)))
    low, high = np.quantile(np.median(reference_VR[picks].reshape(RESAMPLES, -1), axis=1) / level_ms, [0.025, 0.975])
    slowest = 1 + SAME_SPEED
    verdict = _within(float(low), float(high), 1 / slowest, slowest)
    return DriftGate(name="speed", limit=slowest, value=speed, low=float(low), high=float(high), verdict=verdict)


def _within(low: float, high: float, least: float, most: float) -> DriftVerdict:
    if least <= low and high <= most:
        return "passed"
    return "failed" if high < least or low > most else "undecided"


def _error_gate(errors: Floats, table: LatencyTable, floor: float) -> DriftGate:
    """Measurements that differ more among themselves than is allowed cannot prove that predictions are off."""
    known = (table.validation.mape, table.validation.noise_floor_mape)
    limit = max(LEAST_ERROR, *(WORSE * value for value in known if value is not None))
    mean = bootstrap_mean(errors)
    verdict = _within(mean.low, mean.high, 0.0, limit)
    verdict = "undecided" if verdict == "failed" and floor > limit else verdict
    return DriftGate(name="error", limit=limit, value=mean.value, low=mean.low, high=mean.high, verdict=verdict)
