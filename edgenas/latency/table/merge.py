"""One table of several that were measured at different times in the same context.

Every table says costs in milliseconds of its own moment. They are compared by what they share, the reference net: a cost over the
level of its table says how many references it is. These are averaged arithmetically, because costs add up: predicted sums of the
merged table are then averages of the predicted sums, which no other mean gives. Weights are visits: more runs inside one visit tell
little more. Costs that were smoothed are averaged before and smoothed again afterwards; calibration, bounds and validation are made
again from the whole nets of all tables. Quantiles of calls are averages of the tables' own at the common level: a change of speed
from one table to the other is in no quantile. What sessions differ by is what `edgenas profile --again` is for.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.costs import cost_models, decompose, distinct_components
from edgenas.errors import LatencyTableError
from edgenas.latency.fit import Calibration, Validation, bounded, calibrate, mape, smooth
from edgenas.latency.nets import is_block
from edgenas.latency.table.compare import differences
from edgenas.latency.table.content import QUANTILE_KEYS
from edgenas.latency.table.entries import Entry, component_key, entry_keys
from edgenas.latency.table.table import LatencyTable
from edgenas.latency.timing import standard_error
from edgenas.runs import dump_json
from edgenas.spaces import SearchSpace

Floats = NDArray[np.float64]
OTHER_SPEED = 0.15  # difference of levels that is said
TIMES = ("median_ms", *QUANTILE_KEYS, "mad_ms")


@dataclass(frozen=True, slots=True)
class Merged:
    """A table of several, and what the user should know of it."""

    table: LatencyTable
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Net:
    """A whole net as several tables measured it, with their levels."""

    rows: tuple[Mapping[str, Any], ...]
    visits: tuple[float, ...]
    levels_ms: tuple[float, ...]

    @property
    def costs(self) -> tuple[float, ...]:
        """References of each time."""
        return tuple(row["measured_ms"] / level_ms for row, level_ms in zip(self.rows, self.levels_ms, strict=True))

    def at(self, level_ms: float, key: str) -> float:
        """Average of some milliseconds of the rows, at a common level."""
        values = [row[key] * level_ms / own_ms for row, own_ms in zip(self.rows, self.levels_ms, strict=True)]
        return float(np.average(values, weights=self.visits))


def merge_tables(tables: Sequence[LatencyTable], space: SearchSpace) -> Merged:
    """Average tables of the same context and space.

    Args:
        tables: two or more.
        space: theirs.

    Raises:
        LatencyTableError: naming every difference that forbids it; if one is given twice, or lacks the nets it was calibrated on.
    """
    warnings = _require_same(tables)
    level_ms = float(np.average([_level(table) for table in tables], weights=[_visits(table) for table in tables]))
    entries = _entries(tables, level_ms)
    if tables[0].context.device_kind == "cpu":
        entries = _smoothed(entries, space, tables[0])
    merged = replace(tables[0], context=_latest(tables).context, entries=entries, reference=_reference(tables, level_ms))
    fitting = _nets([(table, table.measuring["calibration_rows"]) for table in tables])
    held_out = _nets([(table, table.checks) for table in tables])
    calibration = _calibrate(merged, space, fitting, level_ms)
    merged = replace(merged, calibration=calibration)
    held_out = {key: net for key, net in held_out.items() if key not in fitting}
    bounding = _nets([(table, table.bound_nets) for table in tables])
    bounding = {key: net for key, net in bounding.items() if key not in fitting and key not in held_out}
    if not held_out:
        raise LatencyTableError("no net is left for validation: each that one table held out fitted another", hint=_OTHER_SEED)
    bound_nets = _bound_nets(merged, space, bounding, level_ms)
    merged = replace(merged, calibration=bounded(calibration, bound_nets))
    validation = _validate(merged, space, held_out, level_ms, tables)
    measuring = _measuring(tables, len(fitting))
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
    if any(table.reference.get("components") != tables[0].reference.get("components") for table in tables):
        raise LatencyTableError("the tables share no reference net", hint="profile again with one version of edgenas")
    if any(not table.measuring.get("calibration_rows") for table in tables):
        raise LatencyTableError("a table does not hold the nets it was calibrated on", hint="profile again")
    levels = [_level(table) for table in tables]
    if max(levels) > (1 + OTHER_SPEED) * min(levels):
        times = max(levels) / min(levels)
        warnings.append(f"the machine ran {times:.2f} times slower for one table than for another; milliseconds are in between")
    return warnings


def _merged_from(table: LatencyTable) -> list[str]:
    return [str(source.get("sha256")) for source in table.measuring.get("merged_from", ())]


def _level(table: LatencyTable) -> float:
    return table.level_ms


def _visits(table: LatencyTable) -> float:
    return float(table.measuring["visits"])


def _latest(tables: Sequence[LatencyTable]) -> LatencyTable:
    return max(tables, key=lambda table: str(table.measuring["date"]))


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
    to_ms = np.array([level_ms / _level(table) for table, _ in taken])
    weights = np.array([entry.n / table.measuring["runs_per_visit"] if measured else 1.0 for table, entry in taken])
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
    raw, noise, runs = {}, {}, float(table.measuring["runs_per_visit"])
    for entry in entries:
        keys = entry_keys(entry)
        if len(keys) == 1 and keys[0] in blocks and entry.raw_ms is not None:
            raw[blocks[keys[0]]] = float(entry.raw_ms)
            noise[blocks[keys[0]]] = standard_error(entry.mad_ms, max(1.0, entry.n / runs))
    costs = {component_key(part): ms for part, ms in smooth(terms, raw, noise).items()}
    return tuple(replace(e, ms=costs.get(entry_keys(e)[0], e.ms)) if len(e.components) == 1 else e for e in entries)


def _reference(tables: Sequence[LatencyTable], level_ms: float) -> dict[str, Any]:
    """The reference net's row: averages of its quantiles, the fastest of all runs."""
    references, weights = [table.reference for table in tables], [_visits(table) for table in tables]
    mean = {
        key: float(np.average([reference[key] for reference in references], weights=weights))
        for key, value in references[0].items()
        if isinstance(value, float) and all(isinstance(reference.get(key), (int, float)) for reference in references)
    }
    least = min(reference["min_ms"] for reference in references)
    unknown = {key: None for key in references[0] if key.endswith("_upper_ms")}  # averages are no estimates
    return {**references[0], **mean, **unknown, "level_ms": level_ms, "min_ms": least, "n": sum(r["n"] for r in references)}


