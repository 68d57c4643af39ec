"""The runs of one net and what is made of them.

Evidence for `NetTiming.relative`: 137 nets of `pvt-nano` (0.2 to 0.4 ms), ONNX Runtime on two cores shared with other programs,
two sessions of 6 visits. Mean difference of the same 100 nets between the sessions, after one common scale: median of all runs
8.2 %, median ratio to the reference 2.5 %, fastest run 2.0 %, their geometric mean 1.9 %. Error of the fitted table on nets held
out, by session: 1.6 and 1.9 % (ratio), 1.7 and 1.2 % (fastest), 1.4 and 1.2 % (geometric mean): the ratio errs where net and
reference met different speeds, the fastest run where a net never met the fast one.
The geometric mean was chosen among nine statistics on these sessions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NORMAL_MAD = 1.4826  # standard deviation over median absolute deviation of normal noise
NORMAL_MEDIAN = math.sqrt(math.pi / 2)  # standard error of a median over that of a mean, of normal noise


def standard_error(mad: float, visits: float) -> float:
    """Standard error of a median of so many visits that scatter with this median absolute deviation, in its unit."""
    return mad * NORMAL_MAD * NORMAL_MEDIAN / math.sqrt(visits)


@dataclass(frozen=True, slots=True)
class NetTiming:
    """Every run of one net, in milliseconds.

    Attributes:
        samples_VR: shape (visits, runs), in order of time.
        reference_V: fastest run of the reference around each visit.
        floor_ms: fastest run of the reference in the session.
        compute_V: calls without copies, one a visit; empty where the runtime cannot tell.
    """

    samples_VR: NDArray[np.float64]
    reference_V: NDArray[np.float64]
    floor_ms: float
    compute_V: NDArray[np.float64]

    @property
    def relative(self) -> float:
        """How many references the net costs: geometric mean of the visits' median ratio and the ratio of the fastest runs."""
        return float(np.sqrt(self.ratio * self.min_ms / self.floor_ms))

    @property
    def ratio(self) -> float:
        """Median over visits of fastest run to the reference's fastest run around it."""
        return float(np.median(self.visit_ratios))

    @property
    def ratio_mad(self) -> float:
        """Median absolute deviation of the visits' ratios."""
        return float(np.median(np.abs(self.visit_ratios - self.ratio)))

    @property
    def visit_ratios(self) -> NDArray[np.float64]:
        """Fastest run of every visit over the reference's fastest run around it."""
        return np.asarray(self.samples_VR.min(axis=1) / self.reference_V)

    @property
    def min_ms(self) -> float:
        """Fastest run."""
        return float(self.samples_VR.min())

    @property
    def median_ms(self) -> float:
        """Median of all runs: the contract's ``latency_ms``."""
        return float(np.median(self.samples_VR))

    @property
    def mad_ms(self) -> float:
        """Median absolute deviation from the median of all runs."""
        return float(np.median(np.abs(self.samples_VR - self.median_ms)))

    @property
    def variation(self) -> float:
        """Coefficient of variation: standard deviation over mean."""
        return float(self.samples_VR.std() / self.samples_VR.mean())

    @property
    def num_runs(self) -> int:
        """Timed runs."""
        return int(self.samples_VR.size)

    def quantile_ms(self, share: float) -> float:
        """A quantile of the plain distribution of calls, e.g. 0.95."""
        return float(np.quantile(self.samples_VR, share))

    def joined(self, later: NetTiming) -> NetTiming:
        """Both sessions' visits."""
        return NetTiming(
            np.concatenate([self.samples_VR, later.samples_VR]),
            np.concatenate([self.reference_V, later.reference_V]),
            min(self.floor_ms, later.floor_ms),
            np.concatenate([self.compute_V, later.compute_V]),
        )
