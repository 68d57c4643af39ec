"""Which latency table a run rests on: named, the run's own, or the one that an earlier search rested on."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgenas.costs import CostModel
from edgenas.errors import LatencyTableError, RunFolderError
from edgenas.latency import LatencyTable, find_tables, named_table, one_context, shipped_tables, tables_that_fit
from edgenas.latency.measuring import device_of, is_usual, uses_all_cores, usual, version_changes
from edgenas.latency.table import require_sound
from edgenas.latency.timing import Duty
from edgenas.project.opening import Project
from edgenas.records import TableFacts
from edgenas.runs import read_json
from edgenas.spaces import SearchSpace, Task

CPU_RUNTIME = "onnxruntime-cpu"


@dataclass(frozen=True, slots=True)
class RunTable:
    """A latency table that fits this run."""

    path: Path
    table: LatencyTable
    predicted: CostModel
    upper: CostModel
    warnings: tuple[str, ...]

    @property
    def facts(self) -> TableFacts:
        """What results say of the table they rest on."""
        context = self.table.context
        return TableFacts(
            path=self.path.name,
            sha256=self.table.sha256,
            device=context.device,
            runtime=context.runtime,
            precision=context.precision,
            batch_size=context.batch_size,
        )


def find_table(project: Project, task: Task, name: str | None, *, allow_foreign: bool = False) -> RunTable | None:
    """The table called ``name`` (a file or one that comes with edgenas), else the run's that fits; None without any.

    Raises:
        LatencyTableError: if there are tables, but none that fits and is allowed, or several of different contexts.
    """
    wanted = _asked_for(project, task) | {"allow_foreign": allow_foreign}
    if name is None:
        paths = find_tables(project.run.latency)
        if not paths:
            return None
        fitting = tables_that_fit(paths, device_of, **wanted)
        path, table, warnings = one_context(fitting, is_usual, uses_all_cores)
    else:
        path = named_table(name, project.run.latency)
        table = LatencyTable.load(path)
        if path.resolve().parent != project.run.latency.resolve():  # naming one of the run's own is choosing it
            wanted |= {key: value for key, value in usual(table).items() if wanted[key] is None}
        warnings = table.require_matches(name=str(path), device=device_of(table), **wanted)
    warnings += version_changes(path, table, project.space, allow_foreign=allow_foreign)
    return as_run_table(project.space, task, path, table, warnings)


def run_table(project: Project, task: Task, sha256: str | None = None) -> RunTable | None:
    """The table of this hash, which a search rested on, where it still is; else the run's that fits; None without any."""
    for path in (*find_tables(project.run.latency), *shipped_tables().values()) if sha256 is not None else ():
        with suppress(LatencyTableError, RunFolderError):  # a damaged one is not the one
            if sha256 == read_json(path).get("sha256"):
                table = LatencyTable.load(path)
                warnings = table.require_matches(space=project.space, task=task, name=str(path))
                return as_run_table(project.space, task, path, table, warnings)
    try:
        return find_table(project, task, None)
    except LatencyTableError:
        return None


def as_run_table(space: SearchSpace, task: Task, path: Path, table: LatencyTable, warnings: tuple[str, ...]) -> RunTable:
    """A table that fits, with its cost models.

    Raises:
        LatencyTableError: if its entries do not give the predictions that it was validated with.
    """
    require_sound(path, table, space)
    return RunTable(path, table, table.to_cost_model(space, task), table.upper(space, task), warnings)


def _asked_for(project: Project, task: Task) -> dict[str, Any]:
    """What a table must be of: space and task, and what the settings say; None where they say nothing."""
    settings = project.settings.profile
    duty = Duty(settings.fps, settings.soak_min * 60)
    return {
        "space": project.space,
        "task": task,
        "runtime": settings.runtime,
        "precision": settings.precision,
        "batch_size": settings.batch_size,
        "threads": settings.threads,
        "scope": duty.scope() if duty != Duty() else None,
    }
