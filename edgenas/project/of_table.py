"""What a latency table is of, here: its space, its sessions, its runtime on this device, and a workshop for its nets."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edgenas.deploy.contracts import Runtime
from edgenas.deploy.plugins import get_runtime
from edgenas.errors import LatencyTableError, MissingBackendError, UsageError
from edgenas.latency import LatencyTable, named_table
from edgenas.latency.measuring import Helpers, Workshop, device_name
from edgenas.project.measuring import graphs_of, workshop_in
from edgenas.records import BoundNet, SessionFacts
from edgenas.runs import RunFolder, locked
from edgenas.spaces import SearchSpace, get_space


def open_table(run: Path, name: str) -> tuple[Path, LatencyTable, SearchSpace]:
    """A table by name or file, with the space it is of.

    Raises:
        LatencyTableError: if there is none, it is damaged, or of a space that this edgenas does not know.
    """
    path = named_table(name, RunFolder(run).latency)
    table = LatencyTable.load(path)
    try:
        return path, table, get_space(table.space)
    except UsageError as error:
        raise LatencyTableError(f"{path} is of the space {table.space!r}, which this edgenas does not know") from error


def session_facts(table: LatencyTable) -> tuple[SessionFacts, ...]:
    """The sessions of a table, its own first."""
    measuring = table.measuring
    own = _facts(measuring.date, measuring.seconds, 1.0, table.bound_nets, len(table.checks))
    later = (_facts(each.date, each.seconds, each.speed, each.nets, len(each.checks)) for each in table.sessions)
    return (own, *later)


def _facts(date: str, seconds: float, speed: float, nets: Sequence[BoundNet], num_checks: int) -> SessionFacts:
    num_runs = min((net.n for net in nets), default=None)
    return SessionFacts(date=date, seconds=seconds, num_nets=len(nets), num_checks=num_checks, num_runs=num_runs, speed=speed)


def runtime_of(table: LatencyTable) -> Runtime:
    """The runtime that a table was measured with, on the device that it was measured on: this one.

    Raises:
        MissingBackendError: if the runtime does not work here.
        LatencyTableError: if the table is of another device.
    """
    context = table.context
    here = device_name(context.device_kind)
    try:
        runtime = get_runtime(context.runtime)
    except UsageError as error:
        raise MissingBackendError(error.message, hint=error.hint) from error
    probe = runtime.probe()
    if not probe.works:
        raise MissingBackendError(f"runtime {context.runtime} does not work here: {probe.reason}", hint=probe.fix)
    if context.device != here:
        hint = "measure there; `edgenas profile` measures this one"
        raise LatencyTableError(f"the table is of {context.device}, this device is {here}", hint=hint)
    return runtime


@contextmanager
def workshop_of(
    run: Path, table: LatencyTable, space: SearchSpace, runtime: Runtime, helpers: Helpers | None = None
) -> Iterator[Workshop]:
    """A workshop for a table's nets: in the run folder where there is one, so that traced components are found; else in one of
    the moment."""
    context, folder = table.context, RunFolder(run)
    opset, rewrites = graphs_of(context)
    with ExitStack() as stack:
        if folder.config.exists():
            stack.enter_context(locked(folder))
        else:
            folder = RunFolder(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgenas-"))))
        yield stack.enter_context(
            workshop_in(
                *(folder, space, table.task, runtime, context.precision, context.batch_size),
                opset=opset,
                rewrites=rewrites,
                helpers=helpers,
            )
        )
