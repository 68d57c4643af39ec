"""From predictions to promises: an upper bound on a quantile of a net's calls, by split conformal prediction.

Nets that fitted nothing are predicted and measured; the scores are their measured quantiles over their predictions. The
``ceil((n + 1) confidence)``-th smallest score times the prediction of another net, drawn like them, is at or above its quantile
with at least that confidence, whatever the distribution of errors (Vovk et al., Algorithmic Learning in a Random World, 2005; Lei
et al., JASA 2018, arXiv:1604.04173, section 2). A confidence that so few nets cannot give is refused.

The guarantee is over random nets measured as these were: in the same session. Where nets were measured again in others, what
sessions differ by is part of the bound, with what they differed by elsewhere as its prior (`fit.between`). Sessions of the same
hour say nothing of that: together they count as one, as slow as the slowest of them. A search picks nets, and may pick those that
are predicted too fast; so finalists are measured.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import LatencyTableError
from edgenas.latency.fit.between import PRIORS, Prior, change, rank_of, spread_of
from edgenas.latency.fit.calibration import Calibration
from edgenas.latency.fit.validation import bootstrap_mean
from edgenas.percents import numeral, percent
from edgenas.records import Arch, BoundNet
from edgenas.stats import Proportion, clopper_pearson

Quantile = Literal["p50", "p90", "p95", "p99"]
QUANTILES: tuple[Quantile, ...] = get_args(Quantile)
CONFIDENCE = 0.95
APART_H = 1.0  # hours between sessions below which they are of one hour
FEW_SESSIONS = 5  # below which it is said that what they differ by is not known well


class MeasuredNet(Protocol):
    """A whole net that was predicted and measured, with quantiles of its plain calls; None where these are not known."""

    @property
    def arch(self) -> Arch:
        """What it is."""
        ...

    @property
    def predicted_ms(self) -> float:
        """By sums of components."""
        ...

    @property
    def p50_ms(self) -> float | None:
        """Median of the calls."""
        ...

    @property
    def p90_ms(self) -> float | None:
        """Their 90th percentile."""
        ...

    @property
    def p95_ms(self) -> float | None:
        """Their 95th percentile."""
        ...

    @property
    def p99_ms(self) -> float | None:
        """Their 99th percentile."""
        ...


@dataclass(frozen=True, slots=True)
class Bound:
    """``factor`` x predicted is an upper bound on a quantile of the plain calls of a net.

    Attributes:
        quantile: of the calls, e.g. ``p95``; ``p50`` is their median.
        confidence: one-sided, that the bound was made for.
        factor: without unit.
        num_nets: that it comes from; they fitted nothing.
        num_runs: fewest calls behind a quantile.
        coverage: share of the validation nets, which fitted nothing either, that kept it, over every session that measured them,
            with the exact interval of so many nets: the same net in several sessions is no other net.
        slack: mean relative excess of the bound over what these nets measured, with its interval.
        num_sessions: that it comes from; one says nothing about other hours and days.
        between: standard deviation of what all nets of a session shift by together, as a share; None of sessions of one hour.
        left_out: per later session the share of its validation nets that kept the bound of all other sessions; empty where
            fewer than two hours would be left.
        hours: between the first session and the last.
        num_hours: that its sessions were in; those less than an hour apart were in the same.
        prior: on what sessions differ by, that is part of it; None of sessions of one hour.
    """

    quantile: Quantile
    confidence: float
    factor: float
    num_nets: int
    num_runs: int
    coverage: Proportion
    slack: Proportion
    num_sessions: int = 1
    between: float | None = None
    left_out: tuple[float, ...] = ()
    hours: float = math.inf
    num_hours: int = 1
    prior: Prior | None = None

    @property
    def covers_days(self) -> bool:
        """Whether what hours and days differ by is in it: not by one session, nor by sessions of the same hour."""
        return self.num_sessions > 1 and self.hours >= APART_H

    @property
    def is_coarse(self) -> bool:
        """Whether so few calls are behind a quantile that it is little more than their maximum."""
        return self.num_runs * (100 - int(self.quantile[1:])) < 100

    def as_json(self) -> dict[str, Any]:
        """Plain values; those about several sessions only where there are several, as in tables of earlier versions."""
        own = asdict(self) | {"coverage": self.coverage.as_json(), "slack": self.slack.as_json()}
        names = ("num_sessions", "between", "left_out", "hours", "num_hours", "prior")
        num_sessions, between, left_out, _, num_hours, prior = (own.pop(name) for name in names)
        if num_sessions == 1:
            return own
        several = {"num_sessions": num_sessions, "covers_days": self.covers_days, "between": between}
        several |= {"num_hours": num_hours} if num_hours < num_sessions else {}
        several |= {"prior": prior} if prior is not None else {}
        return own | several | ({"left_out": list(left_out)} if left_out else {})

    @property
    def _days(self) -> str:
        """How far it holds beyond the moment it was measured in."""
        if self.num_sessions == 1:
            elsewhere = f"which differed by {percent(PRIORS[self.quantile].scale)} elsewhere"
            return f"in 1 session: other hours and days, {elsewhere}, are not covered (`edgenas profile --again` adds one)"
        if self.between is None:
            near = f"all within {60 * self.hours:.0f} min, which count as one"
            return f"in {self.num_sessions} sessions, {near}: other hours and days are not covered"
        few = ", few to know that by" if self.num_hours < FEW_SESSIONS else ""
        if self.prior is not None and self.prior.sessions:
            few += f" ({percent(self.prior.scale)}, measured elsewhere, counts as {self.prior.sessions} more)"
        kept = ", ".join(numeral(share) for share in self.left_out)
        judged = f"; of sessions left out in turn {kept} % of the nets kept it" if kept else ""
        near = "" if self.covers_days else f", all within {60 * self.hours:.0f} min: other hours and days are not covered"
        of = f" of {self.num_hours} hours" if self.num_hours < self.num_sessions else ""
        return f"in {self.num_sessions} sessions{of} that differ by {percent(self.between)}{few}{near}{judged}"

    def __str__(self) -> str:
        kept, slack = self.coverage, self.slack
        checked = "; no net checked it"
        if kept.n:
            held = f"{percent(kept.value)} [{numeral(kept.low)}, {numeral(kept.high)}] of {kept.n} other nets"
            checked = f"; it held for {held}, on average {percent(slack.value)} above what they measured"
        return (
            f"{self.quantile} of calls at confidence {self.confidence:g}: {self.factor:.3g} x predicted, "
            f"from {self.num_nets} nets that fitted nothing{checked}; {self._days}"
        )


class Again(NamedTuple):
    """What a later session measured of a table's nets; described as in `Promise`.

    ``hour`` is the number of the hour that it was in, 0 that of the table itself; None for one of its own.
    """

    nets: Sequence[BoundNet]
    checks: Sequence[MeasuredNet]
    hour: int | None = None


@dataclass(frozen=True, slots=True)
class Promise:
    """The nets of a table that bounds come from.

    Attributes:
        nets: that fitted nothing, as the table's own session measured them.
        checks: validation nets.
        later: other sessions, each with a part of both.
        hours: between the first of all sessions and the last.
    """

    nets: Sequence[BoundNet]
    checks: Sequence[MeasuredNet]
    later: tuple[Again, ...] = ()
    hours: float = math.inf

    def bound(self, quantile: Quantile, confidence: float, prior: Prior | None = None) -> Bound:
        """The bound on a quantile at a confidence, with its coverage and slack on the validation nets.

        Args:
            quantile: of the calls.
            confidence: one-sided, in (0, 1).
            prior: on what sessions differ by; by default what was measured elsewhere, `PRIORS`.

        Raises:
            LatencyTableError: if there are too few nets for the confidence.
        """
        held = PRIORS[quantile] if prior is None else prior
        logs = self._logs(quantile) if self.later else []
        hourly = self._hourly(logs) if logs else []
        factor = conformal_factor(over_predicted(self.nets, quantile), confidence)
        if len(hourly) > 1:
            factor = spread_of(hourly).factor(confidence, held)
        elif hourly:
            factor *= math.exp(change(logs[0], hourly[0]))
        measured_in = (self.checks, *(again.checks for again in self.later))
        checks = [net for nets in measured_in for net in nets if _knows(net, quantile)]
        upper, measured = factor * _predicted(checks), _calls_ms(checks, quantile)
        num_nets = len({_name(net) for net in checks}) if self.later else len(checks)
        return Bound(
            quantile=quantile,
            confidence=confidence,
            factor=factor,
            num_nets=len(self.nets),
            num_runs=min(net.n for nets in (self.nets, *(again.nets for again in self.later)) for net in nets),
            coverage=_share_of_nets(int((measured <= upper).sum()), len(checks), num_nets),
            slack=bootstrap_mean(upper / measured - 1.0),
            num_sessions=1 + len(self.later),
            hours=self.hours,
            between=spread_of(hourly).between if len(hourly) > 1 else None,
            num_hours=max(1, len(hourly)),
            left_out=self._left_out(quantile, logs, confidence, held),
            prior=held if len(hourly) > 1 else None,
        )

    def _logs(self, quantile: Quantile) -> list[dict[str, float]]:
        """By net the logarithm of measured over predicted, of every session."""
        return [
            {_name(net): math.log(_call_ms(net, quantile) / net.predicted_ms) for net in nets}
            for nets in (self.nets, *(again.nets for again in self.later))
        ]

    def _hourly(self, logs: Sequence[Mapping[str, float]], without: int | None = None) -> list[Mapping[str, float]]:
        """The slowest session of every hour but one, the table's own first; only its own knows all nets."""
        by_hour: dict[int, list[int]] = {}
        for number, hour in enumerate(self._hours):
            by_hour.setdefault(hour, []).append(number)
        changes = [change(logs[0], each) for each in logs]
        kept: list[Mapping[str, float]] = []
        for hour, numbers in by_hour.items():
            slowest = max(numbers, key=lambda number: changes[number])
            if hour == 0:
                kept.append({net: value + changes[slowest] for net, value in logs[0].items()})
            elif hour != without:
                kept.append(logs[slowest])
        return kept

    @property
    def _hours(self) -> tuple[int, ...]:
        """The hour of every session, those without a number apart from all others."""
        return (0, *(-number if again.hour is None else again.hour for number, again in enumerate(self.later, 1)))

    def _left_out(
        self, quantile: Quantile, logs: Sequence[Mapping[str, float]], confidence: float, prior: Prior
    ) -> tuple[float, ...]:
        """Per session of a later hour the share of its validation nets that kept the bound of all other hours, if two or more."""
        shares = []
        for hour, again in zip(self._hours[1:], self.later, strict=True):
            if hour == 0 or not again.checks:
                continue
            others = self._hourly(logs, without=hour)
            if len(others) < 2:
                continue
            factor = spread_of(others).factor(confidence, prior)
            shares.append(float(np.mean([_call_ms(net, quantile) <= factor * net.predicted_ms for net in again.checks])))
        return tuple(shares)

    def bounds(self, confidence: float = CONFIDENCE) -> tuple[Bound, ...]:
        """The bound on every quantile, none where the nets do not reach the confidence."""
        if len(self.nets) < nets_needed(confidence):
            return ()
        return tuple(self.bound(quantile, confidence) for quantile in QUANTILES)


