"""Profiling: plan, time, fit, validate, and put it into a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgenas.costs import CostModel, Term, cost_models, decompose, distinct_components
from edgenas.latency.fit import Calibration, bounded, calibrate, smooth, split_skeletons
from edgenas.latency.nets import Chain, Plan, ProfileSettings, Shape, make_plan, shape_of, thinned
from edgenas.latency.profiling.measured import Measured, bound_nets, measuring_of, reference_of, validate
from edgenas.latency.profiling.notes import closing_notes, opening_notes
from edgenas.latency.table import Entry, LatencyTable, component_json, space_hash
from edgenas.latency.timing import (
    SCOPE,
    Duty,
    Memory,
    Part,
    Session,
    Soaked,
    Target,
    TimingSettings,
    context_of,
    probe_visit,
    soak,
    standard_error,
    time_nets,
)
from edgenas.runs import Note, Progress
from edgenas.spaces import Genes, SearchSpace, Task

if TYPE_CHECKING:
    from torch import nn

Floats = NDArray[np.float64]
SourceBuilder = Callable[[Sequence[Hashable]], "Path | nn.Module"]


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
    settings: ProfileSettings,
    rng: np.random.Generator,
    details: Mapping[str, Any] | None = None,
    prepare: Callable[[Plan], Iterator[Progress]] | None = None,
    memory: Memory | None = None,
    machine: Mapping[str, Any] | None = None,
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
        prepare: called with the plan before the first net is built, to trace what is missing.
        memory: holds the visits of an interrupted call with equal arguments, which are not made again; new ones go there.
        machine: facts about another machine, on which every visit in ``memory`` was made; None for this one.

    Raises:
        MissingBackendError: as `Runtime.load`.
        ExportError: if a component cannot be traced.
    """
    start = time.perf_counter()
    plan = make_plan(space, task, settings, rng=rng)
    if prepare is not None:
        yield from prepare(plan)
    reference, terms = build(plan.reference), decompose(space, task)
    smoothed = target.runtime.device_kind == "cpu"
    visit_seconds = float(remembered(memory, "visit seconds", lambda: probe_visit(target, reference, settings.timing)))
    thin = thinned(plan, terms) if smoothed else plan
    shape = Shape(*remembered(memory, "shape", lambda: list(shape_of(settings, plan, thin, visit_seconds))))
    timing = replace(settings.timing, visits=shape.visits)
    blocks = len(plan.block_chains)
    plan = thin if shape.is_thin else plan
    yield from opening_notes(settings, plan, timing, visit_seconds, num_blocks=blocks)
    soaked = yield from _soaked(target, reference, settings.soak_seconds, memory, is_here=machine is None)
    measured = yield from _measure(plan, target, build, reference, timing, settings.pause_seconds, rng, memory)
    if machine is not None and memory is not None:
        measured = _made_elsewhere(measured, memory)
    costs, entries = _entries(plan, terms, measured, settings.copies, smoothed=smoothed)
    params = cost_models(space, task)["params"]
    fitted = _calibrate(plan, measured, costs, params(plan.calibration), settings.confidence)
    predict = partial(_predict, params=params, costs=costs, calibration=fitted)
    bounding = bound_nets(space, plan, measured, predict(plan.bound, plan.bound_chains))
    calibration = bounded(fitted, bounding)
    validation = validate(space, plan, measured, predict(plan.validation, plan.validation_chains), calibration)
    table = LatencyTable(
        context=context_of(
            measured.first.info,
            batch_size=target.batch_size,
            scope=Duty(settings.fps, settings.soak_seconds).scope(str(measured.first.info.details.get("timer", SCOPE))),
            details={**(details or {}), **({} if soaked is None else {"soak": soaked.as_json()})},
            machine=machine,
        ),
        task=task,
        space=space.name,
        space_sha256=space_hash(space),
        entries=entries,
        calibration=calibration,
        validation=validation.as_json(),
        reference=reference_of(plan, measured),
        measuring=measuring_of(space, settings, timing, plan, measured),
        bound_nets=bounding,
    )
    yield from closing_notes(table, settings, timing)
    seconds = max(time.perf_counter() - start, float(table.measuring["seconds"]))  # more where another process began
    yield ProfileResult(table, plan.num_nets, seconds)


def remembered(memory: Memory | None, key: str, find: Callable[[], Any]) -> Any:
    """What a memory holds under a key, else what is found now and kept there."""
    value = None if memory is None else memory.recall(key)
    if value is None:
        value = find()
        if memory is not None:
            memory.record(key, value)
    return value


def _soaked(
    target: Target, reference: Path | nn.Module, seconds: float, memory: Memory | None, *, is_here: bool
) -> Generator[Progress | Note, None, Soaked | None]:
    """Bring the device to its settled speed, also after a kill, because it has cooled since; what was seen the first time."""
    if seconds <= 0:
        return None
    now: Soaked | None = None
    for record in soak(target, reference, seconds) if is_here else ():
        if isinstance(record, Soaked):
            now = record
        else:
            yield record
    kept = remembered(memory, "soak", lambda: None if now is None else now.as_json())
    found = now if kept is None else Soaked.from_json(kept)
    if found is not None:
        yield Note(str(found), is_warning=not found.settled)
    return found


