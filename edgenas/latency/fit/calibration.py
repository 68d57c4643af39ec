"""From sums of components to milliseconds: a calibration on whole nets, and a bound above what they measured.

Times come in as numbers relative to a reference net (`NetTiming.ratio`) times one level in milliseconds, so that a slow moment of
the machine moves the reference and the net together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MILLION = 1e6
FEWEST_FOR_WEIGHTS = 10  # nets
BETTER = 0.95  # of the squared error without weights


@dataclass(frozen=True, slots=True)
class Calibration:
    """Predicted = ``scale`` x sum of components + ``weights_ms`` x millions of parameters + ``offset_ms``.

    Blocks are timed in small nets, whose weights stay in a cache; those of a large net are read from memory again at every call.
    The bound is ``upper_factor`` x predicted.

    Attributes:
        scale: without unit, positive.
        offset_ms: in milliseconds.
        upper_factor: at least 1.
        confidence: one-sided, that the bound was made for.
        num_nets: that it was fitted on.
        weights_ms: milliseconds per million parameters, at least 0; 0 where nets left out are predicted as well without.
        num_bound_nets: that fitted nothing and gave ``upper_factor``; 0 where the fitted nets did, each left out once.
    """

    scale: float
    offset_ms: float
    upper_factor: float
    confidence: float
    num_nets: int
    weights_ms: float = 0.0
    num_bound_nets: int = 0

    def predict(self, raw_ms: Floats, params: Floats) -> Floats:
        """Calibrated milliseconds of sums of components of nets with so many parameters."""
        return np.asarray(self.scale * raw_ms + self.weights_ms * params / MILLION + self.offset_ms)


def calibrate(raw_ms: Floats, measured_ms: Floats, params: Floats | None = None, *, confidence: float = 0.95) -> Calibration:
    """Scale, offset and, where it helps, a cost of weights by least relative squares, and a one-sided conformal factor.

    The factor is the ``ceil((n + 1) confidence)``-th smallest leave-one-out ratio of measured to predicted (jackknife scores:
    Barber et al., Annals of Statistics 2021, arXiv:1905.02928; one-sided, without the second set of fits), the largest one where
    n is below 1 / (1 - confidence) - 1, which then promises n / (n + 1) only. Weights are counted only where nets that are left
    out are predicted better so, and a parameter costs no less than nothing.

    Args:
        raw_ms: sums of components, shape (nets,).
        measured_ms: of the same nets.
        params: of the same nets; None counts no weights.
        confidence: in (0, 1).

    Raises:
        ValueError: if there are no nets.
    """
    num = len(raw_ms)
    if num == 0:
        raise ValueError("calibration needs at least one net")
    designs = [raw_ms[:, None]]
    if params is not None and num >= FEWEST_FOR_WEIGHTS:
        designs.append(np.stack([raw_ms, params / MILLION], axis=1))
    scores = [_left_out(design, measured_ms) for design in designs]
    lost = [float(((1 / score - 1) ** 2).sum()) for score in scores]
    fits = [_affine(design, measured_ms) for design in designs]
    best = 1 if len(fits) > 1 and fits[1][0][-1] > 0 and lost[1] < BETTER * lost[0] else 0
    (scale, *weights), offset_ms = fits[best]
    rank = min(num, math.ceil((num + 1) * confidence - 1e-9))
    factor = max(1.0, float(np.sort(scores[best])[rank - 1]))
    return Calibration(float(scale), offset_ms, factor, confidence, num, float(weights[0]) if weights else 0.0)


def _left_out(design_NF: Floats, measured_ms: Floats) -> Floats:
    """Measured over predicted for every net, by a fit without it."""
    num = len(design_NF)
    scores = np.empty(num)
    for left_out in range(num):
        rest = np.arange(num) != left_out if num > 1 else slice(None)
        factors_F, offset_ms = _affine(design_NF[rest], measured_ms[rest])
        scores[left_out] = measured_ms[left_out] / float(design_NF[left_out] @ factors_F + offset_ms)
    return scores


def _affine(design_NF: Floats, measured_ms: Floats) -> tuple[Floats, float]:
    """Factors and offset of least relative squares; scale alone from fewer than four nets or where a fit makes no sense."""
    raw_ms = design_NF[:, 0]
    if len(raw_ms) >= 4 and np.ptp(raw_ms) > 0.02 * float(raw_ms.mean()):
        design = np.column_stack([design_NF, np.ones(len(raw_ms))]) / measured_ms[:, None]
        factors = np.linalg.lstsq(design, np.ones(len(raw_ms)), rcond=None)[0]
        if factors[0] > 0 and (design @ factors > 0).all():
            return np.asarray(factors[:-1], dtype=np.float64), float(factors[-1])
    scale_F = np.zeros(design_NF.shape[1])
    scale_F[0] = float(np.median(measured_ms / raw_ms))
    return scale_F, 0.0
