"""How far a percentile of calls may lie above what so many calls show: MLPerf's early-stopping estimate.

Of ``n`` calls, the number above the true percentile is binomial. The estimate is the smallest call such that the true percentile
lies above it with 1 % probability at most; as in MLPerf's LoadGen, at least one call has to lie above it, so that a single
outlier is no estimate: 64 calls for p90, 130 for p95, 662 for p99 (Reddi et al., MLPerf Inference Benchmark, ISCA 2020,
arXiv:1911.02549; LoadGen's ``early_stopping``). Calls are taken to be independent. Calls of one visit go together more than others
do, so calls of many short visits, as here, are nearer to that than as many in a row.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

CONFIDENCE = 0.99  # one-sided


def calls_needed(share: float, confidence: float = CONFIDENCE) -> int:
    """Fewest calls that give an estimate of a percentile, e.g. 662 of 0.99: two of them lie above it with the confidence."""
    return 2 + int(scipy.stats.nbinom.ppf(confidence, 2, 1.0 - share))


def upper_ms(samples: NDArray[np.float64], share: float, confidence: float = CONFIDENCE) -> float | None:
    """What a percentile of calls is at or below with the confidence; None where the calls are too few.

    Args:
        samples: milliseconds of calls, any shape.
        share: of the percentile, e.g. 0.99.
        confidence: one-sided, in (0, 1).
    """
    num = samples.size
    above = int(scipy.stats.binom.ppf(1.0 - confidence, num, 1.0 - share))  # fewest calls that are no surprise above it
    if scipy.stats.binom.cdf(above, num, 1.0 - share) > 1.0 - confidence:
        above -= 1  # most of which it is a surprise that there are no more
    if above < 1:
        return None
    return float(np.partition(samples.ravel(), num - 1 - above)[num - 1 - above])
