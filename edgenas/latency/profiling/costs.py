"""What both sessions say of components: their costs as entries of a table, and the calibration of their sums."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgenas.costs import CostModel, Term, distinct_components
from edgenas.latency.fit import Calibration, calibrate, smooth, split_skeletons
from edgenas.latency.nets import Chain, TimingPlan
from edgenas.latency.profiling.rows import BothSessions
from edgenas.latency.table import Entry, component_json
from edgenas.latency.timing import standard_error
from edgenas.spaces import Genes

Floats = NDArray[np.float64]


def component_costs(
    plan: TimingPlan, terms: Sequence[Term], measured: BothSessions, copies: int, *, smoothed: bool
) -> tuple[dict[Hashable, float], tuple[Entry, ...]]:
    """Cost of every component in milliseconds, and the same as entries of a table."""
    num = len(plan.skeletons)
    bare, nets = measured.first.timings[:num], measured.first.timings[num : num + len(plan.block_chains)]
    parts = split_skeletons(plan.skeletons, [measured.ms(timing) for timing in bare])
    bare_mad = float(np.median([timing.ratio_mad for timing in bare]))
    raw, spread = {}, {}
    for (block, chain), timing in zip(plan.block_chains.items(), nets, strict=True):
        raw[block] = (measured.ms(timing) - sum(parts[part] for part in chain if part != block)) / copies
        spread[block] = float(np.hypot(timing.ratio_mad, bare_mad)) * measured.level_ms / copies
    visits, runs = len(bare[0].samples_VR), bare[0].num_runs
    noise = {block: standard_error(mad_ms, visits) for block, mad_ms in spread.items()}
    costs = raw | (smooth(terms, raw, noise) if smoothed else {})
    entries = _skeleton_entries(plan, parts, bare_mad * measured.level_ms, runs)
    for component in distinct_components(terms):
        if component in raw:
            one = (component_json(component),)
            entries.append(Entry(one, costs[component], spread[component], runs, "measured", raw[component]))
        elif component in costs:
            entries.append(Entry((component_json(component),), costs[component], float("nan"), 0, "interpolated"))
    return costs | parts, tuple(entries)


def _skeleton_entries(plan: TimingPlan, parts: Mapping[Hashable, float], mad_ms: float, runs: int) -> list[Entry]:
    """One entry for all where they always come together, else one for each."""
    if len(plan.skeletons) == 1:
        together = tuple(component_json(component) for component in plan.skeletons[0])
        ms = sum(parts[component] for component in plan.skeletons[0])
        return [Entry(together, ms, mad_ms, runs, "measured", ms)]
    behind = {part: runs * sum(part in skeleton for skeleton in plan.skeletons) for part in parts}
    return [Entry((component_json(part),), ms, mad_ms, behind[part], "measured", ms) for part, ms in parts.items()]


def _sums(chains: Sequence[Chain], costs: Mapping[Hashable, float]) -> Floats:
    return np.array([sum(costs[component] for component in chain) for chain in chains], dtype=np.float64)


def calibrate_sums(
    plan: TimingPlan, measured: BothSessions, costs: Mapping[Hashable, float], params_A: Floats, confidence: float
) -> Calibration:
    """Fit the sums of components to what the calibration nets measured, ``params_A`` their parameters."""
    start = len(plan.skeletons) + len(plan.block_chains)
    timings = measured.first.timings[start : start + len(plan.calibration_chains)]
    truth = np.array([measured.ms(timing) for timing in timings])
    return calibrate(_sums(plan.calibration_chains, costs), truth, params_A, confidence=confidence)


def predict_sums(
    genes_AG: Genes, chains: Sequence[Chain], params: CostModel, costs: Mapping[Hashable, float], calibration: Calibration
) -> Floats:
    """Calibrated milliseconds of nets, shape (archs,): rows of genes, and their chains in the same order."""
    return calibration.predict(_sums(chains, costs), params(genes_AG))
