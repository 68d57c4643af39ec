"""What the file of a latency table says that cannot be, though every type is right: figures beyond all devices, shares beyond 1, an
error that its own rows do not have. A hash that fits shows only that nobody changed the file by mistake.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from edgenas.latency.fit import figures_of
from edgenas.latency.table.content import FIGURES, MACHINE, Claims

MAX_MS = 1e8  # of one call: more than a day
MAX_NUM = 10**9  # of calls, images, classes, seconds
MAX_FACTOR = 1e3  # between a sum of parts and the whole, in either direction
MAX_TEXT = 256  # characters of a name
SMALL = {"batch_size": 4096, "threads": 4096, "num_classes": 10**6, "in_channels": 1024, "image_px": 8192}
QUANTILES = ("min_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms")
EXACT = 1e-6  # difference between a stated figure and the one that its rows give


def implausible(table: Claims) -> Iterator[str]:
    """A line for each thing that no measurement gives, in a table whose types are right."""
    context, calibration = table.context, table.calibration
    texts = (context.device, context.device_kind, context.runtime, context.runtime_version, context.precision, context.scope)
    if any(len(text) > MAX_TEXT or not text for text in (*texts, table.space)):
        yield f"a name of device, runtime or space is empty or has more than {MAX_TEXT} characters"
    small = {"batch_size": context.batch_size, "threads": context.threads or 1, "num_classes": table.task.num_classes}
    small |= {"in_channels": table.task.in_channels, "image_px": table.task.image_px}
    for name, value in small.items():
        if value > SMALL[name]:
            yield f"{name} is {value!r:.40}, expected at most {SMALL[name]}"
    for name in ("scale", "upper_factor"):
        if not 1 / MAX_FACTOR <= getattr(calibration, name) <= MAX_FACTOR:
            yield f"calibration: {name} is {getattr(calibration, name):g}, expected {1 / MAX_FACTOR:g} to {MAX_FACTOR:g}"
    yield from _times("calibration", {"offset_ms": calibration.offset_ms, "weights_ms": calibration.weights_ms})
    yield from _counts("calibration", {"num_nets": calibration.num_nets, "num_bound_nets": calibration.num_bound_nets})
    for number, entry in enumerate(table.entries, 1):
        yield from _times(f"entry {number}", {"ms": entry.ms, "raw_ms": entry.raw_ms})
        yield from _counts(f"entry {number}", {"n": entry.n, "mad_ms": entry.mad_ms})
    yield from _net("reference", table.reference)
    for name, rows in (("validation: row", table.validation["rows"]), ("bound net", table.bound_nets)):
        for number, row in enumerate(rows, 1):
            yield from _net(f"{name} {number}", row)
    yield from _figures(table.validation)
    yield from _session("measuring", table.measuring)
    for number, session in enumerate(table.sessions, 2):
        yield from _session(f"session {number}", session)
    yield from interval_problems("promise: bound", table.bounds)


def _times(owner: str, values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        if value is not None and not (_is_number(value) and abs(value) <= MAX_MS):
            yield f"{owner}: {name} is {value!r:.40}, expected milliseconds up to {MAX_MS:g}"


def _counts(owner: str, values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        if value is not None and not (_is_number(value) and 0 <= value <= MAX_NUM):
            yield f"{owner}: {name} is {value!r:.40}, expected 0 to {MAX_NUM:.0e}"


def _net(owner: str, row: Mapping[str, Any]) -> Iterator[str]:
    """Times of one net: none is endless, and quantiles do not fall."""
    times = {name: value for name, value in row.items() if name.endswith("_ms")}
    yield from _counts(owner, {**times, "n": row.get("n"), "variation": row.get("variation")})
    known = [(name, row[name]) for name in QUANTILES if _is_number(row.get(name))]
    for (name, value), (after, larger) in pairwise(known):
        if value > larger * (1 + EXACT):
            yield f"{owner}: {name} is {value:g}, which is more than {after}, {larger:g}"


def _figures(validation: Mapping[str, Any]) -> Iterator[str]:
    """The stated error against that of the rows, and shares beyond 1."""
    rows: Sequence[Mapping[str, Any]] = validation["rows"]
    predicted, measured = (np.array([row[key] for row in rows], dtype=np.float64) for key in ("predicted_ms", "measured_ms"))
    figures = figures_of(predicted, measured)
    for name in ("num_subnets", "mape", *FIGURES[1:]):
        stated, given = validation.get(name), getattr(figures, name)
        if stated is not None and not math.isnan(given) and abs(stated - given) > EXACT:
            yield f"validation: {name} is {stated:g}, its rows give {given:g}"
    yield from interval_problems("validation: intervals", validation.get("intervals", {}))
    floor = validation.get("noise_floor_mape")
    if floor is not None and floor > MAX_FACTOR:
        yield f"validation: noise_floor_mape is {floor:g}"


def interval_problems(owner: str, value: Any) -> Iterator[str]:
    """Intervals within ``value`` whose figure lies outside of them, and numbers in it that are none."""
    if isinstance(value, Mapping):
        if {"value", "low", "high", "n"} <= set(value):
            yield from _interval(owner, value)
            return
        for name, each in value.items():
            yield from interval_problems(f"{owner}: {name}", each)
    elif isinstance(value, list):
        for number, each in enumerate(value, 1):
            yield from interval_problems(f"{owner} {number}", each)
    elif not (value is None or isinstance(value, str | bool)) and not (_is_number(value) and 0 <= value <= MAX_NUM):
        yield f"{owner} is {value!r:.40}"


def _interval(owner: str, value: Mapping[str, Any]) -> Iterator[str]:
    figures = [value[name] for name in ("low", "value", "high")]
    if figures[1] is None:  # of nothing
        return
    is_right = all(map(_is_number, (*figures, value["n"]))) and 0 <= value["n"] <= MAX_NUM
    if not is_right or any(before > after + EXACT for before, after in pairwise(figures)) or abs(figures[1]) > MAX_FACTOR:
        yield f"{owner} is {figures[1]!r:.20} [{figures[0]!r:.20}, {figures[2]!r:.20}] of {value['n']!r:.20}"


def _session(owner: str, session: Mapping[str, Any]) -> Iterator[str]:
    counts = {name: session.get(name) for name in ("visits", "runs_per_visit", "seconds", "warmup_ms", "speed", "num_nets")}
    yield from _counts(owner, counts)
    machines = session.get("machine", [])
    for number, seen in enumerate(machines if isinstance(machines, list) else [machines], 1):
        yield from _counts(f"{owner}: machine {number}", {name: seen.get(name) for name in MACHINE})
        steal = seen.get("steal_share")
        if steal is not None and not 0 <= steal <= 1:
            yield f"{owner}: machine {number}: steal_share is {steal!r:.40}, expected a share in [0, 1]"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
