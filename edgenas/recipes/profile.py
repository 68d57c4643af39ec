"""`edgenas profile`: measure the device with the runtime that will ship. Tables are found and used from here too."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edgenas import __version__
from edgenas.costs import CostModel
from edgenas.deploy.contracts import Runtime
from edgenas.deploy.plugins import get_runtime
from edgenas.errors import LatencyTableError, MissingBackendError, UsageError
from edgenas.latency import LatencyTable, Memory, ProfileResult, find_tables, named_table, newest_that_fits, profile
from edgenas.latency.context import gpu_state
from edgenas.latency.duty import Duty
from edgenas.latency.table import space_hash
from edgenas.recipes.journals import JOURNAL, journal
from edgenas.recipes.kit import import_results, pack
from edgenas.recipes.project import Project, open_images, open_project
from edgenas.recipes.timed_nets import Measured, Workshop, best_cuda_runtime, device_name, measure, timing_settings
from edgenas.runs import Note, Outcome, Progress, Record, locked
from edgenas.spaces import Genes, SearchSpace, Task

CPU_RUNTIME = "onnxruntime-cpu"


@dataclass(frozen=True, slots=True)
class ProfileConfig:
    """What `edgenas profile` was asked for.

    Attributes:
        pack: a kit to write for another device instead of measuring this one.
        results: of a kit, to make the table from.
    """

    run: Path
    flags: Mapping[str, Any]
    overrides: tuple[str, ...]
    pack: Path | None = None
    results: Path | None = None


@dataclass(frozen=True, slots=True)
class RunTable:
    """A latency table that fits this run."""

    path: Path
    table: LatencyTable
    predicted: CostModel
    upper: CostModel
    warnings: tuple[str, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """What results say of the table they rest on."""
        context = self.table.context
        return {
            "path": self.path.name,
            "sha256": self.table.sha256,
            "device": context.device,
            "runtime": context.runtime,
            "precision": context.precision,
            "batch_size": context.batch_size,
        }


def run(config: ProfileConfig) -> Iterator[Record]:
    """Choose the runtime, measure, write the table; or write a kit for another device, or read what one brought back.

    Raises:
        MissingBackendError: for ``device cuda`` without a GPU, or a runtime that is not there.
        ExportError: if a component cannot be traced.
    """
    project = open_project(config.run, config.flags, config.overrides)
    if config.pack is not None:
        yield from pack(project, config.pack)
        return
    if config.results is not None:
        yield from import_results(project, config.results)
        return
    settings = project.settings.profile
    images = open_images(project)
    with locked(project.run):
        runtime = yield from choose_runtime(settings.device, settings.runtime)
        with (
            Workshop(project, images.task, runtime, settings.precision or "fp32", settings.batch_size or 1) as workshop,
            journal(project.run.latency / JOURNAL, _identity(project, images.task, runtime)) as memory,
        ):
            if len(memory):
                yield Note(f"going on after {len(memory)} measurements of an interrupted profile")
            result: ProfileResult | None = None
            for record in profile(
                project.space,
                images.task,
                workshop.target(settings.threads, settings.fps),
                workshop.build,
                settings=timing_settings(settings),
                rng=np.random.default_rng(settings.seed),
                details={"opset": project.settings.export.opset, "command": " ".join(["edgenas", *sys.argv[1:]])},
                prepare=workshop.prepare,
                memory=memory,
            ):
                if isinstance(record, ProfileResult):
                    result = record
                else:
                    yield record
            assert result is not None
            path = result.table.save(project.run.latency)
    yield Outcome({"table": project.run.relative(path), **result.as_json()}, {"table": path})


def _identity(project: Project, task: Task, runtime: Runtime) -> dict[str, Any]:
    """Everything that visits to nets depend on: measurements of other settings, devices or versions are not gone on with."""
    return {
        "space": space_hash(project.space),
        "task": asdict(task),
        "runtime": [runtime.name, runtime.probe().version],
        "device": device_name(runtime.device_kind),
        "settings": asdict(project.settings.profile),
        "opset": project.settings.export.opset,
        "edgenas": __version__,
    }


def choose_runtime(device: str, name: str | None) -> Generator[Record, None, Runtime]:
    """The runtime to measure with.

    Raises:
        MissingBackendError: if the device or the runtime that was asked for does not work here.
        UsageError: for an unknown runtime.
    """
    if name is not None:
        runtime = get_runtime(name)
        if device not in ("auto", runtime.device_kind):
            raise MissingBackendError(f"runtime {name} runs on {runtime.device_kind}, not on {device}")
        probe = runtime.probe()
        if not probe.works:
            raise MissingBackendError(f"runtime {name} does not work here: {probe.reason}", hint=probe.fix)
        return runtime
    if device in ("cuda", "auto"):
        best, seen = best_cuda_runtime()
        if best is not None:
            yield Note(f"measuring with {best.name}, the best that works here" + (f" ({'; '.join(seen)})" if seen else ""))
            return best
        if device == "cuda":
            raise MissingBackendError(
                f"device cuda: no runtime works here: {'; '.join(dict.fromkeys(seen))}",
                hint="`edgenas doctor` says more; --device cpu measures the processor",
            )
    yield Note(f"measuring with {CPU_RUNTIME} on {device_name('cpu')}")
    return get_runtime(CPU_RUNTIME)


def find_table(project: Project, task: Task, name: str | None, *, allow_foreign: bool = False) -> RunTable | None:
    """The table called ``name`` (a file or one that comes with edgenas), else the newest of the run that fits; None without any.

    Raises:
        LatencyTableError: if there are tables, but none that fits and is allowed.
    """
    settings = project.settings.profile
    duty = Duty(settings.fps, settings.soak_min * 60)
    wanted: dict[str, Any] = {
        "space": project.space,
        "task": task,
        "runtime": settings.runtime,
        "precision": settings.precision,
        "batch_size": settings.batch_size,
        "threads": settings.threads,
        "scope": duty.scope() if duty != Duty() else None,
        "allow_foreign": allow_foreign,
    }
    if name is None:
        paths = find_tables(project.run.latency)
        if not paths:
            return None
        path, table, warnings = newest_that_fits(paths, device=_device_of(LatencyTable.load(paths[0])), **wanted)
    else:
        path = named_table(name, project.run.latency)
        table = LatencyTable.load(path)
        kind = table.context.device_kind
        wanted |= {"precision": settings.precision or "fp32", "batch_size": settings.batch_size or 1}
        wanted |= {"runtime": settings.runtime or (CPU_RUNTIME if kind == "cpu" else None)}
        warnings = table.require_matches(name=str(path), device=_device_of(table), **wanted)
    warnings += _changes_since(path, table, project.space, allow_foreign=allow_foreign)
    return RunTable(path, table, table.to_cost_model(project.space, task), table.upper(project.space, task), warnings)


def _changes_since(path: Path, table: LatencyTable, space: SearchSpace, *, allow_foreign: bool) -> tuple[str, ...]:
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


def is_elsewhere(table: LatencyTable) -> bool:
    """Whether a table is of a device that a kit was brought to, and not of this one."""
    context = table.context
    return "kit" in context.details and context.device != device_name(context.device_kind)


def _device_of(table: LatencyTable) -> str:
    """The device that a table would have to be of: the one here, or the one that a kit was brought to."""
    if "kit" in table.context.details:
        return table.context.device
    return device_name(table.context.device_kind)


def load_cost_model(project: Project, task: Task) -> CostModel | None:
    """Predicted latency by the newest table that fits the run, or None."""
    try:
        found = find_table(project, task, None)
    except LatencyTableError:
        return None
    return found.predicted if found is not None else None


def measure_archs(
    project: Project,
    task: Task,
    genes_AG: Genes,
    *,
    label: str,
    table: RunTable | None = None,
    memory: Memory | None = None,
) -> Generator[Progress | Note, None, list[Measured] | None]:
    """Time whole nets, in turn, with the runtime of the run's table; None where there is none or it does not work here."""
    found = table
    if found is None:
        try:
            found = find_table(project, task, None)
        except LatencyTableError:
            found = None
    if found is None:
        return None
    context = found.table.context
    if is_elsewhere(found.table):
        yield Note(f"nets are not measured: the latency table is of {context.device}, which is not here", is_warning=True)
        return None
    try:
        runtime = get_runtime(context.runtime)
        with Workshop(project, task, runtime, context.precision, context.batch_size) as workshop:
            nets = yield from measure(workshop, genes_AG, found.table, label, project.settings.profile.seed, memory)
    except MissingBackendError as error:
        yield Note(f"nets are not measured: {error}", is_warning=True)
        return None
    return nets