def _measure(
    plan: Plan,
    target: Target,
    build: SourceBuilder,
    reference: Path | nn.Module,
    timing: TimingSettings,
    pause_seconds: float,
    rng: np.random.Generator,
    memory: Memory | None,
) -> Generator[Progress, None, Measured]:
    """Time all nets, then those that fit nothing once more."""
    sources = [build(chain) for chain in plan.first_chains]
    again = sources[len(sources) - len(plan.second_chains) :]
    total = timing.visits * plan.num_visits
    first_rng, second_rng = rng.spawn(2)  # so that the orders of the second do not depend on the visits of the first
    records = time_nets(target, sources, reference, timing, rng=first_rng, memory=_part(memory, 1))
    first = yield from _follow(records, total, 0)
    done = timing.visits * len(sources)
    yield from _pause(target, pause_seconds, memory)
    same_runs = replace(timing, runs=first.num_runs, visit_ms=0.0)  # minima of more runs would be lower
    later = time_nets(target, again, reference, same_runs, rng=second_rng, memory=_part(memory, 2))
    second = yield from _follow(later, total, done)
    level_ms = float(np.median(np.concatenate([s.reference.samples_VR.ravel() for s in (first, second)])))
    return Measured(first, second, level_ms)


def _pause(target: Target, seconds: float, memory: Memory | None) -> Iterator[Progress]:
    """Let the time between the sessions pass, once."""
    if seconds <= 0 or (memory is not None and memory.recall("paused") is not None):
        return
    total = max(1, round(seconds))
    for passed in range(total):
        yield Progress("waiting between the sessions", passed, total, unit="s")
        target.sleep(seconds / total)
    yield Progress("waiting between the sessions", total, total, unit="s")
    if memory is not None:
        memory.record("paused", seconds)


def _made_elsewhere(measured: Measured, memory: Memory) -> Measured:
    """With what went on there in the meantime, as far as it was recorded, instead of here."""
    seen = (memory.recall(f"session {number} machine") for number in (1, 2))
    first, second = (
        replace(session, machine=dict(value or {})) for session, value in zip((measured.first, measured.second), seen, strict=True)
    )
    return Measured(first, second, measured.level_ms)


def _part(memory: Memory | None, session: int) -> Memory | None:
    return None if memory is None else Part(memory, f"session {session} ")


def _follow(records: Iterator[Progress | Session], total: int, before: int) -> Generator[Progress, None, Session]:
    for record in records:
        if isinstance(record, Session):
            return record
        yield Progress(record.label, before + record.done, total)
    raise AssertionError("a series of rounds ends with its session")


def _entries(
    plan: Plan, terms: Sequence[Term], measured: Measured, copies: int, *, smoothed: bool
) -> tuple[dict[Hashable, float], tuple[Entry, ...]]:
    """Cost of every component in milliseconds, and the same as entries of a table."""
    num = len(plan.skeletons)
    bare, nets = measured.first.timings[:num], measured.first.timings[num : num + len(plan.block_chains)]
    parts = split_skeletons(plan.skeletons, [measured.ms(timing) for timing in bare])
    bare_mad = float(np.median([timing.ratio_mad for timing in bare]))
    raw, spread = {}, {}
    for (block, chain), timing in zip(plan.block_chains.items(), nets, strict=True):
        raw[block] = (measured.ms(timing) - sum(parts[part] for part in chain if part != block)) / copies
        spread[block] = float(np.hypot(timing.ratio_mad, bare_mad)) * measured.level_ms / copies
    visits, runs = len(bare[0].samples_VR), bare[0].num_runs
    noise = {block: standard_error(mad_ms, visits) for block, mad_ms in spread.items()}
    costs = raw | (smooth(terms, raw, noise) if smoothed else {})
    entries = _skeleton_entries(plan, parts, bare_mad * measured.level_ms, runs)
    for component in distinct_components(terms):
        if component in raw:
            one = (component_json(component),)
            entries.append(Entry(one, costs[component], spread[component], runs, "measured", raw[component]))
        elif component in costs:
            entries.append(Entry((component_json(component),), costs[component], float("nan"), 0, "interpolated"))
    return costs | parts, tuple(entries)


def _skeleton_entries(plan: Plan, parts: Mapping[Hashable, float], mad_ms: float, runs: int) -> list[Entry]:
    """One entry for all where they always come together, else one for each."""
    if len(plan.skeletons) == 1:
        together = tuple(component_json(component) for component in plan.skeletons[0])
        ms = sum(parts[component] for component in plan.skeletons[0])
        return [Entry(together, ms, mad_ms, runs, "measured", ms)]
    behind = {part: runs * sum(part in skeleton for skeleton in plan.skeletons) for part in parts}
    return [Entry((component_json(part),), ms, mad_ms, behind[part], "measured", ms) for part, ms in parts.items()]


def _sums(chains: Sequence[Chain], costs: Mapping[Hashable, float]) -> Floats:
    return np.array([sum(costs[component] for component in chain) for chain in chains], dtype=np.float64)


def _calibrate(plan: Plan, measured: Measured, costs: Mapping[Hashable, float], params_A: Floats, confidence: float) -> Calibration:
    start = len(plan.skeletons) + len(plan.block_chains)
    timings = measured.first.timings[start : start + len(plan.calibration_chains)]
    truth = np.array([measured.ms(timing) for timing in timings])
    return calibrate(_sums(plan.calibration_chains, costs), truth, params_A, confidence=confidence)


def _predict(
    genes_AG: Genes, chains: Sequence[Chain], params: CostModel, costs: Mapping[Hashable, float], calibration: Calibration
) -> Floats:
    return calibration.predict(_sums(chains, costs), params(genes_AG))
