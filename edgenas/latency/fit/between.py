"""What differs from one session to another, an hour or a day apart, as part of a bound.

The logarithm of measured over predicted is taken apart: a shift that all nets of a session share, and what is left of every net.
A bound has to hold for a net that was not measured, in a session that was not either, so it is a quantile of the sum of both.

- The next session's shift: shifts of S sessions are taken to be normal, so the next one is their mean plus their standard deviation
  times ``sqrt(1 + 1/S)`` times Student's t with S - 1 degrees of freedom (the prediction interval of one more observation). Nothing
  free of such an assumption can be said of so few: conformal over sessions alone needs 19 of them for 95 %.
- The next net's rest: the rests of nets that fitted nothing, over all sessions that measured them, without an assumption. A net
  weighs ``1 / (n + 1)``, shared by its sessions, since rests of one net go together (two layers: Dunn, Wasserman and Ramdas, JASA
  2023, arXiv:1809.07441); the net to come, which may be worse than all, is taken to be as bad as the worst.

Where sessions do not differ this is the split conformal bound of `fit.promise`; where they differ much more than nets do, the t
interval. Two sessions say little: with one degree of freedom the t of 0.95 is 6.3 (three: 2.9, five: 2.1).

Evidence: 1,000 simulated tables of 40 nets, sessions that differ by 0 to 5 times as much as nets, asked for 95 %: kept by 95.7 to
98.7 % of new nets in new sessions (two sessions), 95.2 to 98.0 (three), 95.2 to 97.3 (five). The excess is that of shifts estimated
from nets that scatter. `tests/latency/fit/test_between.py` draws them again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEAST = 1e-9  # of a difference between sessions, so that a quantile of steps is one of a continuous sum


@dataclass(frozen=True, slots=True)
class Spread:
    """Logarithms of measured over predicted, taken apart.

    Attributes:
        shifts_S: of every session.
        rests_R: of every net in every session that measured it.
        weights_R: of the rests; they and the weight of the net to come are 1.
    """

    shifts_S: Floats
    rests_R: Floats
    weights_R: Floats

    @property
    def between(self) -> float:
        """Standard deviation of the shifts: how much sessions differ, as a share."""
        return float(np.std(self.shifts_S, ddof=1))

    def factor(self, confidence: float) -> float:
        """What a prediction is multiplied by for a bound on a new net in a new session.

        Args:
            confidence: one-sided, in (0, 1); no more than ``n / (n + 1)`` of n nets.
        """
        num = len(self.shifts_S)
        scale = max(LEAST, self.between * math.sqrt(1 + 1 / num))
        rests_R = np.append(self.rests_R, self.rests_R.max())
        weights_R = np.append(self.weights_R, 1.0 - self.weights_R.sum())

        def missing(bound: float) -> float:
            return float(weights_R @ scipy.special.stdtr(num - 1, (bound - rests_R) / scale)) - confidence

        # a bound that one rest keeps with the confidence, and one that all keep; a little more, against rounding
        reach = scale * float(scipy.special.stdtrit(num - 1, confidence))
        low, high = float(rests_R.min()) + reach - scale, float(rests_R.max()) + reach + scale
        return math.exp(float(self.shifts_S.mean()) + float(scipy.optimize.brentq(missing, low, high, xtol=1e-12)))


def change(first: Mapping[str, float], later: Mapping[str, float]) -> float:
    """By how much the nets that two sessions measured became slower, on average, as a logarithm.

    Raises:
        ValueError: if they share no net.
    """
    changes = [value - first[net] for net, value in later.items() if net in first]
    if not changes:
        raise ValueError("a session shares no net with the first")
    return float(np.mean(changes))


def spread_of(sessions: Sequence[Mapping[str, float]]) -> Spread:
    """Take logarithms of measured over predicted apart.

    A later session may have measured a part of the nets; its shift is that of the first plus the mean change of the nets that both
    measured, so that it does not matter which part.

    Args:
        sessions: by net; two or more, each with nets of the first.

    Raises:
        ValueError: if a session shares no net with the first, or there are fewer than two.
    """
    if len(sessions) < 2:
        raise ValueError(f"{len(sessions)} sessions do not differ")
    first = sessions[0]
    start = float(np.mean(list(first.values())))
    shifts = [start]
    shifts += [start + change(first, later) for later in sessions[1:]]
    times = {net: sum(net in session for session in sessions) for net in first}
    rests, weights = [], []
    for shift, session in zip(shifts, sessions, strict=True):
        for net, value in session.items():
            if net in times:
                rests.append(value - shift)
                weights.append(1.0 / ((len(first) + 1) * times[net]))
    return Spread(np.array(shifts), np.array(rests), np.array(weights))
