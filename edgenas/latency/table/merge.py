"""One table of several that were measured at different times in the same context.

Every table says costs in milliseconds of its own moment. They are compared by what they share, the reference net: a cost over the
level of its table says how many references it is. These are averaged arithmetically, because costs add up: predicted sums of the
merged table are then averages of the predicted sums, which no other mean gives. Weights are visits: more runs inside one visit tell
little more. Costs that were smoothed are averaged before and smoothed again afterwards; calibration, bounds and validation are made
again from the whole nets of all tables. Quantiles of calls are averages of the tables' own at the common level: a change of speed
from one table to the other is in no quantile. What sessions differ by is what `edgenas profile --again` is for.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgenas.costs import cost_models, decompose, distinct_components
from edgenas.errors import LatencyTableError
from edgenas.latency.fit import Calibration, bounded, calibrate, mape, smooth, validation_of
from edgenas.latency.nets import is_block
from edgenas.latency.table.averaging import R, WholeNet, whole_nets
from edgenas.latency.table.compare import differences
from edgenas.latency.table.entries import Entry, component_key, entry_keys
from edgenas.latency.table.table import LatencyTable
from edgenas.latency.timing import standard_error
from edgenas.records import BoundNet, CheckedNet, FittedNet, MergedSource, ReferenceNet, TableMeasuring, TableValidation
from edgenas.spaces import SearchSpace

Floats = NDArray[np.float64]
OTHER_SPEED = 0.15  # difference of levels that is said


@dataclass(frozen=True, slots=True)
class Merged:
    """A table of several, and what the user should know of it."""

    table: LatencyTable
    warnings: tuple[str, ...]


def merge_tables(tables: Sequence[LatencyTable], space: SearchSpace) -> Merged:
    """Average tables of the same context and space.

    Args:
        tables: two or more.
        space: theirs.

    Raises:
        LatencyTableError: naming every difference that forbids it; if one is given twice, or lacks the nets it was calibrated on.
    """
    warnings = _require_same(tables)
    level_ms = float(np.average([table.level_ms for table in tables], weights=[_visits(table) for table in tables]))
    entries = _entries(tables, level_ms)
    if tables[0].context.device_kind == "cpu":
        entries = _smoothed(entries, space, tables[0])
    merged = replace(tables[0], context=_latest(tables).context, entries=entries, reference=_reference(tables, level_ms))
    fitting = whole_nets([(table, table.measuring.calibration_rows or ()) for table in tables])
    held_out = whole_nets([(table, table.checks) for table in tables])
    calibration = _calibrate(merged, space, fitting, level_ms)
    merged = replace(merged, calibration=calibration)
    held_out = {key: net for key, net in held_out.items() if key not in fitting}
    bounding = whole_nets([(table, table.bound_nets) for table in tables])
    bounding = {key: net for key, net in bounding.items() if key not in fitting and key not in held_out}
    if not held_out:
        raise LatencyTableError("no net is left for validation: each that one table held out fitted another", hint=_OTHER_SEED)
    bound_nets = _bound_nets(merged, space, bounding, level_ms)
    merged = replace(merged, calibration=bounded(calibration, bound_nets))
    validation = _validate(merged, space, held_out, level_ms, tables)
    measuring = _measuring(tables, len(fitting), level_ms)
    merged = replace(merged, validation=validation, measuring=measuring, bound_nets=bound_nets, sessions=())
    if any(table.sessions for table in tables):
        warnings.append("sessions that were added to a table are of its own level, and are not in the merged one: add them again")
    return Merged(merged, tuple(warnings))


_OTHER_SEED = "profile with the same seed, or with another that draws other nets: --set profile.seed=1"


def _require_same(tables: Sequence[LatencyTable]) -> list[str]:
    sources = [name for table in tables for name in (replace(table, sessions=()).sha256, *_merged_from(table))]
    if len(set(sources)) < len(sources):
        hint = "give tables that were measured at different times, none of them merged from another"
        raise LatencyTableError("a table is given twice", hint=hint)
    problems: list[str] = []
    warnings: list[str] = []
    for number, table in enumerate(tables[1:], 2):
        where = "" if len(tables) == 2 else f"tables 1 and {number}: "
        for difference in differences(tables[0], table):
            {"refused": problems, "warns": warnings, "noted": []}[difference.weight].append(f"{where}{difference}")
    if problems:
        raise LatencyTableError("tables of different contexts are not mixed", problems=problems, hint="merge tables of one context")
    if any(table.reference.components != tables[0].reference.components for table in tables):
        raise LatencyTableError("the tables share no reference net", hint="profile again with one version of edgenas")
    if any(not table.measuring.calibration_rows for table in tables):
        raise LatencyTableError("a table does not hold the nets it was calibrated on", hint="profile again")
    levels = [table.level_ms for table in tables]
    if max(levels) > (1 + OTHER_SPEED) * min(levels):
        times = max(levels) / min(levels)
        warnings.append(f"the machine ran {times:.2f} times slower for one table than for another; milliseconds are in between")
    return warnings


def _merged_from(table: LatencyTable) -> list[str]:
    return [source.sha256 for source in table.measuring.merged_from or ()]


def _visits(table: LatencyTable) -> float:
    return float(table.measuring.visits)


def _latest(tables: Sequence[LatencyTable]) -> LatencyTable:
    return max(tables, key=lambda table: table.measuring.date)


def _entries(tables: Sequence[LatencyTable], level_ms: float) -> tuple[Entry, ...]:
    """Every entry that a table has; what one measured is not diluted by what another interpolated."""
    sources_of: dict[tuple[str, ...], list[tuple[LatencyTable, Entry]]] = {}
    for table in tables:
        for entry in table.entries:
            sources_of.setdefault(entry_keys(entry), []).append((table, entry))
    return tuple(_entry(sources, level_ms) for sources in sources_of.values())


def _entry(sources: Sequence[tuple[LatencyTable, Entry]], level_ms: float) -> Entry:
    measured = [(table, entry) for table, entry in sources if entry.origin == "measured"]
    taken = measured or list(sources)
    to_ms = np.array([level_ms / table.level_ms for table, _ in taken])
    weights = np.array([entry.n / table.measuring.runs_per_visit if measured else 1.0 for table, entry in taken])
    ms = np.array([entry.ms for _, entry in taken]) * to_ms
    first = taken[0][1]
    if not measured:
        return replace(first, ms=float(np.average(ms, weights=weights)))
    raw = np.array([entry.ms if entry.raw_ms is None else entry.raw_ms for _, entry in taken]) * to_ms
    mean_raw = float(np.average(raw, weights=weights))
    spread = np.array([entry.mad_ms or 0.0 for _, entry in taken]) * to_ms
    mad_ms = float(np.sqrt(np.average(spread**2 + (raw - mean_raw) ** 2, weights=weights)))
    num = sum(entry.n for _, entry in taken)
    return replace(first, ms=float(np.average(ms, weights=weights)), mad_ms=mad_ms, n=num, raw_ms=mean_raw)


def _smoothed(entries: Sequence[Entry], space: SearchSpace, table: LatencyTable) -> tuple[Entry, ...]:
    """Blocks smoothed from their averages, as after measuring."""
    terms = decompose(space, table.task)
    blocks: dict[str, Hashable] = {component_key(part): part for part in distinct_components(terms) if is_block(space, part)}
    raw, noise, runs = {}, {}, float(table.measuring.runs_per_visit)
    for entry in entries:
        keys = entry_keys(entry)
        if len(keys) == 1 and keys[0] in blocks and entry.raw_ms is not None:
            raw[blocks[keys[0]]] = float(entry.raw_ms)
            noise[blocks[keys[0]]] = standard_error(entry.mad_ms, max(1.0, entry.n / runs))
    costs = {component_key(part): ms for part, ms in smooth(terms, raw, noise).items()}
    return tuple(replace(e, ms=costs.get(entry_keys(e)[0], e.ms)) if len(e.components) == 1 else e for e in entries)


def _reference(tables: Sequence[LatencyTable], level_ms: float) -> ReferenceNet:
    """The reference net: averages of its quantiles where every table says them, the fastest of all runs."""
    references, weights = [table.reference for table in tables], [_visits(table) for table in tables]

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.average(known, weights=weights)) if len(known) == len(values) else values[0]

    return replace(
        references[0],
        level_ms=level_ms,
        p50_ms=float(np.average([reference.p50_ms for reference in references], weights=weights)),
        p90_ms=mean([reference.p90_ms for reference in references]),
        p95_ms=float(np.average([reference.p95_ms for reference in references], weights=weights)),
        p99_ms=mean([reference.p99_ms for reference in references]),
        p90_upper_ms=None,  # averages are no estimates
        p95_upper_ms=None,
        p99_upper_ms=None,
        min_ms=min(reference.min_ms for reference in references),
        mad_ms=mean([reference.mad_ms for reference in references]),
        variation=mean([reference.variation for reference in references]),
        compute_ms=mean([reference.compute_ms for reference in references]),
        n=sum(reference.n or 0 for reference in references),
    )


def _sums(table: LatencyTable, space: SearchSpace, nets: Mapping[str, WholeNet[R]]) -> tuple[Floats, Floats]:
    """What the nets' components cost together, before calibration, and their parameters."""
    genes_AG = np.concatenate([space.from_json(net.rows[0].arch) for net in nets.values()])
    plain = replace(table, calibration=replace(table.calibration, scale=1.0, weights_ms=0.0, offset_ms=0.0))
    return plain.to_cost_model(space, table.task)(genes_AG), cost_models(space, table.task)["params"](genes_AG)


