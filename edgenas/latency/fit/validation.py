"""How far predictions are off: of nets that nothing was fitted on, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.stats import clopper_pearson, wilson

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Validation:
    """Predictions of nets that nothing was fitted on, against what they measured.

    Attributes:
        rows: per net ``arch``, ``predicted_ms``, ``upper_ms``, ``measured_ms``, ``mad_ms``.
        noise_floor_mape: MAPE of two distant measurements of these nets.
    """

    rows: tuple[Mapping[str, Any], ...]
    noise_floor_mape: float

    def figures(self) -> dict[str, float | int]:
        """What follows from the rows alone: errors as fractions, Kendall's tau-b; NaN without nets."""
        predicted, measured, num = self._of("predicted_ms"), self._of("measured_ms"), len(self.rows)
        error = np.abs(predicted / measured - 1.0)
        return {
            "num_subnets": num,
            "mape": mape(predicted, measured),
            "within_5": float((error <= 0.05).mean()) if num else math.nan,
            "within_10": float((error <= 0.10).mean()) if num else math.nan,
            "p95_error": float(np.quantile(error, 0.95)) if num else math.nan,
            "kendall_tau": kendall_tau(predicted, measured),
            "bias": float((predicted / measured - 1.0).mean()) if num else math.nan,
        }

    def as_json(self) -> dict[str, Any]:
        """The contract's ``validation``, and intervals of its shares and of the bound's coverage."""
        measured, num = self._of("measured_ms"), len(self.rows)
        error = np.abs(self._of("predicted_ms") / measured - 1.0)
        figures = self.figures()
        bias = figures.pop("bias")
        return {
            **figures,
            "noise_floor_mape": self.noise_floor_mape,
            "bias": bias,
            "intervals": {
                "mape": bootstrap_mean(error),
                "within_5": wilson(int((error <= 0.05).sum()), num).as_json(),
                "within_10": wilson(int((error <= 0.10).sum()), num).as_json(),
                "upper_coverage": clopper_pearson(int((measured <= self._of("upper_ms")).sum()), num).as_json(),
            },
            "rows": [dict(row) for row in self.rows],
        }

    def _of(self, name: str) -> Floats:
        return np.array([row[name] for row in self.rows], dtype=np.float64)


def mape(predicted: Floats, measured: Floats) -> float:
    """Mean absolute relative error, a fraction; NaN without nets."""
    return float(np.abs(predicted / measured - 1.0).mean()) if len(measured) else math.nan


def kendall_tau(first: Floats, second: Floats) -> float:
    """Kendall's tau-b; NaN for fewer than two nets or where one side is constant.

    As scipy's, whose import would take half of the time of every command that opens a table.
    """
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    signs, other = (np.sign(np.subtract.outer(values, values)) for values in (first, second))
    return float((signs * other).sum() / math.sqrt((signs**2).sum() * (other**2).sum()))


def bootstrap_mean(values: Floats, *, confidence: float = 0.95, resamples: int = 2000) -> dict[str, float | int]:
    """Percentile bootstrap interval of a mean (Efron, Annals of Statistics 1979), with fixed resamples."""
    if len(values) == 0:
        return {"value": math.nan, "low": math.nan, "high": math.nan, "n": 0}
    picks = np.random.default_rng(0).integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(values[picks].mean(axis=1), [0.5 - confidence / 2, 0.5 + confidence / 2])
    return {"value": float(values.mean()), "low": float(low), "high": float(high), "n": len(values)}
