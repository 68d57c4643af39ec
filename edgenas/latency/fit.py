"""From timed nets to a cost of every component, a calibration, an upper bound and its validation.

Times come in as numbers relative to a reference net (`NetTiming.ratio`) times one level in milliseconds, so that a slow moment of
the machine moves the reference and the net together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy import stats as scipy_stats

from edgenas.costs import Term
from edgenas.stats import clopper_pearson, wilson

Floats = NDArray[np.float64]
PULL = 1e-3  # towards equal shares, against a relative error of 1
MILLION = 1e6
FEWEST_FOR_WEIGHTS = 10  # nets
BETTER = 0.95  # of the squared error without weights
SEPARATE = ("grid", "embed_dim")  # blocks that differ in these are smoothed apart


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


def split_skeletons(skeletons: Sequence[Sequence[Hashable]], ms: Sequence[float]) -> dict[Hashable, float]:
    """What every component of nets without blocks costs, none less than nothing, by least relative squares.

    What the nets do not tell apart shares its cost evenly (a weak pull towards equal shares), which changes no sum that they tell.

    Args:
        skeletons: components of every net.
        ms: its milliseconds.
    """
    parts = list(dict.fromkeys(part for skeleton in skeletons for part in skeleton))
    column = {part: position for position, part in enumerate(parts)}
    share = float(np.median([each / len(skeleton) for each, skeleton in zip(ms, skeletons, strict=True)]))
    design_SP = np.zeros((len(skeletons), len(parts)))
    for row, skeleton in enumerate(skeletons):
        np.add.at(design_SP[row], [column[part] for part in skeleton], share / ms[row])
    pull = PULL * np.eye(len(parts))
    rows, targets = np.vstack([design_SP, pull]), np.concatenate([np.ones(len(skeletons)), np.full(len(parts), PULL)])
    shares_P = optimize.lsq_linear(rows, targets, bounds=(0, np.inf), method="bvls").x
    return {part: float(shares_P[position] * share) for part, position in column.items()}


def smooth(
    terms: Sequence[Term],
    cost_ms: Mapping[Hashable, float],
    noise_ms: Mapping[Hashable, float] | None = None,
    *,
    group: Callable[[Hashable], Hashable] | None = None,
) -> dict[Hashable, float]:
    """Draw the costs of a stage's blocks towards the nearest product of one factor per gene (additive in the logarithm).

    Noise of one block is shared by all blocks of the stage. Only genes that change the block count, the effect of each option
    of pool, qkv and MLP is free (no line through them), and blocks of different widths of the stage are kept apart: costs step
    there. Blocks without a cost are interpolated where every option of theirs was seen.

    How far a block is drawn follows from its noise: what residuals scatter more than noise does is what products cannot say, and
    is kept in that proportion (empirical Bayes: Efron and Morris, JASA 1973). Evidence: 340 nets of `pvt-elastic` at 160 px, ONNX
    Runtime, one thread; residuals scatter by 2.8 %, noise by 1 %; error of nets that fitted nothing 1.42 % drawn three quarters
    less than all the way, 1.52 % all the way.

    Args:
        terms: from the family's decomposition.
        cost_ms: of the blocks that were timed.
        noise_ms: standard deviation of these; None draws all the way.
        group: blocks of different groups share nothing; by default their grid and ``embed_dim``.

    Returns:
        Costs of every block that is known or can be interpolated.
    """
    group = group if group is not None else lambda component: tuple(getattr(component, name, None) for name in SEPARATE)
    products = []
    for term in terms:
        members: dict[Hashable, dict[Hashable, tuple[int, ...]]] = {}
        for index, cell in term if term.genes else ():
            for component in cell:
                members.setdefault(group(component), {}).setdefault(component, index)
        products += [found for blocks in members.values() if (found := _nearest_product(blocks, cost_ms)) is not None]
    own = _own_variance(products, noise_ms) if noise_ms else 0.0
    result = dict(cost_ms)
    for product in products:
        result |= product.costs
        for block, residual in product.residuals.items() if own > 0 else ():
            noise = (noise_ms or {})[block] / product.costs[block]
            result[block] = product.costs[block] * math.exp(residual * own / (own + noise**2))
    return result


@dataclass(frozen=True, slots=True)
class _Product:
    """Costs of a group's blocks that are products of factors, and what the timed ones' logarithms differ by."""

    costs: dict[Hashable, float]
    residuals: dict[Hashable, float]
    num_free: int


def _nearest_product(blocks: Mapping[Hashable, tuple[int, ...]], cost_ms: Mapping[Hashable, float]) -> _Product | None:
    known = [block for block in blocks if block in cost_ms]
    positive = [block for block in known if cost_ms[block] > 0]
    if len(positive) < 2:
        return None
    floor = 0.05 * float(np.median([cost_ms[block] for block in positive]))  # noise can make a small difference negative
    columns = np.array(list(blocks.values()))
    design = [np.ones(len(blocks))]
    seen = np.array([block in cost_ms for block in blocks])
    unknown = np.zeros(len(blocks), dtype=bool)
    for gene in range(columns.shape[1]):
        options = np.unique(columns[seen, gene])
        unknown |= ~np.isin(columns[:, gene], options)
        design += [(columns[:, gene] == option).astype(np.float64) for option in options[1:]]
    design_BF = np.stack(design, axis=1)
    target_B = np.log([max(floor, cost_ms[block]) for block in known])
    effects_F, _, rank, _ = np.linalg.lstsq(design_BF[seen], target_B, rcond=None)
    fitted_B = design_BF @ effects_F
    costs = {block: float(np.exp(fit)) for block, fit, bad in zip(blocks, fitted_B, unknown, strict=True) if not bad}
    residuals = {block: float(rest) for block, rest in zip(known, target_B - fitted_B[seen], strict=True)}
    return _Product(costs, residuals, int(rank))


def _own_variance(products: Sequence[_Product], noise_ms: Mapping[Hashable, float]) -> float:
    """How much more the residuals of all groups scatter than their noise, as a relative variance."""
    free = sum(len(product.residuals) - product.num_free for product in products)
    noises = [noise_ms[block] / product.costs[block] for product in products for block in product.residuals]
    if free <= 0:
        return 0.0
    scatter = sum(residual**2 for product in products for residual in product.residuals.values()) / free
    return max(0.0, scatter - float(np.mean(np.square(noises))))


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


@dataclass(frozen=True, slots=True)
class Validation:
    """Predictions of nets that nothing was fitted on, against what they measured.

    Attributes:
        rows: per net ``arch``, ``predicted_ms``, ``upper_ms``, ``measured_ms``, ``mad_ms``.
        noise_floor_mape: MAPE of two distant measurements of these nets.
    """

    rows: tuple[Mapping[str, Any], ...]
    noise_floor_mape: float

    def as_json(self) -> dict[str, Any]:
        """The contract's ``validation``, and intervals of its shares and of the bound's coverage."""
        predicted = np.array([row["predicted_ms"] for row in self.rows])
        measured = np.array([row["measured_ms"] for row in self.rows])
        upper = np.array([row["upper_ms"] for row in self.rows])
        error = np.abs(predicted / measured - 1.0)
        num = len(self.rows)
        return {
            "num_subnets": num,
            "mape": mape(predicted, measured),
            "within_5": float((error <= 0.05).mean()) if num else math.nan,
            "within_10": float((error <= 0.10).mean()) if num else math.nan,
            "p95_error": float(np.quantile(error, 0.95)) if num else math.nan,
            "kendall_tau": kendall_tau(predicted, measured),
            "noise_floor_mape": self.noise_floor_mape,
            "bias": float((predicted / measured - 1.0).mean()) if num else math.nan,
            "intervals": {
                "mape": bootstrap_mean(error),
                "within_5": wilson(int((error <= 0.05).sum()), num).as_json(),
                "within_10": wilson(int((error <= 0.10).sum()), num).as_json(),
                "upper_coverage": clopper_pearson(int((measured <= upper).sum()), num).as_json(),
            },
            "rows": [dict(row) for row in self.rows],
        }


def mape(predicted: Floats, measured: Floats) -> float:
    """Mean absolute relative error, a fraction; NaN without nets."""
    return float(np.abs(predicted / measured - 1.0).mean()) if len(measured) else math.nan


def kendall_tau(first: Floats, second: Floats) -> float:
    """Kendall's tau-b; NaN for fewer than two nets or where one side is constant."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(scipy_stats.kendalltau(first, second).statistic)


def bootstrap_mean(values: Floats, *, confidence: float = 0.95, resamples: int = 2000) -> dict[str, float | int]:
    """Percentile bootstrap interval of a mean (Efron, Annals of Statistics 1979), with fixed resamples."""
    if len(values) == 0:
        return {"value": math.nan, "low": math.nan, "high": math.nan, "n": 0}
    picks = np.random.default_rng(0).integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(values[picks].mean(axis=1), [0.5 - confidence / 2, 0.5 + confidence / 2])
    return {"value": float(values.mean()), "low": float(low), "high": float(high), "n": len(values)}