def _calibrate(table: LatencyTable, space: SearchSpace, nets: Mapping[str, WholeNet[FittedNet]], level_ms: float) -> Calibration:
    truth = np.array([net.at(level_ms, lambda row: row.measured_ms) for net in nets.values()])
    raw_ms, params = _sums(table, space, nets)
    return calibrate(raw_ms, truth, params, confidence=table.calibration.confidence)


def _validate(
    table: LatencyTable,
    space: SearchSpace,
    nets: Mapping[str, WholeNet[CheckedNet]],
    level_ms: float,
    tables: Sequence[LatencyTable],
) -> TableValidation:
    predicted = table.calibration.predict(*_sums(table, space, nets))
    factor = table.calibration.upper_factor
    rows = [_row(net, float(ms), float(ms) * factor, level_ms) for net, ms in zip(nets.values(), predicted, strict=True)]
    return validation_of(rows, _noise_floor(nets, tables))


def _row(net: WholeNet[CheckedNet], predicted_ms: float, upper_ms: float, level_ms: float) -> CheckedNet:
    known = [row.variation for row in net.rows if row.variation is not None]
    least = [row.min_ms * level_ms / own_ms for row, own_ms in zip(net.rows, net.levels_ms, strict=True) if row.min_ms is not None]
    return replace(
        net.rows[0],
        predicted_ms=predicted_ms,
        upper_ms=upper_ms,
        measured_ms=net.at(level_ms, lambda row: row.measured_ms),
        mad_ms=net.at_if_known(level_ms, lambda row: row.mad_ms),
        variation=float(np.average(known, weights=net.visits)) if len(known) == len(net.rows) else net.rows[0].variation,
        median_ms=net.at_if_known(level_ms, lambda row: row.median_ms),
        p50_ms=net.at_if_known(level_ms, lambda row: row.p50_ms),
        p90_ms=net.at_if_known(level_ms, lambda row: row.p90_ms),
        p95_ms=net.at_if_known(level_ms, lambda row: row.p95_ms),
        p99_ms=net.at_if_known(level_ms, lambda row: row.p99_ms),
        min_ms=min(least, default=None),
        n=net.n,
    )


