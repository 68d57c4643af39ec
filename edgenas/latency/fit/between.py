"""What differs from one session to another, an hour or a day apart, as part of a bound.

The logarithm of measured over predicted is taken apart: a shift that all nets of a session share, and what is left of every net.
A bound has to hold for a net that was not measured, in a session that was not either, so it is a quantile of the sum of both.

- The next session's shift: shifts of S sessions are taken to be normal. Their variance is not known from so few, so it has a prior:
  scaled inverse chi-square, as if d degrees of freedom had been seen elsewhere. The next shift then is their mean plus
  ``sqrt((d elsewhere^2 + (S - 1) own^2) / (d + S - 1)) sqrt(1 + 1/S)`` times Student's t with d + S - 1 degrees of freedom (Smyth,
  Statistical Applications in Genetics and Molecular Biology 2004, 3:3, whose variances of genes are ours of tables; the prior
  on the mean is flat). Without a prior, two sessions have one degree of freedom, and the t of 0.95 is 6.3: bounds on slow calls
  were 4 to 14 times the prediction, where 95 of 100 nets took 2.5 times as long at most.
- The next net's rest: the rests of nets that fitted nothing, over all sessions that measured them, without an assumption. A net
  weighs ``1 / (n + 1)``, shared by its sessions, since rests of one net go together (two layers: Dunn, Wasserman and Ramdas, JASA
  2023, arXiv:1809.07441); the net to come, which may be worse than all, is taken to be as bad as the worst.
- What was seen already: no bound is below the conformal one of any session alone.

The prior is measured: ``PRIORS`` has the scale that makes most likely what 11 sessions of three tables differed by, of medians and
of slow calls apart (`docs/measurements/sessions_amd-epyc_202611.md`). Its degrees of freedom are few, since slow calls of these
tables differed by 0.01, 0.07 and 0.22: what holds elsewhere is a hint, which enough sessions of one's own outweigh.

Evidence: 1,000 simulated tables of 40 nets, sessions that differ by 0 to 5 times as much as nets, asked for 95 %. Where sessions
differ as the prior says, 96.8 to 97.9 % of new nets in new sessions keep the bound (two sessions), 96.9 to 97.4 (three), 96.1 to
98.0 (five). Where they differ half as much as it says, 96.8 to 100; where twice as much, 89.3 to 97.9, which no two sessions tell.
`tests/latency/fit/test_between.py` draws them again. Of real sessions, each left out: `benchmarks.session_shifts`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEAST = 1e-9  # of a difference between sessions, so that a quantile of steps is one of a continuous sum


@dataclass(frozen=True, slots=True)
class Prior:
    """What is held of sessions before there are many: how much they differ, and how many of one's own would outweigh that.

    Attributes:
        scale: standard deviation of what all nets of a session shift by together, as a share.
        sessions: degrees of freedom: as many more sessions as this stands for; 0 is none.
        source: where it was measured.
    """

    scale: float
    sessions: int
    source: str = ""


NOTHING = Prior(0.0, 0)
SOURCE = "11 sessions of 3 tables on AMD EPYC, ONNX Runtime, November 2026: docs/measurements/sessions_amd-epyc_202611.md"
MEDIANS, SLOW_CALLS = Prior(0.023, 3, SOURCE), Prior(0.13, 3, SOURCE)
PRIORS: Mapping[str, Prior] = MappingProxyType({"p50": MEDIANS, "p90": SLOW_CALLS, "p95": SLOW_CALLS, "p99": SLOW_CALLS})


@dataclass(frozen=True, slots=True)
class Spread:
    """Logarithms of measured over predicted, taken apart.

    Attributes:
        shifts_S: of every session.
        rests: of every session, of every net that it measured.
        weights: of the rests; they and the weight of the net to come are 1.
    """

    shifts_S: Floats
    rests: tuple[Floats, ...]
    weights: tuple[Floats, ...]

    @property
    def between(self) -> float:
        """Standard deviation of the shifts: how much sessions differ, as a share."""
        return float(np.std(self.shifts_S, ddof=1))

    def factor(self, confidence: float, prior: Prior = NOTHING) -> float:
        """What a prediction is multiplied by for a bound on a new net in a new session.

        Args:
            confidence: one-sided, in (0, 1); no more than ``n / (n + 1)`` of n nets.
            prior: on what sessions differ by.
        """
        num = len(self.shifts_S)
        freedom = prior.sessions + num - 1
        variance = (prior.sessions * prior.scale**2 + (num - 1) * self.between**2) / freedom
        scale = max(LEAST, math.sqrt(variance * (1 + 1 / num)))
        rests_R = np.concatenate(self.rests)
        weights_R = np.concatenate(self.weights)
        rests_R = np.append(rests_R, rests_R.max())
        weights_R = np.append(weights_R, 1.0 - weights_R.sum())

        def missing(bound: float) -> float:
            return float(weights_R @ scipy.special.stdtr(freedom, (bound - rests_R) / scale)) - confidence

        # a bound that one rest keeps with the confidence, and one that all keep; a little more, against rounding
        reach = scale * float(scipy.special.stdtrit(freedom, confidence))
        low, high = float(rests_R.min()) + reach - scale, float(rests_R.max()) + reach + scale
        following = float(self.shifts_S.mean()) + float(scipy.optimize.brentq(missing, low, high, xtol=1e-12))
        return math.exp(max(following, self._seen(confidence)))

    def _seen(self, confidence: float) -> float:
        """The highest of the conformal bounds of its sessions, each alone; of a session with too few nets, its slowest."""
        pairs = zip(self.shifts_S, self.rests, strict=True)
        return max(float(shift + np.sort(rests)[rank_of(len(rests), confidence) - 1]) for shift, rests in pairs)


def rank_of(num: int, confidence: float) -> int:
    """Which of ``num`` scores, from the smallest, is the split conformal bound; the largest where they are too few."""
    return min(num, math.ceil((num + 1) * confidence - 1e-9))


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
        known = [net for net in session if net in times]
        rests.append(np.array([session[net] - shift for net in known]))
        weights.append(np.array([1.0 / ((len(first) + 1) * times[net]) for net in known]))
    return Spread(np.array(shifts), tuple(rests), tuple(weights))
