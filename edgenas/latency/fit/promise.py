"""From predictions to promises: an upper bound on a quantile of a net's calls, by split conformal prediction.

Nets that fitted nothing are predicted and measured; the scores are their measured quantiles over their predictions. The
``ceil((n + 1) confidence)``-th smallest score times the prediction of another net, drawn like them, is at or above its quantile
with at least that confidence, whatever the distribution of errors (Vovk et al., Algorithmic Learning in a Random World, 2005; Lei
et al., JASA 2018, arXiv:1604.04173, section 2). A confidence that so few nets cannot give is refused.

The guarantee is over random nets measured as these were. A search picks nets, and may pick those that are predicted too fast; so
finalists are measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import LatencyTableError
from edgenas.latency.fit.calibration import Calibration
from edgenas.latency.fit.validation import bootstrap_mean
from edgenas.stats import clopper_pearson

Quantile = Literal["p50", "p90", "p95", "p99"]
QUANTILES: tuple[Quantile, ...] = get_args(Quantile)
CONFIDENCE = 0.95

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Bound:
    """``factor`` x predicted is an upper bound on a quantile of the plain calls of a net.

    Attributes:
        quantile: of the calls, e.g. ``p95``; ``p50`` is their median.
        confidence: one-sided, that the bound was made for.
        factor: without unit.
        num_nets: that it comes from; they fitted nothing.
        num_runs: fewest calls behind a quantile.
        coverage: share of the validation nets, which fitted nothing either, that kept it, with its exact interval.
        slack: mean relative excess of the bound over what these nets measured, with its interval.
    """

    quantile: Quantile
    confidence: float
    factor: float
    num_nets: int
    num_runs: int
    coverage: Mapping[str, Any]
    slack: Mapping[str, Any]

    @property
    def is_coarse(self) -> bool:
        """Whether so few calls are behind a quantile that it is little more than their maximum."""
        return self.num_runs * (100 - int(self.quantile[1:])) < 100

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def __str__(self) -> str:
        kept, slack = self.coverage, self.slack
        checked = "; no net checked it"
        if kept["n"]:
            held = f"{100 * kept['value']:.0f} % [{100 * kept['low']:.0f}, {100 * kept['high']:.0f}] of {kept['n']} other nets"
            checked = f"; it held for {held}, on average {100 * slack['value']:.0f} % above what they measured"
        return (
            f"{self.quantile} of calls at confidence {self.confidence:g}: {self.factor:.3g} x predicted, "
            f"from {self.num_nets} nets that fitted nothing{checked}"
        )


@dataclass(frozen=True, slots=True)
class Promise:
    """The nets of a table that bounds come from.

    Attributes:
        nets: per net ``arch``, ``predicted_ms``, quantiles ``p50_ms`` to ``p99_ms`` of its plain calls, and their number ``n``.
        checks: validation nets, described alike.
    """

    nets: Rows
    checks: Rows

    def bound(self, quantile: Quantile, confidence: float) -> Bound:
        """The bound on a quantile at a confidence, with its coverage and slack on the validation nets.

        Raises:
            LatencyTableError: if there are too few nets for the confidence.
        """
        key = f"{quantile}_ms"
        factor = conformal_factor(_column(self.nets, key) / _column(self.nets, "predicted_ms"), confidence)
        checks = [row for row in self.checks if key in row]
        upper, measured = factor * _column(checks, "predicted_ms"), _column(checks, key)
        return Bound(
            quantile=quantile,
            confidence=confidence,
            factor=factor,
            num_nets=len(self.nets),
            num_runs=min(int(row["n"]) for row in self.nets),
            coverage=clopper_pearson(int((measured <= upper).sum()), len(checks)).as_json(),
            slack=bootstrap_mean(upper / measured - 1.0),
        )

    def bounds(self, confidence: float = CONFIDENCE) -> tuple[Bound, ...]:
        """The bound on every quantile, none where the nets do not reach the confidence."""
        if len(self.nets) < nets_needed(confidence):
            return ()
        return tuple(self.bound(quantile, confidence) for quantile in QUANTILES)


def bounded(calibration: Calibration, nets: Rows) -> Calibration:
    """The calibration with an ``upper_factor`` from nets that fitted nothing, where there are enough; never below 1.

    Args:
        calibration: fitted on other nets.
        nets: per net ``predicted_ms`` by it, and ``measured_ms``.
    """
    if len(nets) < nets_needed(calibration.confidence):
        return calibration
    factor = conformal_factor(_column(nets, "measured_ms") / _column(nets, "predicted_ms"), calibration.confidence)
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
    rank = min(num, math.ceil((num + 1) * confidence - 1e-9))
    return float(np.sort(scores)[rank - 1])


def _below(share: float) -> str:
    """Three digits, rounded down, so that what is named is reached."""
    return f"{math.floor(share * 1000 + 1e-9) / 1000:g}"


def _column(rows: Rows, key: str) -> NDArray[np.float64]:
    return np.array([row[key] for row in rows], dtype=np.float64)