def _nets(sources: Sequence[tuple[LatencyTable, Sequence[Mapping[str, Any]]]]) -> dict[str, _Net]:
    """Whole nets by their architecture, each with what every table says of it."""
    rows_of: dict[str, list[tuple[Mapping[str, Any], float, float]]] = {}
    for table, rows in sources:
        for row in rows:
            visits = row["n"] / table.measuring["runs_per_visit"]
            rows_of.setdefault(dump_json(row["arch"], indent=None), []).append((row, visits, _level(table)))
    return {
        key: _Net(tuple(row for row, _, _ in each), tuple(visits for _, visits, _ in each), tuple(level for _, _, level in each))
        for key, each in rows_of.items()
    }


def _sums(table: LatencyTable, space: SearchSpace, nets: Mapping[str, _Net]) -> tuple[Floats, Floats]:
    """What the nets' components cost together, before calibration, and their parameters."""
    genes_AG = np.concatenate([space.from_json(net.rows[0]["arch"]) for net in nets.values()])
    plain = replace(table, calibration=replace(table.calibration, scale=1.0, weights_ms=0.0, offset_ms=0.0))
    return plain.to_cost_model(space, table.task)(genes_AG), cost_models(space, table.task)["params"](genes_AG)


def _calibrate(table: LatencyTable, space: SearchSpace, nets: Mapping[str, _Net], level_ms: float) -> Calibration:
    truth = np.array([net.at(level_ms, "measured_ms") for net in nets.values()])
    raw_ms, params = _sums(table, space, nets)
    return calibrate(raw_ms, truth, params, confidence=table.calibration.confidence)


