"""`edgenas profile --again`: another session of a latency table, at another hour or on another day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgenas.config import Flags
from edgenas.errors import LatencyTableError, MissingInputError
from edgenas.latency import LatencyTable, ProfileResult, find_tables, one_context, shipped_tables
from edgenas.latency.kit import read_results, table_of
from edgenas.latency.measuring import device_of, is_elsewhere, is_usual, uses_all_cores
from edgenas.latency.profiling import AGAIN_SECONDS, measure_again
from edgenas.latency.table import Fitting, session_of, session_remarks, with_session
from edgenas.latency.timing import fps_of
from edgenas.project.of_table import open_table, runtime_of, session_facts, workshop_of
from edgenas.project.opening import open_images, open_project
from edgenas.project.searching.ray_workers import Workers
from edgenas.project.searching.tracing_workers import helpers_of
from edgenas.records import ProfileAnswer
from edgenas.runs import Note, Outcome, Progress, Record, RunFolder, jsonable, locked


@dataclass(frozen=True, slots=True)
class AgainConfig:
    """What `edgenas profile --again` was asked for.

    Attributes:
        run: whose table gets a session, and whose traced components are used.
        table: name or file of another; None takes the run's.
        flags: settings given on the command line: which of the run's tables, and ``budget_min``.
        overrides: likewise.
        results: of a kit that was measured once more; None times the nets here.
        workers: processes that trace what was never traced, before anything is timed; None is this one.
    """

    run: Path
    table: str | None
    flags: Flags
    overrides: tuple[str, ...]
    results: Path | None = None
    workers: Workers | None = None


def run(config: AgainConfig) -> Iterator[Record]:
    """Time the table's nets again, or read what a kit timed, and add that as a session.

    A table that comes with edgenas is copied into the run folder.

    Raises:
        MissingInputError: if the run has no table of this device.
        LatencyTableError: if it is damaged, of another device or version of the runtime, a kit's, or has no nets behind bounds.
        MissingBackendError: if its runtime does not work here.
        GateError: if the machine runs at another speed than a table holds for; the table stays as it is.
    """
    if config.results is not None:
        yield from _imported(config, config.results)
        return
    name = config.table if config.table is not None else str(_own_table(config))
    path, table, space = open_table(config.run, name)
    if is_elsewhere(table):
        hint = "measure there once more with a fresh copy of the kit, then `edgenas profile --import RESULTS.json --again`"
        raise LatencyTableError(f"{path} is of {table.context.device}, measured by a kit", hint=hint)
    budget_min = config.flags.get("profile", {}).get("budget_min")
    runtime = runtime_of(table)
    helpers = yield from helpers_of(config.workers, runtime)
    with workshop_of(config.run, table, space, runtime, helpers) as shop:
        target = shop.target(table.context.threads, fps_of(table.context.scope))
        session = yield from measure_again(
            table,
            space,
            target,
            shop.build,
            rng=np.random.default_rng(len(table.sessions) + 1),
            seconds=AGAIN_SECONDS if budget_min is None else 60.0 * budget_min,
            prepare=shop.prepare_chains,
        )
        longer = with_session(table, session)
        written = _write(config.run, path, longer)
    yield from _told(longer)
    yield _answer(config.run, written, longer)


def _imported(config: AgainConfig, results: Path) -> Iterator[Record]:
    """Add what a kit measured once more to the table of its first measurement.

    Raises:
        MissingInputError: if the run has no table of that device and kit.
        LatencyTableError: if the results cannot be used, or as `table.session_of`.
    """
    project = open_project(config.run, config.flags, config.overrides)
    images = open_images(project)
    later: LatencyTable | None = None
    for record in table_of(read_results(results, project.space, images.task), details={}):
        if isinstance(record, ProfileResult):
            later = record.table
        elif isinstance(record, Progress) or record.is_warning:
            yield record
    assert later is not None
    with locked(project.run):
        path, table, _ = open_table(config.run, config.table if config.table is not None else str(_first_of(project.run, later)))
        longer = with_session(table, session_of(table, later))
        written = _write(config.run, path, longer)
    yield from _told(longer)
    yield _answer(config.run, written, longer)


def _first_of(run: RunFolder, later: LatencyTable) -> Path:
    """The run's table of a kit's first measurement."""
    for path in find_tables(run.latency):
        table = LatencyTable.load(path)
        if table.context.key == later.context.key and table.space == later.space:
            return path
    hint = "import the first results without --again"
    raise MissingInputError(f"{run.latency} holds no table of {later.context}", hint=hint)


def _own_table(config: AgainConfig) -> Path:
    """The run's table of this device and of what the settings ask for."""
    project = open_project(config.run, config.flags, config.overrides)
    settings = project.settings.profile
    asked = {name: getattr(settings, name) for name in ("runtime", "precision", "batch_size", "threads")}
    fitting = []
    for path in find_tables(project.run.latency):
        table = LatencyTable.load(path)
        same = all(value is None or getattr(table.context, name) == value for name, value in asked.items())
        if same and table.space == project.space.name and table.context.device == device_of(table):
            fitting.append(Fitting(path, table, ()))
    if not fitting:
        hint = "run `edgenas profile` first, or name one with --table"
        raise MissingInputError(f"{project.run.latency} holds no latency table of this device that fits", hint=hint)
    return one_context(fitting, is_usual, uses_all_cores).path


def _write(run: Path, path: Path, table: LatencyTable) -> Path:
    """Where the table was, or in the run folder where it came with edgenas."""
    written = RunFolder(run).latency / path.name if path in shipped_tables().values() else path
    table.write(written)
    return written


def _told(table: LatencyTable) -> Iterator[Note]:
    for text in session_remarks(table):
        yield Note(text)


def _answer(run: Path, path: Path, table: LatencyTable) -> Outcome[ProfileAnswer]:
    session, where = table.sessions[-1], RunFolder(run).relative(path)
    answer = ProfileAnswer.from_json(
        jsonable(
            {
                "table": where,
                "table_sha256": table.sha256,
                "context": table.context.as_json(),
                "num_entries": len(table.entries),
                "num_nets_timed": len(session.nets) + len(session.checks),
                "seconds": session.seconds,
                "validation": table.validation,
                "promises": [bound.as_json() for bound in table.promise.bounds()],
                "sessions": [facts.as_json() for facts in session_facts(table)],
            }
        )
    )
    return Outcome(answer, {"table": path})
