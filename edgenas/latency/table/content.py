"""What in a latency table's content cannot be, whatever its space: wrong types, NaN, times below nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgenas.latency.fit import Calibration
from edgenas.latency.table.entries import Entry
from edgenas.latency.timing import Context
from edgenas.spaces import Task

NOT_BELOW = {"offset_ms": -math.inf, "weights_ms": 0.0, "num_bound_nets": 0.0}
ORIGINS = ("measured", "interpolated")
REFERENCE = ("p90_ms", "p99_ms", "p90_upper_ms", "p95_upper_ms", "p99_upper_ms", "mad_ms", "variation", "compute_ms", "n")
MACHINE = (
    *("seconds", "own_cores", "other_cores", "steal_share", "throttle_events", "load_average_before", "load_average_after"),
    *("cpu_quota", "quota_events"),
)
QUANTILE_KEYS = ("p50_ms", "p90_ms", "p95_ms", "p99_ms")
FIGURES = ("num_subnets", "within_5", "within_10", "p95_error", "kendall_tau", "bias")


@dataclass(frozen=True, slots=True)
class Claims:
    """What the file of a table says, before anything of it is believed: the types are claims, too.

    Attributes:
        context: where it was measured.
        task: classes, channels, resolution.
        space: name of the search space.
        space_sha256: hash of its choices.
        entries: costs before calibration.
        calibration: how sums of components become milliseconds.
        validation: how true predictions are.
        reference: the net that was returned to.
        measuring: how it was measured.
        bound_nets: nets that promises come from.
        bounds: what the file says of these.
        sessions: later ones.
    """

    context: Context
    task: Task
    space: str
    space_sha256: str
    entries: tuple[Entry, ...]
    calibration: Calibration
    validation: Any
    reference: Any
    measuring: Any
    bound_nets: tuple[Any, ...]
    bounds: Any
    sessions: tuple[Any, ...]

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Claims:
        """What the object of a file says.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: if it is none of a table.
        """
        promise = content.get("promise", {})
        return cls(
            context=Context(**content["context"]),
            task=Task(**content["task"]),
            space=content["space"]["name"],
            space_sha256=content["space"]["sha256"],
            entries=tuple(Entry(**(e | {"components": tuple(e["components"])})) for e in content["entries"]),
            calibration=Calibration(**content["calibration"]),
            validation=content["validation"],
            reference=content["reference"],
            measuring=content["measuring"],
            bound_nets=tuple(map(_with_level, promise.get("nets", ()))),
            bounds=promise.get("bounds", []),
            sessions=tuple(content.get("sessions", ())),
        )


def _with_level(net: Any) -> Any:
    """A net behind promises with the level that it measured; the first tables with such nets have its median alone."""
    lacks_level = isinstance(net, dict) and "measured_ms" not in net and "p50_ms" in net
    return {**net, "measured_ms": net["p50_ms"]} if lacks_level else net


def content_problems(table: Claims) -> list[str]:
    """Everything that is wrong with the numbers and types of a table."""
    problems = [*_context_problems(table)]
    confidence = table.calibration.confidence
    if not (_is_number(confidence) and 0 < confidence < 1):
        problems.append(f"calibration: confidence is {confidence!r}")
    problems += _numbers("calibration", _fields(table.calibration), {"scale": 0.0, "upper_factor": 0.0}, NOT_BELOW)
    for number, entry in enumerate(table.entries, 1):
        problems += _entry_problems(f"entry {number}", entry)
    if not table.entries:
        problems.append("there are no entries")
    positive = dict.fromkeys(("level_ms", "p50_ms", "p95_ms", "min_ms"), 0.0)
    problems += _numbers("reference", table.reference, positive, {})
    problems += _maybe_numbers("reference", table.reference, REFERENCE)
    components = table.reference.get("components", [])
    if not isinstance(components, list | tuple) or not all(isinstance(component, Mapping) for component in components):
        problems.append(f"reference: components is {components!r:.40}, expected a list of objects")
    problems += [*_measuring_problems(table.measuring), *_row_problems(table)]
    return problems or list(_session_problems(table))


def _context_problems(table: Claims) -> Iterator[str]:
    context = table.context
    for name in ("device", "device_kind", "runtime", "runtime_version", "precision", "scope"):
        if not isinstance(getattr(context, name), str):
            yield f"context: {name} is {getattr(context, name)!r}"
    for owner, name in (
        (context, "batch_size"),
        (table.task, "num_classes"),
        (table.task, "in_channels"),
        (table.task, "image_px"),
    ):
        value = getattr(owner, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            yield f"{name} is {value!r}"
    if not (context.threads is None or (isinstance(context.threads, int) and context.threads >= 1)):
        yield f"context: threads is {context.threads!r}"
    if not isinstance(table.space, str) or not isinstance(table.space_sha256, str):
        yield "space has no name or hash"
    if not isinstance(context.details, Mapping):
        yield "context: details is no object"
        return
    rewrites = context.details.get("rewrites", [])
    if not (isinstance(rewrites, list) and all(isinstance(name, str) for name in rewrites)):
        yield f"context: rewrites is {rewrites!r:.40}"


def _entry_problems(name: str, entry: Entry) -> Iterator[str]:
    if entry.origin not in ORIGINS:
        yield f"{name}: origin is {entry.origin!r}"
    if not entry.components or not all(isinstance(component, Mapping) for component in entry.components):
        yield f"{name} has no components"
    if not _is_number(entry.ms):  # noise may put a small difference below nothing
        yield f"{name}: ms is {entry.ms!r}"
    if entry.raw_ms is not None and not _is_number(entry.raw_ms):
        yield f"{name}: raw_ms is {entry.raw_ms!r}"
    if not isinstance(entry.n, int) or isinstance(entry.n, bool) or entry.n < (entry.origin == "measured"):
        yield f"{name}: n is {entry.n!r}"


def _row_problems(table: Claims) -> Iterator[str]:
    validation = table.validation
    rows = validation.get("rows") if isinstance(validation, Mapping) else None
    if not isinstance(rows, list):
        yield "validation has no rows"
        return
    for number, net in enumerate(table.bound_nets, 1):
        yield from _bound_net_problems(f"bound net {number}", net)
    positive = dict.fromkeys(("predicted_ms", "upper_ms", "measured_ms"), 0.0)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping) or not isinstance(row.get("arch"), Mapping):
            yield f"validation: row {number} has no arch"
        else:
            yield from _numbers(f"validation: row {number}", row, positive, {})
            yield from _maybe_numbers(f"validation: row {number}", row, (*QUANTILE_KEYS, "mad_ms", "min_ms", "n"))
    yield from _maybe_numbers("validation", validation, FIGURES)
    for name in ("mape", "noise_floor_mape"):
        if validation.get(name) is not None:
            yield from _numbers("validation", validation, {}, {name: 0.0})


def _bound_net_problems(name: str, net: Any) -> Iterator[str]:
    yield from _numbers(name, net, dict.fromkeys(("predicted_ms", "measured_ms", "n", *QUANTILE_KEYS), 0.0), {})
    if isinstance(net, Mapping) and not isinstance(net.get("arch"), Mapping):
        yield f"{name} has no arch"


def _session_problems(table: Claims) -> Iterator[str]:
    """What is wrong with later sessions of a table whose own nets are sound."""
    known = {"nets": table.bound_nets, "checks": table.validation["rows"]}
    of_table = {name: {json.dumps(row["arch"]) for row in rows} for name, rows in known.items()}
    for number, session in enumerate(table.sessions, 2):
        owner = f"session {number}"
        positive = dict.fromkeys(("visits", "runs_per_visit", "speed"), 0.0)
        yield from _numbers(owner, session, positive, {"seconds": 0.0})
        if not isinstance(session, Mapping):
            continue
        for name in ("date", "runtime_version"):
            if not isinstance(session.get(name), str):
                yield f"{owner}: {name} is {session.get(name)!r}"
        if not isinstance(session.get("machine"), Mapping) or not isinstance(session.get("details"), Mapping):
            yield f"{owner}: machine or details are no object"
        else:
            yield from machine_problems(f"machine in {owner}", session["machine"])
        for name, archs in of_table.items():
            yield from _nets_again_problems(f"{owner}: {name}", session.get(name), archs)
        if not session.get("nets"):
            yield f"{owner} has no nets behind bounds"


def _nets_again_problems(owner: str, rows: Any, archs: set[str]) -> Iterator[str]:
    if not isinstance(rows, list):
        yield f"{owner} are no list"
        return
    for number, net in enumerate(rows, 1):
        problems = list(_bound_net_problems(f"{owner} {number}", net))
        if not problems and json.dumps(net["arch"]) not in archs:
            problems = [f"{owner} {number} is no net of the table"]
        yield from problems


def _measuring_problems(measuring: Any) -> Iterator[str]:
    yield from _numbers("measuring", measuring, {"visits": 0.0, "runs_per_visit": 0.0}, {"seconds": 0.0, "warmup_ms": 0.0})
    if not isinstance(measuring, Mapping):
        return
    if not isinstance(measuring.get("date"), str):
        yield f"measuring: date is {measuring.get('date')!r}"
    for name in ("machine", "calibration_rows", "merged_from"):
        items = measuring.get(name, [])
        if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
            yield f"measuring: {name} is no list of objects"
            return
    for number, seen in enumerate(measuring.get("machine", []), 1):
        yield from machine_problems(f"machine in session {number}", seen)
    for number, row in enumerate(measuring.get("calibration_rows", []), 1):
        yield from _numbers(f"calibration net {number}", row, {"measured_ms": 0.0, "n": 0.0}, {})
        if not isinstance(row.get("arch"), Mapping):
            yield f"calibration net {number} has no arch"


def machine_problems(owner: str, seen: Mapping[str, Any]) -> Iterator[str]:
    """What cannot be in a summary of what else a machine did."""
    yield from _maybe_numbers(owner, seen, MACHINE)
    if seen:
        yield from _numbers(owner, seen, {"num_cores": 0.0}, {})
    gpu = seen.get("gpu")
    if gpu is not None and not isinstance(gpu, Mapping):
        yield f"{owner}: gpu is no object"
    lists = [("governors", seen.get("governors"))]
    lists += [("throttle_reasons", gpu.get("throttle_reasons"))] if isinstance(gpu, Mapping) else []
    for name, value in lists:
        if value is not None and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            yield f"{owner}: {name} is {value!r}"


def _maybe_numbers(owner: str, values: Any, names: Sequence[str]) -> Iterator[str]:
    """Values that are neither numbers nor unknown."""
    if isinstance(values, Mapping):
        for name in names:
            if values.get(name) is not None and not _is_number(values[name]):
                yield f"{owner}: {name} is {values[name]!r}"


def _numbers(owner: str, values: Any, above: Mapping[str, float], least: Mapping[str, float]) -> Iterator[str]:
    """Values that are no finite numbers above, or at least, a limit."""
    if not isinstance(values, Mapping):
        yield f"{owner} is no object"
        return
    for name in (*above, *least):
        value: Any = values.get(name)
        if not _is_number(value) or (value <= above[name] if name in above else value < least[name]):
            yield f"{owner}: {name} is {value!r}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}
