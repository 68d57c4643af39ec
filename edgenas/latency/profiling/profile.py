"""Profiling: plan, time, fit, validate, and put it into a table."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgenas.costs import cost_models, decompose
from edgenas.deploy.contracts import RunnerInfo
from edgenas.latency.fit import bounded
from edgenas.latency.nets import MeasuringSettings, Shape, TimingPlan, make_plan, shape_of, thinned
from edgenas.latency.profiling.costs import calibrate_sums, component_costs, predict_sums
from edgenas.latency.profiling.notes import closing_notes, opening_notes
from edgenas.latency.profiling.rows import BothSessions, bound_nets, measuring_of, reference_of, validate
from edgenas.latency.profiling.tracing import Tracer, trace_reference, tracing_note
from edgenas.latency.profiling.visits import SourceBuilder, made_elsewhere, soak_device, time_twice
from edgenas.latency.table import LatencyTable, space_hash
from edgenas.latency.timing import SCOPE, Context, Duty, Memory, Target, TimingSettings, context_of, probe_visit
from edgenas.portable.memory import Forgetful, remembered
from edgenas.records import Details
from edgenas.runs import Note, Progress
from edgenas.spaces import SearchSpace, Task

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class ProfileResult:
    """A finished profile; the table is not saved yet.

    Attributes:
        table: entries, calibration and validation.
        num_nets_timed: different nets.
        seconds: wall time, tracing included.
    """

    table: LatencyTable
    num_nets_timed: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """The contract's ``profile`` result, without ``table``, the path it is saved to."""
        return {
            "table_sha256": self.table.sha256,
            "context": self.table.context.as_json(),
            "num_entries": len(self.table.entries),
            "num_nets_timed": self.num_nets_timed,
            "seconds": self.seconds,
            "validation": self.table.validation,
            "promises": [bound.as_json() for bound in self.table.promise.bounds()],
        }


def profile(
    space: SearchSpace,
    task: Task,
    target: Target,
    build: SourceBuilder,
    *,
    settings: MeasuringSettings,
    rng: np.random.Generator,
    details: Details | None = None,
    tracer: Tracer | None = None,
    memory: Memory | None = None,
    machine: Details | None = None,
) -> Iterator[Progress | Note | ProfileResult]:
    """Measure a latency table; the last record is the `ProfileResult`.

    Args:
        space: to be searched later.
        task: classes, channels and resolution.
        target: runtime, input of the task's shape, precision, threads.
        build: makes what the runtime loads from a chain of components.
        settings: how much is measured.
        rng: draws nets and orders.
        details: facts for the table's context: command, opset and the like.
        tracer: traces what is missing before nets are built. Without a budget everything is traced first.
        memory: holds the visits of an interrupted call with equal arguments, which are not made again; new ones go there.
        machine: facts about another machine, on which every visit in ``memory`` was made; None for this one.

    Raises:
        MissingBackendError: as `Runtime.load`.
        ExportError: if a component cannot be traced.
    """
    start = time.perf_counter()
    kept: Memory = Forgetful() if memory is None else memory
    full = make_plan(space, task, settings, rng=rng)
    thin = thinned(full, decompose(space, task)) if target.runtime.device_kind == "cpu" else full
    each_s = (yield from _begun(tracer, full, settings)) if tracer is not None else 0.0
    reference = build(full.reference)
    tracing_s = (each_s * tracer.goes(full), each_s * tracer.goes(thin)) if tracer is not None else (0.0, 0.0)
    shape, visit_seconds = _shape(target, reference, (full, thin), settings, tracing_s, kept)
    plan, timing = thin if shape.is_thin else full, replace(settings.timing, visits=shape.visits)
    yield from opening_notes(settings, plan, timing, visit_seconds, num_blocks=len(full.block_chains))
    if tracer is not None:
        note = tracing_note(settings, tracer.missing(plan), tracing_s[shape.is_thin])
        yield from () if note is None else (note,)
        yield from tracer.prepare(plan)
    soaked = yield from soak_device(target, reference, settings.soak_seconds, kept, is_here=machine is None)
    measured = yield from time_twice(plan, target, build, reference, timing, settings.pause_seconds, rng, kept)
    if machine is not None:
        measured = made_elsewhere(measured, kept)
    facts = {**(details or {}), **({} if soaked is None else {"soak": soaked.as_json()})}
    context = _context(target, settings, measured.first.info, facts, machine)
    smoothed = target.runtime.device_kind == "cpu"
    table = _table(space, task, plan, measured, settings, timing, context, smoothed=smoothed)
    yield from closing_notes(table, settings, timing)
    seconds = max(time.perf_counter() - start, float(table.measuring.seconds))  # more where another process began
    yield ProfileResult(table, plan.num_nets, seconds)


def _begun(tracer: Tracer, full: TimingPlan, settings: MeasuringSettings) -> Generator[Progress, None, float]:
    """Trace what comes first: the reference where a budget is to be shared out, else everything; seconds of one go."""
    if settings.seconds is not None:
        return (yield from trace_reference(tracer, full))
    yield from tracer.prepare(full)
    return 0.0


def _shape(
    target: Target,
    reference: Path | nn.Module,
    plans: tuple[TimingPlan, TimingPlan],
    settings: MeasuringSettings,
    tracing_s: tuple[float, float],
    memory: Memory,
) -> tuple[Shape, float]:
    """What the budget leaves of the whole plan, or left when it was begun; seconds that one visit takes.

    Args:
        target: of the visits.
        reference: that is visited to know how long one takes.
        plans: the whole one, and that without the blocks that can be interpolated.
        settings: with the budget.
        tracing_s: seconds in which what either plan needs is traced.
        memory: holds both answers where they were found before.
    """
    visit_seconds = float(remembered(memory, "visit seconds", lambda: probe_visit(target, reference, settings.timing)))
    shape = remembered(memory, "shape", lambda: list(shape_of(settings, *plans, visit_seconds, tracing_s)))
    return Shape(*shape), visit_seconds


def _context(target: Target, settings: MeasuringSettings, info: RunnerInfo, details: Details, machine: Details | None) -> Context:
    """Where it was measured: the live runner's words, the duty as its scope, and facts about the machine."""
    scope = Duty(settings.fps, settings.soak_seconds).scope(str(info.details.get("timer", SCOPE)))
    return context_of(info, batch_size=target.batch_size, scope=scope, details=details, machine=machine)


def _table(
    space: SearchSpace,
    task: Task,
    plan: TimingPlan,
    measured: BothSessions,
    settings: MeasuringSettings,
    timing: TimingSettings,
    context: Context,
    *,
    smoothed: bool,
) -> LatencyTable:
    """Fit costs and calibration to what was measured, and judge them on the nets that were left out."""
    terms, params = decompose(space, task), cost_models(space, task)["params"]
    costs, entries = component_costs(plan, terms, measured, settings.copies, smoothed=smoothed)
    fitted = calibrate_sums(plan, measured, costs, params(plan.calibration), settings.confidence)
    predict = partial(predict_sums, params=params, costs=costs, calibration=fitted)
    bounding = bound_nets(space, plan, measured, predict(plan.bound, plan.bound_chains))
    calibration = bounded(fitted, bounding)
    validation = validate(space, plan, measured, predict(plan.validation, plan.validation_chains), calibration)
    return LatencyTable(
        context=context,
        task=task,
        space=space.name,
        space_sha256=space_hash(space),
        entries=entries,
        calibration=calibration,
        validation=validation,
        reference=reference_of(plan, measured),
        measuring=measuring_of(space, settings, timing, plan, measured),
        bound_nets=bounding,
    )