def _bound_nets(
    table: LatencyTable, space: SearchSpace, nets: Mapping[str, WholeNet[BoundNet]], level_ms: float
) -> tuple[BoundNet, ...]:
    """What promises come from: predictions of the merged table, and quantiles of the calls of all."""
    if not nets:
        return ()
    predicted = table.calibration.predict(*_sums(table, space, nets))
    return tuple(
        BoundNet(
            arch=net.rows[0].arch,
            predicted_ms=float(ms),
            measured_ms=net.at(level_ms, lambda row: row.measured_ms),
            p50_ms=net.at(level_ms, lambda row: row.p50_ms),
            p90_ms=net.at(level_ms, lambda row: row.p90_ms),
            p95_ms=net.at(level_ms, lambda row: row.p95_ms),
            p99_ms=net.at(level_ms, lambda row: row.p99_ms),
            n=net.n,
        )
        for net, ms in zip(nets.values(), predicted, strict=True)
    )


def _noise_floor(nets: Mapping[str, WholeNet[CheckedNet]], tables: Sequence[LatencyTable]) -> float:
    """How much the tables differ in the nets that two of them measured; where there are none, what they say themselves."""
    pairs = [(net.costs[0], net.costs[-1]) for net in nets.values() if len(net.costs) > 1]
    if pairs:
        first, last = np.array(pairs).T
        return mape(first, last)
    floors = [math.nan if table.validation.noise_floor_mape is None else table.validation.noise_floor_mape for table in tables]
    return float(np.average(floors, weights=[_visits(table) for table in tables]))


def _measuring(tables: Sequence[LatencyTable], num_calibration_nets: int, level_ms: float) -> TableMeasuring:
    sources = [
        MergedSource(
            sha256=replace(table, sessions=()).sha256,
            date=table.measuring.date,
            visits=table.measuring.visits,
            level_ms=table.level_ms,
            runtime_version=table.context.runtime_version,
        )
        for table in tables
    ]
    return replace(
        _latest(tables).measuring,
        visits=sum(table.measuring.visits for table in tables),
        seconds=sum(table.measuring.seconds for table in tables),
        num_calibration_nets=num_calibration_nets,
        machine=tuple(seen for table in tables for seen in table.measuring.machine or ()),
        calibration_rows=tuple(row for table in tables for row in _rescaled(table, level_ms)),
        merged_from=tuple(sources),
    )


def _rescaled(table: LatencyTable, level_ms: float) -> list[FittedNet]:
    """Calibration rows in the merged table's milliseconds, so that it can be merged again."""
    rows = table.measuring.calibration_rows or ()
    return [replace(row, measured_ms=row.measured_ms * level_ms / table.level_ms) for row in rows]
