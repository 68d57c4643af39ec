"""Which nets of a space fit a limit on latency, from the latencies of a few: in between, latency is read off MACs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenas.costs import CostModel
from edgenas.search import UpperLimit, best_within, survey
from edgenas.spaces import SearchSpace

MAX_ROWS = 20_000  # nets that are looked at one by one; of a larger space, what fits is counted or drawn


@dataclass(frozen=True, slots=True)
class Fit:
    """What fits.

    Attributes:
        share: of the nets of the space.
        best_G: row of the net with most MACs that fits; None where none does.
    """

    share: float
    best_G: NDArray[np.int16] | None


def most_macs(timed: Iterable[tuple[float, float]], limit_ms: float) -> float:
    """MACs up to which nets fit, where latency grows with MACs as a line through what was timed, both in logarithms.

    Below the smallest and above the largest net it grows in proportion. Where a larger net was faster than a smaller one, the
    larger one's latency is taken for both.

    Args:
        timed: MACs and milliseconds of nets, at least one, in any order.
        limit_ms: most milliseconds.
    """
    points = sorted(timed)
    log_macs = np.log([macs for macs, _ in points])
    log_ms = np.minimum.accumulate(np.log([ms for _, ms in points])[::-1])[::-1]
    limit = np.log(limit_ms)
    if limit < log_ms[0]:
        return float(np.exp(log_macs[0] + limit - log_ms[0]))
    if limit >= log_ms[-1]:
        return float(np.exp(log_macs[-1] + limit - log_ms[-1]))
    right = int(np.searchsorted(log_ms, limit, side="right"))
    part = (limit - log_ms[right - 1]) / (log_ms[right] - log_ms[right - 1])
    return float(np.exp(log_macs[right - 1] + part * (log_macs[right] - log_macs[right - 1])))


def fit(space: SearchSpace, macs: CostModel, up_to: float, rng: np.random.Generator) -> Fit:
    """The nets with at most so many MACs."""
    limits = [UpperLimit("macs", up_to, macs)]
    surveyed = survey(space, limits, rng, max_rows=MAX_ROWS)
    return Fit(surveyed.share, best_within(space, limits, [macs], surveyed, rng))
