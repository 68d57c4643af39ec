"""From timed nets to predictions: costs of components, calibration, bounds that hold, and how far off predictions are."""

from edgenas.latency.fit.between import PRIORS, Prior
from edgenas.latency.fit.calibration import MILLION, Calibration, calibrate
from edgenas.latency.fit.promise import (
    APART_H,
    CONFIDENCE,
    QUANTILES,
    Again,
    Bound,
    MeasuredNet,
    Promise,
    Quantile,
    bounded,
    nets_needed,
    over_predicted,
)
from edgenas.latency.fit.smoothing import SEPARATE, smooth, split_skeletons
from edgenas.latency.fit.validation import bootstrap_mean, figures_of, kendall_tau, mape, validation_of

__all__ = [
    "APART_H",
    "CONFIDENCE",
    "MILLION",
    "PRIORS",
    "QUANTILES",
    "SEPARATE",
    "Again",
    "Bound",
    "Calibration",
    "MeasuredNet",
    "Prior",
    "Promise",
    "Quantile",
    "bootstrap_mean",
    "bounded",
    "calibrate",
    "figures_of",
    "kendall_tau",
    "mape",
    "nets_needed",
    "over_predicted",
    "smooth",
    "split_skeletons",
    "validation_of",
]
