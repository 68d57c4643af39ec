"""Later sessions of a table: which of its nets are timed again, and what another table says of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgenas.errors import GateError, LatencyTableError
from edgenas.latency.fit import APART_H
from edgenas.latency.table.compare import differences
from edgenas.latency.table.content import QUANTILE_KEYS, moment_of
from edgenas.latency.table.drift import SAME_SPEED
from edgenas.latency.table.remarks import machine_remarks
from edgenas.latency.table.table import LatencyTable

FEWEST = 8  # nets behind the bound in a session, where the table has as many

Rows = Sequence[Mapping[str, Any]]

SLOWER = "close other programs and measure again; where it stays so, make a new table with `edgenas profile`"
FASTER = "the table was measured while the machine was slower: make a new one with `edgenas profile`"


def nets_again(table: LatencyTable, num: int) -> tuple[Rows, Rows]:
    """The table's bound nets and validation nets, or ``num`` of them, evenly over predicted time: the same for the same number."""
    bound, checks = table.bound_nets, table.checks
    total = len(bound) + len(checks)
    num_bound = min(len(bound), max(FEWEST, round(num * len(bound) / max(1, total))))
    return _evenly(bound, num_bound), _evenly(checks, min(len(checks), max(0, num - num_bound)))


def _evenly(rows: Rows, num: int) -> Rows:
    ordered = sorted(rows, key=lambda row: float(row["predicted_ms"]))
    return [ordered[place] for place in np.unique(np.linspace(0, len(ordered) - 1, num).round().astype(int))]


def with_session(table: LatencyTable, session: Mapping[str, Any]) -> LatencyTable:
    """The table with one session more.

    Raises:
        GateError: if the machine ran at another speed than a table holds for: that is no other day of the same machine.
    """
    speed = float(session["speed"])
    if not 1 / (1 + SAME_SPEED) <= speed <= 1 + SAME_SPEED:
        seen = list(machine_remarks([session["machine"]], table.context.threads))
        raise GateError(
            f"the machine took {speed:.2f} times as long as when the table was measured, too far for a session of it",
            problems=seen if speed > 1 else (),
            hint=SLOWER if speed > 1 else FASTER,
        )
    return replace(table, sessions=(*table.sessions, dict(session)))


def session_of(table: LatencyTable, later: LatencyTable) -> dict[str, Any]:
    """What a table that was measured later with the same nets (a kit's second measurement) says of the nets of the first.

    Raises:
        LatencyTableError: naming every difference of their contexts that forbids it; if they are one table, or share too few nets.
    """
    if later.sha256 == table.sha256 or later.measuring["date"] in dates(table):
        raise LatencyTableError("these measurements are in the table already", hint="measure at another hour or day")
    problems = [str(difference) for difference in differences(table, later) if difference.weight == "refused"]
    if problems:
        raise LatencyTableError("a session of another context is no session of the table", problems=problems)
    nets, checks = _shared(table.bound_nets, later.bound_nets), _shared(table.checks, later.checks)
    if len(nets) < max(1, min(FEWEST, len(table.bound_nets))):
        hint = "measure with the settings and the seed of the table"
        raise LatencyTableError(f"the measurements share {len(nets)} nets behind bounds with the table", hint=hint)
    measuring = later.measuring
    return {
        "date": measuring["date"],
        "seconds": measuring["seconds"],
        "visits": 2 * measuring["visits"],
        "runs_per_visit": measuring["runs_per_visit"],
        "runtime_version": later.context.runtime_version,
        "speed": later.reference["p50_ms"] / table.level_ms,
        "reference": {name: later.reference.get(name) for name in (*QUANTILE_KEYS, "n")},
        "machine": dict((measuring.get("machine") or [{}])[-1]),
        "details": dict(later.context.details),
        "nets": nets,
        "checks": checks,
    }


def _shared(rows: Rows, later: Rows) -> list[dict[str, Any]]:
    """The later rows of nets that the earlier have, as the first table predicts them."""
    mine = {json.dumps(row["arch"]): row for row in rows}
    names = ("measured_ms", *QUANTILE_KEYS, "n")
    shared = [(mine[key], row) for row in later if (key := json.dumps(row["arch"])) in mine]
    return [
        {"arch": own["arch"], "predicted_ms": own["predicted_ms"], **{name: row[name] for name in names}} for own, row in shared
    ]


def dates(table: LatencyTable) -> tuple[str, ...]:
    """When its sessions were, the table's own first."""
    return (str(table.measuring["date"]), *(str(session["date"]) for session in table.sessions))


def session_remarks(table: LatencyTable) -> Iterator[str]:
    """What to know of the last session: how near it was to another, what disturbed it, how much faster or slower it was."""
    moments = [moment for text in dates(table) if (moment := moment_of(text)) is not None]
    last = table.sessions[-1]
    hours = [abs((moments[-1] - other).total_seconds()) / 3600 for other in moments[:-1]]
    if hours and min(hours) < APART_H:
        yield (
            f"a session was {60 * min(hours):.0f} min ago: sessions of one hour count as one, as slow as the slowest of them; "
            "sessions hours or days apart say what these differ by"
        )
    yield from machine_remarks([last["machine"]], table.context.threads)
    yield f"the machine took {last['speed']:.3f} times as long as when the table was measured, by the reference net"
