"""Logit adjustment of reduced precisions: the class that must not be missed is raised by what rounding may lower it by.

Rounding moves decisions both ways, and where none may be missed newly every file that is not exact loses one now and then. A
constant on one class's logit moves that boundary: positives that rounding would lose are found, at the price of a few false alarms.
It is fitted on images of *calibrate*, and the file carries it, so that whoever reads its logits has it.

Source: "logit adjustment" after training (Menon et al., ICLR 2021, arXiv:2007.07314, section 4.1), which moves a threshold
(Provost, AAAI 2000 workshop on imbalanced data sets). There the constant comes from how rare classes are; here it comes from how
far rounding moves the margin of the class.

Shapes: N images, K classes.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

from edgenas.deploy.calibrating import CalibrationImages

DEVIATIONS = 3.0  # standard deviations of what rounding moves the margin by


def adjustment_of(before_NK: NDArray[np.floating], after_NK: NDArray[np.floating], calibration: CalibrationImages) -> float:
    """What is added to the logit of the class that must not be missed, 0 or more; a float32 number.

    Rounding moves the margin of an image by so much on average, and by so much around that. What is added makes up for the average
    and for `DEVIATIONS` standard deviations. It is 0 where no class must not be missed, where nothing is to be adjusted, where an
    answer is not finite, and of fewer than two images or classes.

    Args:
        before_NK: logits in float32.
        after_NK: those of the reduced precision to the same images.
        calibration: the rule that decides.
    """
    positive = calibration.positive
    if positive is None or not calibration.may_adjust or min(before_NK.shape) < 2:
        return 0.0
    if not (np.isfinite(before_NK).all() and np.isfinite(after_NK).all()):
        return 0.0
    moved_N = _margins(after_NK, positive, calibration.threshold) - _margins(before_NK, positive, calibration.threshold)
    return float(np.float32(max(0.0, DEVIATIONS * float(moved_N.std(ddof=1)) - float(moved_N.mean()))))


def adjusted(logits_NK: NDArray[np.floating], adjustment: float, positive: int | None) -> NDArray[np.floating]:
    """A copy of logits with one class raised, as the file will give them; the same array where nothing is added."""
    if positive is None or not adjustment:
        return logits_NK
    raised_NK = logits_NK.copy()
    raised_NK[:, positive] += np.float32(adjustment)
    return raised_NK


def _margins(logits_NK: NDArray[np.floating], positive: int, threshold: float | None) -> NDArray[np.float64]:
    """What decides about one class, shape (N,): its logit less the largest other, or its log-odds where a threshold decides."""
    z_NK = logits_NK.astype(np.float64)
    others_NK = np.delete(z_NK, positive, axis=1)
    best_N = others_NK.max(axis=1) if threshold is None else scipy.special.logsumexp(others_NK, axis=1)
    return np.asarray(z_NK[:, positive] - best_N)
