"""How much is timed in the time there is: fewer visits first, then fewer blocks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from edgenas.costs import Term
from edgenas.latency.fit import SEPARATE
from edgenas.latency.nets.plan import MeasuringSettings, TimingPlan
from edgenas.latency.timing import TimingSettings
from edgenas.portable import budget

SEEN = 2  # times that every option of a gene is among the blocks of a thinned plan


class Shape(NamedTuple):
    """What a budget allows.

    Attributes:
        visits: to every net.
        is_thin: only blocks that the others can be interpolated from are timed.
    """

    visits: int
    is_thin: bool


def shape_of(
    settings: MeasuringSettings,
    plan: TimingPlan,
    thin: TimingPlan,
    visit_seconds: float,
    tracing_s: tuple[float, float] = (0.0, 0.0),
) -> Shape:
    """The visits asked for, or what of them and of the plan the budget leaves.

    Args:
        settings: visits that are wanted, and the budget.
        plan: everything.
        thin: the plan without the blocks that can be interpolated.
        visit_seconds: that one visit takes.
        tracing_s: seconds in which what either plan times is traced before that.
    """
    full_s, thin_s = (round_seconds(each, settings.timing, visit_seconds) for each in (plan, thin))
    return Shape(*budget.choose(settings.seconds, settings.timing.visits, full_s, thin_s, *tracing_s))


def round_seconds(plan: TimingPlan, timing: TimingSettings, visit_seconds: float) -> float:
    """Seconds of one visit to every net, with those to the reference."""
    return budget.round_seconds(plan.num_visits, timing.reference_every, visit_seconds)


def thinned(plan: TimingPlan, terms: Sequence[Term]) -> TimingPlan:
    """The plan without blocks that `fit.smooth` interpolates from those left.

    Of every width of a stage as many blocks are left as tell the effects of all options apart, each option twice at least.
    """
    needed: set[Hashable] = set()
    for term in terms:
        groups: dict[Hashable, dict[Hashable, tuple[int, ...]]] = {}
        for index, cell in term if term.genes else ():
            for component in cell:
                if component in plan.block_chains:
                    key = tuple(getattr(component, name, None) for name in SEPARATE)
                    groups.setdefault(key, {}).setdefault(component, index)
        for blocks in groups.values():
            needed |= _spanning(blocks)
    left = replace(plan, block_chains={block: chain for block, chain in plan.block_chains.items() if block in needed})
    return left.traced_for((*left.first_chains, left.reference))


def _spanning(blocks: Mapping[Hashable, tuple[int, ...]]) -> set[Hashable]:
    """Blocks whose options span those of all, and show each option at least twice where there are two."""
    columns_BG = np.array(list(blocks.values()))
    pairs = sorted({(gene, int(option)) for row_G in columns_BG for gene, option in enumerate(row_G)})
    place = {pair: position for position, pair in enumerate(pairs)}
    basis = np.zeros((0, len(pairs)))
    seen = np.zeros(len(pairs), dtype=int)
    order = np.random.default_rng(0).permutation(len(blocks))
    names, kept = list(blocks), set()
    for position in order.tolist():
        mine = [place[gene, int(option)] for gene, option in enumerate(columns_BG[position])]
        row_P = np.zeros(len(pairs))
        row_P[mine] = 1.0
        rest_P = row_P - basis.T @ (basis @ row_P)
        is_new = float(np.linalg.norm(rest_P)) > 1e-6
        if is_new:
            basis = np.vstack([basis, rest_P / np.linalg.norm(rest_P)])
        if is_new or (seen[mine] < SEEN).any():
            kept.add(names[position])
            seen[mine] += 1
    return kept