def _validate(
    table: LatencyTable, space: SearchSpace, nets: Mapping[str, _Net], level_ms: float, tables: Sequence[LatencyTable]
) -> dict[str, Any]:
    predicted = table.calibration.predict(*_sums(table, space, nets))
    factor = table.calibration.upper_factor
    rows = [_row(net, float(ms), float(ms) * factor, level_ms) for net, ms in zip(nets.values(), predicted, strict=True)]
    return Validation(tuple(rows), _noise_floor(nets, tables)).as_json()


def _row(net: _Net, predicted_ms: float, upper_ms: float, level_ms: float) -> dict[str, Any]:
    known = [key for key in TIMES if all(isinstance(row.get(key), (int, float)) for row in net.rows)]
    least = [row["min_ms"] * level_ms / own_ms for row, own_ms in zip(net.rows, net.levels_ms, strict=True)]
    return {
        **net.rows[0],
        **{key: net.at(level_ms, key) for key in known},
        "predicted_ms": predicted_ms,
        "upper_ms": upper_ms,
        "measured_ms": net.at(level_ms, "measured_ms"),
        "variation": float(np.average([row["variation"] for row in net.rows], weights=net.visits)),
        "min_ms": min(least),
        "n": sum(row["n"] for row in net.rows),
    }


def _bound_nets(table: LatencyTable, space: SearchSpace, nets: Mapping[str, _Net], level_ms: float) -> tuple[dict[str, Any], ...]:
    """What promises come from: predictions of the merged table, and quantiles of the calls of all."""
    if not nets:
        return ()
    predicted = table.calibration.predict(*_sums(table, space, nets))
    return tuple(
        {
            "arch": net.rows[0]["arch"],
            "predicted_ms": float(ms),
            "measured_ms": net.at(level_ms, "measured_ms"),
            **{key: net.at(level_ms, key) for key in QUANTILE_KEYS},
            "n": sum(row["n"] for row in net.rows),
        }
        for net, ms in zip(nets.values(), predicted, strict=True)
    )


def _noise_floor(nets: Mapping[str, _Net], tables: Sequence[LatencyTable]) -> float:
    """How much the tables differ in the nets that two of them measured; where there are none, what they say themselves."""
    pairs = [(net.costs[0], net.costs[-1]) for net in nets.values() if len(net.costs) > 1]
    if pairs:
        first, last = np.array(pairs).T
        return mape(first, last)
    floors = [table.validation["noise_floor_mape"] for table in tables]
    return float(np.average(floors, weights=[_visits(table) for table in tables]))


def _measuring(tables: Sequence[LatencyTable], num_calibration_nets: int) -> dict[str, Any]:
    latest = _latest(tables)
    sources = [
        {
            "sha256": replace(table, sessions=()).sha256,
            "date": table.measuring["date"],
            "visits": table.measuring["visits"],
            "level_ms": _level(table),
            "runtime_version": table.context.runtime_version,
        }
        for table in tables
    ]
    return {
        **latest.measuring,
        "visits": sum(table.measuring["visits"] for table in tables),
        "seconds": sum(table.measuring["seconds"] for table in tables),
        "num_calibration_nets": num_calibration_nets,
        "machine": [seen for table in tables for seen in table.measuring.get("machine", [])],
        "calibration_rows": [row for table in tables for row in _rescaled(table, tables)],
        "merged_from": sources,
    }


def _rescaled(table: LatencyTable, tables: Sequence[LatencyTable]) -> list[dict[str, Any]]:
    """Calibration rows in the merged table's milliseconds, so that it can be merged again."""
    level_ms = float(np.average([_level(each) for each in tables], weights=[_visits(each) for each in tables]))
    return [{**row, "measured_ms": row["measured_ms"] * level_ms / _level(table)} for row in table.measuring["calibration_rows"]]
