"""Which latency table a run rests on: named, the run's own, or the one that an earlier search rested on."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgenas.costs import CostModel
from edgenas.deploy.plugins import get_runtime
from edgenas.errors import LatencyTableError, RunFolderError, UsageError
from edgenas.latency import LatencyTable, find_tables, named_table, one_context, shipped_tables, tables_that_fit
from edgenas.latency.measuring import device_name
from edgenas.latency.timing import SCOPE, Duty, gpu_state, usable_cores
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
        fitting = tables_that_fit(paths, _device_of, **wanted)
        path, table, warnings = one_context(fitting, lambda each: _is_usual(each, project), _uses_all_cores)
    else:
        path = named_table(name, project.run.latency)
        table = LatencyTable.load(path)
        if path.resolve().parent != project.run.latency.resolve():  # naming one of the run's own is choosing it
            wanted |= {key: value for key, value in _usual(project, table).items() if wanted[key] is None}
        warnings = table.require_matches(name=str(path), device=_device_of(table), **wanted)
    warnings += version_changes(path, table, project.space, allow_foreign=allow_foreign)
    return as_run_table(project, task, path, table, warnings)


def run_table(project: Project, task: Task, sha256: str | None = None) -> RunTable | None:
    """The table of this hash, which a search rested on, where it still is; else the run's that fits; None without any."""
    for path in (*find_tables(project.run.latency), *shipped_tables().values()) if sha256 is not None else ():
        with suppress(LatencyTableError, RunFolderError):  # a damaged one is not the one
            if sha256 == read_json(path).get("sha256"):
                table = LatencyTable.load(path)
                warnings = table.require_matches(space=project.space, task=task, name=str(path))
                return as_run_table(project, task, path, table, warnings)
    try:
        return find_table(project, task, None)
    except LatencyTableError:
        return None


def as_run_table(project: Project, task: Task, path: Path, table: LatencyTable, warnings: tuple[str, ...]) -> RunTable:
    """A table that fits, with its cost models."""
    return RunTable(path, table, table.to_cost_model(project.space, task), table.upper(project.space, task), warnings)


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


def _usual(project: Project, table: LatencyTable) -> dict[str, Any]:
    """What a table is of unless somebody asks otherwise; a kit is brought to a device because its ways are other ones."""
    if "kit" in table.context.details:
        return {}
    runtime = CPU_RUNTIME if table.context.device_kind == "cpu" else None
    return {"runtime": runtime, "precision": "fp32", "batch_size": 1, "scope": SCOPE}


def _is_usual(table: LatencyTable, project: Project) -> bool:
    """Whether a table is of this device, used as usual."""
    usual = _usual(project, table)
    return bool(usual) and all(value is None or getattr(table.context, key) == value for key, value in usual.items())


def _uses_all_cores(table: LatencyTable) -> bool:
    return table.context.threads in (None, len(usable_cores()))


def version_changes(path: Path, table: LatencyTable, space: SearchSpace, *, allow_foreign: bool = False) -> tuple[str, ...]:
    """Versions of runtime and driver that are not what they were; a runtime that does not work here has none.

    What is here says nothing about a device that a kit was brought to.

    Raises:
        LatencyTableError: for another major or minor version of the runtime.
    """
    if is_elsewhere(table):
        return ()
    here = _version_here(table.context.runtime)
    warnings = table.require_matches(
        space=space, task=table.task, runtime_version=here, allow_foreign=allow_foreign, name=str(path)
    )
    was = (table.context.details.get("gpu") or {}).get("driver")
    now = gpu_state().get("driver") if was is not None else None
    if now is not None and now != was:
        warnings += (f"{path} was measured with driver {was}, here is {now}",)
    return warnings


@cache
def _version_here(name: str) -> str | None:
    try:
        probe = get_runtime(name).probe()
    except UsageError:
        return None
    return probe.version if probe.works else None


def is_here(table: LatencyTable) -> bool:
    """Whether a table is of this machine's device."""
    return table.context.device == device_name(table.context.device_kind)


def is_elsewhere(table: LatencyTable) -> bool:
    """Whether a table is of a device that a kit was brought to, and not of this one."""
    return "kit" in table.context.details and not is_here(table)


def _device_of(table: LatencyTable) -> str:
    """The device that a table would have to be of: the one here, or the one that a kit was brought to."""
    if "kit" in table.context.details:
        return table.context.device
    return device_name(table.context.device_kind)
