"""From timed nets to predictions: costs of components, calibration, bounds that hold, and how far off predictions are."""

from edgenas.latency.fit.between import PRIORS, Prior
from edgenas.latency.fit.calibration import MILLION, Calibration, calibrate
from edgenas.latency.fit.promise import APART_H, CONFIDENCE, QUANTILES, Again, Bound, Promise, Quantile, bounded, nets_needed
from edgenas.latency.fit.smoothing import SEPARATE, smooth, split_skeletons
from edgenas.latency.fit.validation import Validation, bootstrap_mean, kendall_tau, mape

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
    "Prior",
    "Promise",
    "Quantile",
    "Validation",
    "bootstrap_mean",
    "bounded",
    "calibrate",
    "kendall_tau",
    "mape",
    "nets_needed",
    "smooth",
    "split_skeletons",
]
