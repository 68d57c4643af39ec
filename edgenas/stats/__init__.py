"""Intervals and paired tests on arrays of predictions."""

from edgenas.records.proportion import Proportion
from edgenas.stats.decisions import (
    DEFAULT_SENSITIVITY,
    NUM_BINS,
    accuracy,
    beats_most_frequent,
    decide,
    expected_calibration_error,
    most_frequent,
    pick_referral,
    pick_threshold,
    refers,
    sensitivities,
)
from edgenas.stats.intervals import (
    clopper_pearson,
    difference_of_means,
    kendall_tau,
    median_interval,
    normal_quantile,
    share_to_show,
    trials_to_prove,
    wilson,
)
from edgenas.stats.paired import BESIDE, MAX_TO_SHOW, holm, images_to_show, mcnemar, paired_difference, paired_score

__all__ = [
    "BESIDE",
    "DEFAULT_SENSITIVITY",
    "MAX_TO_SHOW",
    "NUM_BINS",
    "Proportion",
    "accuracy",
    "beats_most_frequent",
    "clopper_pearson",
    "decide",
    "difference_of_means",
    "expected_calibration_error",
    "holm",
    "images_to_show",
    "kendall_tau",
    "mcnemar",
    "median_interval",
    "most_frequent",
    "normal_quantile",
    "paired_difference",
    "paired_score",
    "pick_referral",
    "pick_threshold",
    "refers",
    "sensitivities",
    "share_to_show",
    "trials_to_prove",
    "wilson",
]
