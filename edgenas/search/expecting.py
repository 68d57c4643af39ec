"""What a net that has seen some images will reach on all of them, by nets that have seen all.

Nets of one space get mostly the same images right. So the images that a net has seen are compared with what nets that have seen all
of them got right there, and only what these cannot tell is left to chance: several times less than the difference of two nets.

Source: the regression estimator of survey sampling (Särndal, Swensson & Wretman, Model Assisted Survey Sampling, 1992, chapter
6), which holds whatever the model is worth, with a ridge whose prior is the spread of the known nets. Deviation: the variance is
that of left-out residuals, so that a model with many directions does not seem better than it is.

Shapes: K known nets, N images, M of them seen, B directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-6  # of the largest singular value: directions below are rounding
SURPRISE = 0.25  # images wrongly told, added to those seen: where the known nets tell all, one may yet differ


@dataclass(frozen=True, slots=True)
class Expected:
    """Accuracy of a net on all images.

    Attributes:
        value: the estimate.
        error: its standard error.
    """

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class KnownNets:
    """What nets that have seen all images got right: their mean, and the directions in which they differ.

    Attributes:
        mean_N: share of the nets that get an image right.
        design_NB: ones, and directions, scaled so that the known nets' coordinates have mean square 1.
        penalties_B: of a coordinate's square; none of the first, how good a net is as a whole.
    """

    mean_N: NDArray[np.float64]
    design_NB: NDArray[np.float64]
    penalties_B: NDArray[np.float64]

    @classmethod
    def of(cls, right_KN: NDArray[np.bool_]) -> KnownNets:
        """From which images each of some nets gets right."""
        mean_N = right_KN.mean(axis=0)
        apart_KN = right_KN - mean_N
        _, sizes_B, directions_BN = np.linalg.svd(apart_KN, full_matrices=False)
        is_one_B = sizes_B > SMALLEST * max(1.0, float(sizes_B.max(initial=0.0)))
        directions_NB = directions_BN[is_one_B].T * sizes_B[is_one_B] / np.sqrt(len(right_KN))
        design_NB = np.column_stack([np.ones(len(mean_N)), directions_NB])
        penalties_B = np.full(design_NB.shape[1], max(2 * float((apart_KN**2).mean()), SMALLEST))
        penalties_B[0] = 0.0
        return cls(mean_N, design_NB, penalties_B)

    def expected(self, right_M: NDArray[np.bool_], images_M: NDArray[np.int64]) -> Expected:
        """The accuracy on all images of a net that was shown some, drawn at random without replacement.

        Args:
            right_M: which of them it gets right.
            images_M: their positions.
        """
        seen, total = len(images_M), len(self.mean_N)
        of_seen_MB, apart_M = self.design_NB[images_M], right_M - self.mean_N[images_M]
        inverse_BB = np.linalg.inv(of_seen_MB.T @ of_seen_MB + np.diag(self.penalties_B))
        coordinates_B = inverse_BB @ (of_seen_MB.T @ apart_M)
        leverage_M = ((of_seen_MB @ inverse_BB) * of_seen_MB).sum(axis=1)
        left_out_M = (apart_M - of_seen_MB @ coordinates_B) / (1 - np.minimum(leverage_M, 0.99))
        variance = max(float((left_out_M**2).mean()), SURPRISE / seen)
        value = float(self.mean_N.mean() + self.design_NB.mean(axis=0) @ coordinates_B)
        return Expected(value, float(np.sqrt(variance * (1 / seen - 1 / total))))
