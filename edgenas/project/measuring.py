"""Measuring nets for a run folder: with its settings, its traced components and the runtime of its table."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from edgenas.deploy.contracts import Runtime
from edgenas.deploy.plugins import get_runtime
from edgenas.errors import MissingBackendError
from edgenas.latency import MeasuringSettings, Memory, TimingSettings
from edgenas.latency.measuring import Helpers, Measured, OtherNet, Workshop, is_elsewhere, measure
from edgenas.latency.timing import Context
from edgenas.project.opening import Project
from edgenas.project.run_tables import RunTable, run_table
from edgenas.project.settings import ProfileSettings
from edgenas.runs import Note, Progress, RunFolder, scratch
from edgenas.spaces import Genes, SearchSpace, Task

if TYPE_CHECKING:
    from torch import nn


def timing_settings(table: ProfileSettings) -> MeasuringSettings:
    """The latency layer's settings from a table of `edgenas.toml`."""
    return MeasuringSettings(
        timing=TimingSettings(visits=table.visits, runs=table.runs_per_visit),
        calibration_nets=table.calibration_nets,
        bound_nets=table.bound_nets,
        validation_nets=table.validation_nets,
        seconds=None if table.budget_min is None else table.budget_min * 60,
        fps=table.fps,
        soak_seconds=table.soak_min * 60,
        pause_seconds=table.pause_min * 60,
    )


def graphs_of(context: Context) -> tuple[int, tuple[str, ...]]:
    """Opset and rewrites of the graphs that a table was measured with, so that nets beside it are timed alike.

    Tables of before rewrites were made have none.
    """
    return int(context.details.get("opset", 18)), context.rewrites


@contextmanager
def workshop_in(
    run: RunFolder,
    space: SearchSpace,
    task: Task,
    runtime: Runtime,
    precision: str,
    batch_size: int,
    *,
    opset: int,
    rewrites: Sequence[str] | None,
    helpers: Helpers | None = None,
) -> Iterator[Workshop]:
    """A workshop whose traced components are kept in the run folder; files of whole nets are gone when the block ends."""
    with scratch(run.path) as folder:
        yield Workshop(
            *(space, task, runtime, precision, batch_size),
            opset=opset,
            rewrites=rewrites,
            cache=run.latency / "components",
            scratch=folder,
            helpers=helpers,
        )


def measure_archs(
    project: Project,
    task: Task,
    genes_AG: Genes,
    *,
    label: str,
    table: RunTable | None = None,
    memory: Memory | None = None,
    others: Mapping[str, nn.Module | OtherNet] = MappingProxyType({}),
    attempts: int | None = None,
) -> Generator[Progress | Note, None, list[Measured] | None]:
    """Time whole nets, in turn, with the runtime of a table, by default the run's; None without one or where it does not work.

    ``others`` by name are nets of no space; they come last. ``attempts`` as in `measure`.
    """
    chosen = table if table is not None else run_table(project, task)
    if chosen is None:
        return None
    context = chosen.table.context
    if is_elsewhere(chosen.table):
        yield Note(f"nets are not measured: the latency table is of {context.device}, which is not here", is_warning=True)
        return None
    try:
        runtime = get_runtime(context.runtime)
        opset, rewrites = graphs_of(context)
        with workshop_in(
            *(project.run, project.space, task, runtime, context.precision, context.batch_size), opset=opset, rewrites=rewrites
        ) as workshop:
            seed = project.settings.profile.seed
            nets = yield from measure(workshop, genes_AG, chosen.table, label, seed, memory, others, attempts)
    except MissingBackendError as error:
        yield Note(f"nets are not measured: {error}", is_warning=True)
        return None
    return nets
