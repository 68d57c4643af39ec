"""Which nets of a space fit a limit on latency, from the latencies of a few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from edgenas.costs import CostModel, Factor, cost_models, decompose, sum_of_components
from edgenas.search import UpperLimit, best_within, survey
from edgenas.spaces import SearchSpace, Task

MAX_ROWS = 20_000  # nets that are looked at one by one; of a larger space, what fits is counted or drawn
GRAIN_MS = 1e-9  # of estimates: sums of whole numbers are exact in any order, so they can be made beforehand, several times faster


@dataclass(frozen=True, slots=True)
class Fit:
    """What fits.

    Attributes:
        share: of the nets of the space.
        best_G: row of the net with most MACs that fits; None where none does.
    """

    share: float
    best_G: NDArray[np.int16] | None


def estimated_ms(space: SearchSpace, task: Task, timed: Sequence[tuple[NDArray[np.int16], float]]) -> CostModel:
    """The latency of every net as a sum: so much for each multiply-accumulate, and so much for each component.

    By MACs alone nets of few wide blocks would count as slow as nets of many narrow ones; they are faster, and the nets with most
    MACs within a limit are of their kind. Relative errors are least (non-negative least squares); a single net tells what a
    multiply-accumulate takes.

    Args:
        space: of the nets.
        task: classes, channels and resolution.
        timed: rows and milliseconds, at least one.
    """
    models = (cost_models(space, task).macs, sum_of_components("components", "", decompose(space, task), lambda _: 1.0))
    rows_AG, ms_A = np.stack([genes_G for genes_G, _ in timed]), np.array([ms for _, ms in timed])
    costs_AM = np.stack([model(rows_AG) for model in models], axis=1) / ms_A[:, None]
    most_M = costs_AM.max(axis=0)
    each_M = nnls(costs_AM / most_M, np.ones(len(timed)))[0] / most_M
    return _sum(list(zip(each_M.tolist(), models, strict=True)))


def _sum(parts: Sequence[tuple[float, CostModel]]) -> CostModel:
    """Milliseconds as a sum of other costs, each with its weight; tables of the same genes are one, in whole `GRAIN_MS`."""
    tables: dict[tuple[int, ...], NDArray[np.float64]] = {}
    for weight, model in parts:
        for factor in model.factors:
            tables[factor.genes] = weight * model.scale / GRAIN_MS * factor.table + tables.get(factor.genes, 0.0)
    factors = tuple(Factor(genes, np.rint(table)) for genes, table in tables.items())
    return CostModel("latency_ms", "ms", factors, GRAIN_MS, sum(weight * model.offset for weight, model in parts))


def fit(space: SearchSpace, limit: UpperLimit, macs: CostModel, rng: np.random.Generator) -> Fit:
    """The nets that keep to a limit."""
    surveyed = survey(space, [limit], rng, max_rows=MAX_ROWS)
    return Fit(surveyed.share, best_within(space, [limit], [macs], surveyed, rng))
