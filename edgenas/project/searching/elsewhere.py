"""Which other shipped spaces have nets that meet given limits, for the same images and the same device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np

from edgenas.costs import CostModel
from edgenas.errors import LatencyTableError
from edgenas.latency import LatencyTable, find_tables, shipped_tables
from edgenas.latency.table import space_hash
from edgenas.project.searching.costing import Costing, DeviceTable
from edgenas.records import AT_LEAST, OtherSpace
from edgenas.search import CostLimit, LowerLimit, UpperLimit, cost_of, feasible_set, total_violation
from edgenas.search.quantities import QUANTITIES, Cost
from edgenas.spaces import SPACES, SearchSpace, Task

DRAWN = 4096  # nets of a space that are looked at where no limit on it can be counted
PIECES = 4  # of draws from what one limit leaves, among which a net that meets all is looked for


def other_spaces(costing: Costing, task: Task) -> tuple[OtherSpace, ...]:
    """Shipped spaces beside the searched one, of which a net was found that meets the limits that can be looked at there.

    Params, MACs, depth and memory are formulas of every space. Latency needs a table of the space at hand, in the run folder or
    among those that come with edgenas, of the same device, runtime, precision and batch; else it is not looked at. A space where no
    limit can be looked at, or that cannot read images of this size, is not told.
    """
    return tuple(_each(costing, task))


def _each(costing: Costing, task: Task) -> Iterator[OtherSpace]:
    tables = _tables(costing)
    for space in SPACES.own.values():
        if space.name == costing.space.name.partition("[")[0]:
            continue
        with suppress(ValueError):  # the images are too small for its patches or strides
            limits, unknown = _limits(costing, space, task, tables)
            if limits and _has_net(space, limits):
                yield OtherSpace(space=space.name, looked_at=tuple(limit.name for limit in limits), not_looked_at=unknown)


def _limits(
    costing: Costing, space: SearchSpace, task: Task, tables: list[LatencyTable]
) -> tuple[tuple[CostLimit, ...], tuple[str, ...]]:
    """The limits on the costs of another space, and the names of those that are not known there."""
    devices = {device.name: device for device in costing.devices}
    limits: list[CostLimit] = []
    unknown: list[str] = []
    for limit in costing.limits:
        quantity = limit.name.removesuffix(AT_LEAST)
        cost: Cost | None = None
        if quantity in devices:
            cost = _latency(devices[quantity], space, task, tables, is_lower=quantity != limit.name)
        elif quantity in QUANTITIES:
            cost = cost_of(quantity, space, task)
        if cost is None:
            unknown.append(limit.name)
        else:
            limits.append(
                UpperLimit(quantity, limit.limit, cost) if quantity == limit.name else LowerLimit(quantity, limit.limit, cost)
            )
    return tuple(limits), tuple(unknown)


def _tables(costing: Costing) -> list[LatencyTable]:
    """Tables beside those of the devices, and those that come with edgenas; damaged ones are no tables."""
    folders = {device.table.path.parent for device in costing.devices}
    paths: list[Path] = [path for folder in sorted(folders) for path in find_tables(folder)]
    paths += shipped_tables().values() if costing.devices else ()
    tables = []
    for path in paths:
        with suppress(LatencyTableError):
            tables.append(LatencyTable.load(path))
    return tables


def _latency(
    device: DeviceTable, space: SearchSpace, task: Task, tables: list[LatencyTable], *, is_lower: bool
) -> CostModel | None:
    """What a limit on a device's latency is on, for another space; None without a table of it."""
    for table in tables:
        is_same = table.context.key == device.table.table.context.key
        if is_same and table.space == space.name and table.space_sha256 == space_hash(space) and table.task == task:
            if is_lower or device.bound is None:
                return table.to_cost_model(space, task)
            with suppress(LatencyTableError):  # too few nets for the confidence
                return table.upper(space, task, table.promise.bound(device.bound.quantile, device.bound.confidence))
    return None


def _has_net(space: SearchSpace, limits: tuple[CostLimit, ...]) -> bool:
    """Whether a net of a space is found that meets limits."""
    ends_AG = np.concatenate([space.corners(largest=False), space.corners(largest=True)])
    if (total_violation(limits, ends_AG) == 0).any():  # most are found here, without counting what the limits leave
        return True
    rng = np.random.default_rng(0)
    left = feasible_set(space, limits)
    if left is None:
        return bool((total_violation(limits, space.sample(DRAWN, rng)) == 0).any())
    return any(len(met_AG) for _, met_AG in islice(left.pieces(rng), PIECES))