def bounded(calibration: Calibration, nets: Sequence[BoundNet]) -> Calibration:
    """The calibration with an ``upper_factor`` from nets that fitted nothing, where there are enough; never below 1.

    Args:
        calibration: fitted on other nets.
        nets: predicted by it.
    """
    if len(nets) < nets_needed(calibration.confidence):
        return calibration
    measured = np.array([net.measured_ms for net in nets], dtype=np.float64)
    factor = conformal_factor(measured / _predicted(nets), calibration.confidence)
    return replace(calibration, upper_factor=max(1.0, factor), num_bound_nets=len(nets))


def nets_needed(confidence: float) -> int:
    """Fewest nets that give a bound of this confidence, e.g. 19 for 0.95.

    Raises:
        ValueError: if the confidence is not in (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence is in (0, 1), not {confidence:g}")
    return max(1, math.ceil(confidence / (1 - confidence) - 1e-9))


def conformal_factor(scores: NDArray[np.float64], confidence: float) -> float:
    """The ``ceil((n + 1) confidence)``-th smallest of ``n`` scores.

    Raises:
        LatencyTableError: if that is more than there are, naming how many nets are needed.
        ValueError: if the confidence is not in (0, 1).
    """
    num, needed = len(scores), nets_needed(confidence)
    if num < needed:
        reached = f"ask for a confidence of {_below(num / (num + 1))} or less, or " if num else ""
        raise LatencyTableError(
            f"a confidence of {confidence:g} needs {needed} nets that fitted nothing; the latency table has {num}",
            hint=f"{reached}run `edgenas profile --set profile.bound_nets={needed}`",
        )
    return float(np.sort(scores)[rank_of(num, confidence) - 1])


def _below(share: float) -> str:
    """Three digits, rounded down, so that what is named is reached."""
    return f"{math.floor(share * 1000 + 1e-9) / 1000:g}"


def _share_of_nets(num_kept: int, num_checks: int, num_nets: int) -> Proportion:
    """The share of checks that were kept, with the exact interval of so many different nets: what they share in sessions is not
    counted twice. Between two numbers of nets it reaches over both.
    """
    if num_nets == num_checks:
        return clopper_pearson(num_kept, num_nets)
    share = num_kept / num_checks
    low, high = (clopper_pearson(int(whole), num_nets) for whole in (math.floor(share * num_nets), math.ceil(share * num_nets)))
    return Proportion(share, low.low, high.high, num_nets)


def over_predicted(nets: Sequence[MeasuredNet], quantile: Quantile) -> NDArray[np.float64]:
    """A quantile of every net's calls over its prediction; NaN where the quantile is not known."""
    return _calls_ms(nets, quantile) / _predicted(nets)


def _name(net: MeasuredNet) -> str:
    """What tells nets apart."""
    return json.dumps(net.arch)


def _call_ms(net: MeasuredNet, quantile: Quantile) -> float:
    """A quantile of a net's calls; NaN where it is not known."""
    known_ms = {"p50": net.p50_ms, "p90": net.p90_ms, "p95": net.p95_ms, "p99": net.p99_ms}[quantile]
    return math.nan if known_ms is None else known_ms


def _knows(net: MeasuredNet, quantile: Quantile) -> bool:
    return not math.isnan(_call_ms(net, quantile))


def _calls_ms(nets: Sequence[MeasuredNet], quantile: Quantile) -> NDArray[np.float64]:
    return np.array([_call_ms(net, quantile) for net in nets], dtype=np.float64)


def _predicted(nets: Sequence[MeasuredNet]) -> NDArray[np.float64]:
    return np.array([net.predicted_ms for net in nets], dtype=np.float64)
