"""How far predictions are off: of nets that nothing was fitted on, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgenas.records import CheckedNet, TableValidation
from edgenas.stats import Proportion, clopper_pearson, wilson

Floats = NDArray[np.float64]


def validation_of(rows: Sequence[CheckedNet], noise_floor_mape: float) -> TableValidation:
    """How true predictions are of nets that fitted nothing, with intervals of shares and of the bound's coverage.

    Args:
        rows: one a net.
        noise_floor_mape: MAPE of two distant measurements of these nets.
    """
    predicted, upper, measured = (
        np.array(values, dtype=np.float64)
        for values in ([row.predicted_ms for row in rows], [row.upper_ms for row in rows], [row.measured_ms for row in rows])
    )
    error, num = np.abs(predicted / measured - 1.0), len(rows)
    intervals = {
        "mape": bootstrap_mean(error),
        "within_5": wilson(int((error <= 0.05).sum()), num),
        "within_10": wilson(int((error <= 0.10).sum()), num),
        "upper_coverage": clopper_pearson(int((measured <= upper).sum()), num),
    }
    figures = figures_of(predicted, measured)
    return replace(figures, noise_floor_mape=noise_floor_mape, intervals=intervals, rows=tuple(rows))


def figures_of(predicted: Floats, measured: Floats) -> TableValidation:
    """What follows from predictions and measurements alone: errors as fractions, Kendall's tau-b; NaN without nets."""
    error, num = np.abs(predicted / measured - 1.0), len(measured)
    return TableValidation(
        num_subnets=num,
        mape=mape(predicted, measured),
        within_5=float((error <= 0.05).mean()) if num else math.nan,
        within_10=float((error <= 0.10).mean()) if num else math.nan,
        p95_error=float(np.quantile(error, 0.95)) if num else math.nan,
        kendall_tau=kendall_tau(predicted, measured),
        bias=float((predicted / measured - 1.0).mean()) if num else math.nan,
    )


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


def bootstrap_mean(values: Floats, *, confidence: float = 0.95, resamples: int = 2000) -> Proportion:
    """Percentile bootstrap interval of a mean (Efron, Annals of Statistics 1979), with fixed resamples."""
    if len(values) == 0:
        return Proportion(math.nan, math.nan, math.nan, 0)
    picks = np.random.default_rng(0).integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(values[picks].mean(axis=1), [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Proportion(float(values.mean()), float(low), float(high), len(values))
