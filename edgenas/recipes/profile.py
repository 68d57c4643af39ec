"""`edgenas profile`: measure the device with the runtime that will ship. Tables are found and used from here too."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from edgenas import __version__
from edgenas.config import Flags
from edgenas.deploy.contracts import Runtime
from edgenas.deploy.plugins import get_runtime
from edgenas.errors import MissingBackendError
from edgenas.latency import (
    Memory,
    ProfileResult,
    profile,
)
from edgenas.latency.table import space_hash
from edgenas.latency.timing import usable_cores
from edgenas.recipes.journals import JOURNAL, journal
from edgenas.recipes.kit import import_results, pack
from edgenas.recipes.project import Project, open_images, open_project
from edgenas.recipes.run_tables import CPU_RUNTIME, RunTable, is_elsewhere, run_table
from edgenas.recipes.timed_nets import ATTEMPTS, Measured, Workshop, best_cuda_runtime, device_name, measure, timing_settings
from edgenas.records import ProfileAnswer
from edgenas.runs import Note, Outcome, Progress, Record, jsonable, locked
from edgenas.spaces import Genes, Task

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class ProfileConfig:
    """What `edgenas profile` was asked for.

    Attributes:
        pack: a kit to write for another device instead of measuring this one.
        results: of a kit, to make the table from.
    """

    run: Path
    flags: Flags
    overrides: tuple[str, ...]
    pack: Path | None = None
    results: Path | None = None


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
    answer = ProfileAnswer.from_json(jsonable({"table": project.run.relative(path), **result.as_json()}))
    yield Outcome(answer, {"table": path})


def _identity(project: Project, task: Task, runtime: Runtime) -> dict[str, Any]:
    """Everything that visits to nets depend on: measurements of other settings, devices or versions are not gone on with."""
    return {
        "space": space_hash(project.space),
        "task": asdict(task),
        "runtime": [runtime.name, runtime.probe().version],
        "device": device_name(runtime.device_kind),
        "cores": usable_cores() if runtime.device_kind == "cpu" else None,
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


def measure_archs(
    project: Project,
    task: Task,
    genes_AG: Genes,
    *,
    label: str,
    table: RunTable | None = None,
    memory: Memory | None = None,
    others: Mapping[str, nn.Module] = MappingProxyType({}),
    attempts: int = ATTEMPTS,
) -> Generator[Progress | Note, None, list[Measured] | None]:
    """Time whole nets, in turn, with the runtime of a table, by default the run's; None without one or where it does not work.

    ``others`` by name are nets of no space; they come last. ``attempts`` as in `measure`.
    """
    found = table if table is not None else run_table(project, task)
    if found is None:
        return None
    context = found.table.context
    if is_elsewhere(found.table):
        yield Note(f"nets are not measured: the latency table is of {context.device}, which is not here", is_warning=True)
        return None
    try:
        runtime = get_runtime(context.runtime)
        with Workshop(project, task, runtime, context.precision, context.batch_size) as workshop:
            seed = project.settings.profile.seed
            nets = yield from measure(workshop, genes_AG, found.table, label, seed, memory, others, attempts)
    except MissingBackendError as error:
        yield Note(f"nets are not measured: {error}", is_warning=True)
        return None
    return nets
