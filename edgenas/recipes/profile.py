"""`edgenas profile`: measure the device with the runtime that will ship."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from edgenas import __version__
from edgenas.config import Flags
from edgenas.deploy.contracts import Runtime
from edgenas.graphs.rewriting import rewrites_for
from edgenas.latency import Memory, ProfileResult, profile
from edgenas.latency.measuring import Workshop, choose_runtime, device_name
from edgenas.latency.table import space_hash
from edgenas.latency.timing import cpu_quota, usable_cores
from edgenas.project.devices import There
from edgenas.project.journals import JOURNAL, journal
from edgenas.project.measuring import timing_settings, workshop_in
from edgenas.project.opening import Project, open_images, open_project
from edgenas.project.searching.ray_workers import Workers
from edgenas.project.searching.tracing_workers import helpers_of
from edgenas.project.settings import ProfileSettings
from edgenas.recipes.again import AgainConfig
from edgenas.recipes.again import run as run_again
from edgenas.recipes.kit import run_import, run_pack
from edgenas.recipes.remote import run_remote
from edgenas.records import ProfileAnswer
from edgenas.remote import Address
from edgenas.runs import Note, Outcome, Record, jsonable, locked
from edgenas.spaces import SearchSpace, Task


@dataclass(frozen=True, slots=True)
class ProfileConfig:
    """What `edgenas profile` was asked for.

    Attributes:
        pack: a kit to write for another device instead of measuring this one.
        results: of a kit, to make the table from.
        again: add a session to a table instead of making one.
        table: that gets the session; None takes the run's.
        address: of a device over the network, which is measured instead of this one.
        keep: leave the kit there.
        workers: processes that trace components before anything is timed; None takes this one, or with an address all that the
            cluster has.
        ray_address: of a Ray cluster that runs; None starts one for more than one worker.
    """

    run: Path
    flags: Flags
    overrides: tuple[str, ...]
    pack: Path | None = None
    results: Path | None = None
    again: bool = False
    table: str | None = None
    address: Address | None = None
    keep: bool = False
    workers: int | None = None
    ray_address: str | None = None

    @property
    def tracing(self) -> Workers | None:
        """The processes that trace beside this one; None where it does so itself."""
        is_here = self.ray_address is None and (self.workers is None or self.workers == 1)
        return None if is_here else Workers(self.workers, self.ray_address)


def run(config: ProfileConfig) -> Iterator[Record]:
    """Choose the runtime, measure, write the table; or write a kit for another device, or read what one brought back.

    With ``again`` what is measured, here or by a kit, is a session more of a table that there is. With ``address`` the kit goes to
    a device over the network and back.

    Raises:
        MissingBackendError: for ``device cuda`` without a GPU, or a runtime that is not there.
        ExportError: if a component cannot be traced.
        ClusterError: if other processes are to trace and there is no cluster, or one is lost again and again.
    """
    if config.address is not None:
        project = open_project(config.run, config.flags, config.overrides)
        yield from run_remote(project, There(config.address, config.keep), partial(_imported, config, project))
        return
    if config.again:
        again = AgainConfig(config.run, config.table, config.flags, config.overrides, config.results, config.tracing)
        yield from run_again(again)
        return
    project = open_project(config.run, config.flags, config.overrides)
    if config.pack is not None:
        yield from run_pack(project, config.pack)
        return
    if config.results is not None:
        yield from run_import(project, config.results)
        return
    yield from _measured(project, config.tracing)


def _imported(config: ProfileConfig, project: Project, results: Path) -> Iterator[Record]:
    """The table of what a kit brought back, or another session of one."""
    if config.again:
        return run_again(AgainConfig(config.run, config.table, config.flags, config.overrides, results))
    return run_import(project, results)


def _measured(project: Project, workers: Workers | None) -> Iterator[Record]:
    """The table of this device; what an interrupted command has timed is not timed again."""
    settings, graphs = project.settings.profile, project.settings.export
    task = open_images(project).task
    with locked(project.run):
        runtime = yield from choose_runtime(settings.device, settings.runtime)
        helpers = yield from helpers_of(workers, runtime)
        with (
            workshop_in(
                *(project.run, project.space, task, runtime, settings.precision or "fp32", settings.batch_size or 1),
                opset=graphs.opset,
                rewrites=graphs.rewrites,
                helpers=helpers,
            ) as workshop,
            journal(project.run.latency / JOURNAL, _identity(project, task, runtime)) as memory,
        ):
            if len(memory):
                yield Note(f"going on after {len(memory):,} measurements of an interrupted profile")
            result = yield from _timed(project.space, task, settings, workshop, memory)
            path = result.table.save(project.run.latency)
    answer = ProfileAnswer.from_json(jsonable({"table": project.run.relative(path), **result.as_json()}))
    yield Outcome(answer, {"table": path})


def _timed(
    space: SearchSpace, task: Task, settings: ProfileSettings, workshop: Workshop, memory: Memory
) -> Generator[Record, None, ProfileResult]:
    """Time nets of the space, and fit and judge a table."""
    for record in profile(
        space,
        task,
        workshop.target(settings.threads, settings.fps),
        workshop.build,
        settings=timing_settings(settings),
        rng=np.random.default_rng(settings.seed),
        details={**workshop.graph_details, "command": " ".join(["edgenas", *sys.argv[1:]])},
        tracer=workshop,
        memory=memory,
    ):
        if isinstance(record, ProfileResult):
            return record
        yield record
    raise AssertionError("a profile ends with its result")


def _identity(project: Project, task: Task, runtime: Runtime) -> Mapping[str, object]:
    """Everything that visits to nets depend on: measurements of other settings, devices or versions are not gone on with."""
    quota = cpu_quota()
    return {
        "space": space_hash(project.space),
        "task": asdict(task),
        "runtime": [runtime.name, runtime.probe().version],
        "device": device_name(runtime.device_kind),
        "cores": usable_cores() if runtime.device_kind == "cpu" else None,
        **({"cpu_quota": quota} if quota is not None and runtime.device_kind == "cpu" else {}),
        "settings": asdict(project.settings.profile),
        "opset": project.settings.export.opset,
        "rewrites": rewrites_for(runtime.name, project.settings.export.rewrites),
        "edgenas": __version__,
    }
