"""A latency table of a space on this machine, without a run folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edgenas.deploy.contracts import Precision
from edgenas.deploy.plugins import get_runtime
from edgenas.errors import MissingBackendError
from edgenas.fields import Count, CountOrZero, require_argument
from edgenas.latency.measuring.runtimes import CPU_RUNTIME
from edgenas.latency.measuring.workshop import Workshop
from edgenas.latency.nets import MeasuringSettings
from edgenas.latency.profiling import ProfileResult, profile
from edgenas.latency.timing import Memory
from edgenas.runs import Note, Progress
from edgenas.spaces import SearchSpace, Task


def measure_table(
    space: SearchSpace,
    task: Task,
    runtime: str = CPU_RUNTIME,
    *,
    settings: MeasuringSettings | None = None,
    precision: Precision = "fp32",
    batch_size: int = 1,
    threads: int | None = None,
    opset: int = 20,
    rewrites: Sequence[str] | None = None,
    seed: int = 0,
    cache: Path | None = None,
    memory: Memory | None = None,
) -> Iterator[Progress | Note | ProfileResult]:
    """Measure what the nets of a space take on this machine; the last record is the `ProfileResult`, whose table is not saved.

    Blocks are traced once, put together as whole nets and timed in turn, far apart and in random order; the table's predictions
    are then judged on nets that fitted nothing. ``result.table.save(folder)`` writes the table, `LatencyTable.to_cost_model` makes
    its prediction a cost in milliseconds.

    Args:
        space: to be searched.
        task: classes, channels and resolution of the nets.
        runtime: entry-point name of the runtime that will ship.
        settings: visits and nets; None takes the defaults, which are minutes of work.
        precision: of the computation, one that the runtime computes in.
        batch_size: images a call.
        threads: on a CPU; None takes all usable cores.
        opset: of the ONNX files that are timed.
        rewrites: of their graphs, by name; None for those that `export` makes for the runtime.
        seed: draws nets and orders.
        cache: folder for traced components, which are then not traced again; None keeps none.
        memory: visits of an interrupted call with equal arguments, which are not made again.

    Raises:
        UsageError: if there is no such runtime.
        MissingBackendError: if it does not work here, or ``threads`` are more than the usable cores.
        LatencyTableError: if it does not compute in ``precision``.
        ExportError: if a component cannot be traced.
        ValueError: for an argument that is of another type or out of range.
    """
    require_argument("batch_size", batch_size, Count)
    require_argument("threads", threads, Count | None)
    require_argument("seed", seed, CountOrZero)
    loader = get_runtime(runtime)
    probe = loader.probe()
    if not probe.works:
        raise MissingBackendError(f"runtime {runtime} does not work here: {probe.reason}", hint=probe.fix)
    settings = settings if settings is not None else MeasuringSettings()
    with tempfile.TemporaryDirectory(prefix="edgenas-") as name:
        scratch = Path(name)
        kept = cache if cache is not None else scratch / "components"
        workshop = Workshop(space, task, loader, precision, batch_size, opset=opset, rewrites=rewrites, cache=kept, scratch=scratch)
        yield from profile(
            space,
            task,
            workshop.target(threads, settings.fps),
            workshop.build,
            settings=settings,
            rng=np.random.default_rng(seed),
            details=workshop.graph_details,
            tracer=workshop,
            memory=memory,
        )
