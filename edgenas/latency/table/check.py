"""Whether a table is sound: every component of its space has an entry, and predictions are what its entries really give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgenas.costs import decompose, distinct_components
from edgenas.errors import ArchError, LatencyTableError
from edgenas.latency.table.entries import component_key, entry_keys
from edgenas.latency.table.table import LatencyTable, space_hash
from edgenas.records import BoundNet, CheckedNet, EntryCounts, TableCheck, Verdict
from edgenas.runs import dump_json
from edgenas.spaces import SearchSpace

EXACT = 1e-6  # relative difference between a stored prediction and the one that the entries give
MAX_NAMED = 5  # of many problems of one kind


def _check(name: str, verdict: Verdict, reason: str, problems: tuple[str, ...] = ()) -> TableCheck:
    return TableCheck(name=name, verdict=verdict, reason=reason, problems=problems)


def check_table(table: LatencyTable, space: SearchSpace) -> tuple[TableCheck, ...]:
    """Everything that can be checked without the device.

    Args:
        table: that was loaded, so its content is sound.
        space: of its name.
    """
    same = table.space_sha256 == space_hash(space)
    changed = f"the choices of {space.name} have changed since it was measured"
    checks = [_check("space", "passed" if same else "failed", "the choices are those it was measured for" if same else changed)]
    complete = _completeness(table, space)
    checks.append(complete)
    if same:
        checks.append(_nets(table, space))
    if same and complete.verdict == checks[-1].verdict == "passed":
        return (*checks, _predictions(table, space))
    return (*checks, _check("predictions", "not_run", "the space or its entries are not what they were"))


def require_sound(path: Path, table: LatencyTable, space: SearchSpace) -> None:
    """Refuse a table with entries or nets of no component of its space, or whose entries do not give the predictions that it was
    validated and bounded with.

    Raises:
        LatencyTableError: naming them.
    """
    for check in check_table(table, space):
        if check.name in ("nets", "predictions") and check.verdict == "failed":
            hint = "measure again with `edgenas profile`, or take another table with --table"
            raise LatencyTableError(f"{path} is not sound: {check.reason}", problems=check.problems, hint=hint)


def origins(table: LatencyTable, space: SearchSpace) -> EntryCounts:
    """How many components of the space were measured and interpolated, and how many are missing."""
    origin_of = _origin_of(table)
    known = [origin_of.get(key) for key in _keys_of(table, space)]
    return EntryCounts(measured=known.count("measured"), interpolated=known.count("interpolated"), missing=known.count(None))


def _keys_of(table: LatencyTable, space: SearchSpace) -> list[str]:
    return [component_key(component) for component in distinct_components(decompose(space, table.task))]


def _origin_of(table: LatencyTable) -> dict[str, str]:
    return {key: entry.origin for entry in table.entries for key in entry_keys(entry)}


def _completeness(table: LatencyTable, space: SearchSpace) -> TableCheck:
    origin_of = _origin_of(table)
    missing = tuple(key for key in _keys_of(table, space) if key not in origin_of)
    counted = origins(table, space)
    if missing:
        num = counted.measured + counted.interpolated + counted.missing
        return _check("entries", "failed", f"{len(missing)} of {num} components have no entry", _short(missing))
    return _check("entries", "passed", f"{counted.measured} components measured, {counted.interpolated} interpolated")


def _nets(table: LatencyTable, space: SearchSpace) -> TableCheck:
    """Entries of no component of the space, and nets that are none of it."""
    own = set(_keys_of(table, space))
    wrong = [
        f"entry {number}: {key:.200}"
        for number, entry in enumerate(table.entries, 1)
        for key in entry_keys(entry)
        if key not in own
    ]
    reference = [dump_json(component, indent=None) for component in table.reference.components or ()]
    wrong += [f"reference: {key:.200}" for key in reference if key not in own]
    archs = [*(net.arch for net in table.measuring.calibration_rows or ()), *(table.measuring.calibration_archs or ())]
    for number, arch in enumerate(archs, 1):
        try:
            space.from_json(arch)
        except ArchError as error:
            wrong.append(f"calibration net {number}: {error.message:.200}")
    if wrong:
        return _check("nets", "failed", f"{len(wrong)} of its entries and nets are of no net of {space.name}", _short(wrong))
    return _check("nets", "passed", f"{len(table.entries)} entries and {len(archs)} calibration nets are of {space.name}")


def _predictions(table: LatencyTable, space: SearchSpace) -> TableCheck:
    """The stored predictions of validation nets and of those behind promises, in every session, against what the entries give."""
    again = [net for session in table.sessions for net in (*session.nets, *session.checks)]
    rows: list[BoundNet | CheckedNet] = [*table.checks, *table.bound_nets, *again]
    try:
        genes_AG = np.concatenate([space.from_json(row.arch) for row in rows]) if rows else np.zeros((0, space.num_genes), np.int16)
    except ArchError as error:
        return _check("predictions", "failed", f"a net is not of {space.name}", error.problems or (error.message,))
    predicted = table.to_cost_model(space, table.task)(genes_AG)
    stored = np.array([row.predicted_ms for row in rows], dtype=np.float64)
    wrong = [
        f"net {number}: {was:.6g} ms stored, {now:.6g} ms by the entries"
        for number, (was, now) in enumerate(zip(stored, predicted, strict=True), 1)
        if not abs(was / now - 1) <= EXACT  # nor is what cannot be predicted
    ]
    if wrong:
        return _check("predictions", "failed", f"{len(wrong)} of {len(rows)} stored predictions differ", _short(wrong))
    held_out = table.checks
    measured = np.array([row.measured_ms for row in held_out], dtype=np.float64)
    mape, stated = float(np.abs(stored[: len(held_out)] / measured - 1).mean()) if held_out else None, table.validation.mape
    if mape is not None and (stated is None or abs(mape - stated) > EXACT):
        return _check("predictions", "failed", f"the error of its rows is {mape:.4g}, not {stated!r}")
    return _check("predictions", "passed", f"{len(rows)} stored predictions are what the entries give")


def _short(problems: Sequence[str]) -> tuple[str, ...]:
    more = (f"and {len(problems) - MAX_NAMED} more",) if len(problems) > MAX_NAMED else ()
    return (*problems[:MAX_NAMED], *more)
