"""Another session of a table: nets that fitted nothing, timed once more at another hour or on another day."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from edgenas import __version__
from edgenas.errors import LatencyTableError
from edgenas.latency.nets import Chain, components_of, reference_net
from edgenas.latency.profiling.rows import bound_net, quantiles_ms
from edgenas.latency.profiling.visits import SourceBuilder, soak_device
from edgenas.latency.table import LatencyTable, nets_again, same_timing
from edgenas.latency.timing import Session, Target, context_of, probe_visit, time_nets
from edgenas.portable.budget import round_seconds
from edgenas.portable.memory import Forgetful
from edgenas.records import BoundNet, CheckedNet, ReferenceCalls, TableSession
from edgenas.runs import Note, Progress
from edgenas.spaces import SearchSpace

AGAIN_SECONDS = 300.0  # that a session takes unless somebody says otherwise
FEWEST = 12  # nets that are timed whatever the budget


def measure_again(
    table: LatencyTable,
    space: SearchSpace,
    target: Target,
    build: SourceBuilder,
    *,
    rng: np.random.Generator,
    seconds: float = AGAIN_SECONDS,
    prepare: Callable[[Sequence[Chain]], Iterator[Progress]] | None = None,
) -> Generator[Progress | Note, None, TableSession]:
    """Time the nets behind a table's bound and its validation nets once more, as often as they were timed, and describe it.

    Where they would take longer than ``seconds`` fewer nets are timed, not fewer calls: quantiles of fewer calls are others.

    Args:
        table: with nets behind a bound.
        space: of the table.
        target: runtime and input as the table's.
        build: makes what the runtime loads from a chain of components.
        rng: draws orders.
        seconds: that timing may take.
        prepare: called with chains before one of them is built, to trace what is missing.

    Returns:
        The session, as `table.with_session` takes it.

    Raises:
        LatencyTableError: if the table has no nets behind a bound, or is of another version of the runtime.
        MissingBackendError, ExportError: as `profile`.
    """
    if not table.bound_nets:
        raise LatencyTableError("the table has no nets behind bounds", hint="measure it anew with profile.bound_nets=40")
    timing = replace(same_timing(table), visits=2 * same_timing(table).visits)  # theirs were timed in two parts
    if prepare is not None:
        yield from prepare([reference_net(space, table.task)])
    reference = build(reference_net(space, table.task))
    round_s = round_seconds(1, timing.reference_every, probe_visit(target, reference, timing))
    total = len(table.bound_nets) + len(table.checks)
    nets, checks = nets_again(table, min(total, max(FEWEST, int(seconds / (timing.visits * round_s)))))
    timed: list[BoundNet | CheckedNet] = [*nets, *checks]
    num = len(timed)
    part = f"{num} of {total} nets" if num < total else f"{num} nets"
    yield Note(f"timing {part} again, {timing.visits} visits each: about {num * timing.visits * round_s:.0f} s")
    chains = [components_of(space, space.from_json(net.arch)[0], table.task) for net in timed]
    if prepare is not None:
        yield from prepare(chains)
    soak = table.context.details.get("soak") or {}
    yield from soak_device(target, reference, float(soak.get("seconds", 0.0)), Forgetful(), is_here=True)
    began = datetime.now(UTC).isoformat(timespec="seconds")
    session = yield from _timed(time_nets(target, [build(chain) for chain in chains], reference, timing, rng=rng))
    for warning in table.require_matches(space=space, task=table.task, runtime_version=session.info.runtime_version):
        yield Note(warning, is_warning=True)
    return _described(table, session, nets, checks, began, timing.visits)


def _timed(records: Iterator[Progress | Session]) -> Generator[Progress, None, Session]:
    for record in records:
        if isinstance(record, Session):
            return record
        yield record
    raise AssertionError("a series of rounds ends with its session")


def _described(
    table: LatencyTable, session: Session, nets: Sequence[BoundNet], checks: Sequence[CheckedNet], began: str, visits: int
) -> TableSession:
    level_ms = table.level_ms
    timed: list[BoundNet | CheckedNet] = [*nets, *checks]
    rows = [
        bound_net(net.arch, net.predicted_ms, timing.relative * level_ms, timing)
        for net, timing in zip(timed, session.timings, strict=True)
    ]
    calls = session.reference
    return TableSession(
        date=began,
        seconds=session.seconds,
        visits=visits,
        runs_per_visit=session.num_runs,
        runtime_version=session.info.runtime_version,
        speed=calls.median_ms / level_ms,
        reference=ReferenceCalls(**quantiles_ms(calls)._asdict(), n=calls.num_runs),
        machine=session.machine,
        details={**context_of(session.info).details, "edgenas": __version__},
        nets=tuple(rows[: len(nets)]),
        checks=tuple(rows[len(nets) :]),
    )
