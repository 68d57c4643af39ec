"""Later sessions of a table: which of its nets are timed again, and what another table says of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from edgenas.errors import GateError, LatencyTableError
from edgenas.latency.fit import APART_H
from edgenas.latency.table.compare import differences
from edgenas.latency.table.drift import SAME_SPEED
from edgenas.latency.table.moments import moment_of
from edgenas.latency.table.remarks import machine_remarks
from edgenas.latency.table.table import LatencyTable
from edgenas.records import UNSEEN, BoundNet, CheckedNet, ReferenceCalls, TableSession

FEWEST = 8  # nets behind the bound in a session, where the table has as many

Net = TypeVar("Net", BoundNet, CheckedNet)

SLOWER = "close other programs and measure again; where it stays so, make a new table with `edgenas profile`"
FASTER = "the table was measured while the machine was slower: make a new one with `edgenas profile`"


def nets_again(table: LatencyTable, num: int) -> tuple[list[BoundNet], list[CheckedNet]]:
    """The table's bound nets and validation nets, or ``num`` of them, evenly over predicted time: the same for the same number."""
    bound, checks = table.bound_nets, table.checks
    total = len(bound) + len(checks)
    num_bound = min(len(bound), max(FEWEST, round(num * len(bound) / max(1, total))))
    return _evenly(bound, num_bound), _evenly(checks, min(len(checks), max(0, num - num_bound)))


def _evenly(nets: Sequence[Net], num: int) -> list[Net]:
    ordered = sorted(nets, key=lambda net: net.predicted_ms)
    return [ordered[place] for place in np.unique(np.linspace(0, len(ordered) - 1, num).round().astype(int))]


def with_session(table: LatencyTable, session: TableSession) -> LatencyTable:
    """The table with one session more.

    Raises:
        GateError: if the machine ran at another speed than a table holds for: that is no other day of the same machine.
    """
    speed = session.speed
    if not 1 / (1 + SAME_SPEED) <= speed <= 1 + SAME_SPEED:
        seen = list(machine_remarks([session.machine], table.context.threads))
        raise GateError(
            f"the machine took {speed:.2f} times as long as when the table was measured, too far for a session of it",
            problems=seen if speed > 1 else (),
            hint=SLOWER if speed > 1 else FASTER,
        )
    return replace(table, sessions=(*table.sessions, session))


def session_of(table: LatencyTable, later: LatencyTable) -> TableSession:
    """What a table that was measured later with the same nets (a kit's second measurement) says of the nets of the first.

    Raises:
        LatencyTableError: naming every difference of their contexts that forbids it; if they are one table, or share too few nets.
    """
    if later.sha256 == table.sha256 or later.measuring.date in dates(table):
        raise LatencyTableError("these measurements are in the table already", hint="measure at another hour or day")
    problems = [str(difference) for difference in differences(table, later) if difference.weight == "refused"]
    if problems:
        raise LatencyTableError("a session of another context is no session of the table", problems=problems)
    nets, checks = _shared(table.bound_nets, later.bound_nets), _shared(table.checks, later.checks)
    if len(nets) < max(1, min(FEWEST, len(table.bound_nets))):
        hint = "measure with the settings and the seed of the table"
        raise LatencyTableError(f"the measurements share {len(nets)} nets behind bounds with the table", hint=hint)
    measuring, reference = later.measuring, later.reference
    return TableSession(
        date=measuring.date,
        seconds=measuring.seconds,
        visits=2 * measuring.visits,
        runs_per_visit=measuring.runs_per_visit,
        runtime_version=later.context.runtime_version,
        speed=reference.p50_ms / table.level_ms,
        reference=ReferenceCalls(
            p50_ms=reference.p50_ms, p90_ms=reference.p90_ms, p95_ms=reference.p95_ms, p99_ms=reference.p99_ms, n=reference.n
        ),
        machine=(measuring.machine or (UNSEEN,))[-1],
        details=dict(later.context.details),
        nets=nets,
        checks=checks,
    )


def _shared(rows: Sequence[Net], later: Sequence[Net]) -> tuple[BoundNet, ...]:
    """The later rows of nets that the earlier have, as the first table predicts them.

    Raises:
        LatencyTableError: if a row does not say how long its slow calls took.
    """
    mine = {json.dumps(row.arch): row for row in rows}
    return tuple(_again(mine[key], row) for row in later if (key := json.dumps(row.arch)) in mine)


def _again(own: BoundNet | CheckedNet, later: BoundNet | CheckedNet) -> BoundNet:
    p50_ms, p90_ms, p95_ms, p99_ms, num = later.p50_ms, later.p90_ms, later.p95_ms, later.p99_ms, later.n
    if p50_ms is None or p90_ms is None or p95_ms is None or p99_ms is None or num is None:
        raise LatencyTableError("these measurements do not say how long slow calls took", hint="measure again with this edgenas")
    return BoundNet(
        arch=own.arch,
        predicted_ms=own.predicted_ms,
        measured_ms=later.measured_ms,
        p50_ms=p50_ms,
        p90_ms=p90_ms,
        p95_ms=p95_ms,
        p99_ms=p99_ms,
        n=num,
    )


def dates(table: LatencyTable) -> tuple[str, ...]:
    """When its sessions were, the table's own first."""
    return (table.measuring.date, *(session.date for session in table.sessions))


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
    yield from machine_remarks([last.machine], table.context.threads)
    yield f"the machine took {last.speed:.3f} times as long as when the table was measured, by the reference net"
