"""Where the predicted time of a net goes: per stage and kind of component."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence

import numpy as np

from edgenas.costs import count_params
from edgenas.latency.fit import MILLION
from edgenas.latency.nets import components_of
from edgenas.latency.table.entries import component_key, entry_keys
from edgenas.latency.table.table import LatencyTable
from edgenas.records import BreakdownFacts, PartFacts
from edgenas.spaces import Genes, SearchSpace

MAX_ROWS = 100_000  # nets among which the smallest, median and largest are looked for


def break_down(table: LatencyTable, space: SearchSpace, genes_G: Genes, name: str) -> BreakdownFacts:
    """Split the predicted time of the net of one row of genes.

    Raises:
        LatencyTableError: if the table lacks an entry that the net needs.
    """
    predicted_ms = float(table.to_cost_model(space, table.task)(genes_G[None])[0])
    together = {key: entry for entry in table.entries if len(entry.components) > 1 for key in entry_keys(entry)}
    alone = {entry_keys(entry)[0]: entry.ms for entry in table.entries if len(entry.components) == 1}
    scale, weights_ms = table.calibration.scale, table.calibration.weights_ms
    sums: dict[tuple[int | None, str], tuple[int, float]] = {}
    chain = components_of(space, genes_G, table.task)
    for component, stage in zip(chain, stages_of(chain), strict=True):
        key = component_key(component)
        shared = together.get(key)
        where = (stage, kind_of(component)) if shared is None else (None, "frame")
        ms = alone[key] if shared is None else shared.ms / len(shared.components)
        num, before = sums.get(where, (0, 0.0))
        sums[where] = (num + 1, before + scale * ms + weights_ms * count_params(space, component) / MILLION)
    sums[(None, "call")] = (1, table.calibration.offset_ms)
    parts = tuple(
        PartFacts(stage=stage, kind=kind, num=num, ms=ms, share=ms / predicted_ms) for (stage, kind), (num, ms) in sums.items()
    )
    upper_ms = float(table.upper(space, table.task)(genes_G[None])[0])
    ordered = sorted(parts, key=lambda part: (part.stage is None, part.stage or 0))
    arch = space.to_json(genes_G)
    return BreakdownFacts(name=name, arch=arch, predicted_ms=predicted_ms, upper_ms=upper_ms, parts=tuple(ordered))


def typical_nets(table: LatencyTable, space: SearchSpace, rng: np.random.Generator) -> dict[str, Genes]:
    """The nets of least, median and most predicted time: of the whole space where it is small, else of both ends and a sample."""
    if space.cardinality <= MAX_ROWS:
        rows_AG = space.enumerate()
    else:
        ends = [space.extreme(largest=largest) for largest in (False, True)]
        rows_AG = np.concatenate([*ends, space.sample(MAX_ROWS, rng)])
    order = np.argsort(table.to_cost_model(space, table.task)(rows_AG), kind="stable")
    places = {"smallest": 0, "median": len(order) // 2, "largest": len(order) - 1}
    return {name: rows_AG[order[place]] for name, place in places.items()}


def stages_of(chain: Sequence[Hashable]) -> list[int]:
    """The stage of every component, from 1: a stage ends where tokens become fewer or wider."""
    stages: list[int] = []
    stage, before = 0, None
    for component in chain:
        size = (getattr(component, "grid", None), getattr(component, "embed_dim", None))
        if size != before and None not in size:
            stage, before = stage + 1, size
        stages.append(max(stage, 1))
    return stages


def kind_of(component: Hashable) -> str:
    """The kind of a component in words, e.g. ``patch embed``."""
    name = type(component).__name__.removesuffix("Spec")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
