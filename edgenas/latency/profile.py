"""Profiling: plan, time, fit, validate, and put it into a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgenas.costs import Term, decompose, distinct_components
from edgenas.latency.budget import Shape, shape_of, thinned
from edgenas.latency.context import SCOPE, context_of
from edgenas.latency.duty import Duty, Soaked, soak
from edgenas.latency.fit import Calibration, Validation, calibrate, mape, smooth, split_skeletons
from edgenas.latency.notes import closing_notes, opening_notes
from edgenas.latency.plan import Chain, Plan, ProfileSettings, make_plan
from edgenas.latency.samples import NetTiming
from edgenas.latency.table import Entry, LatencyTable, component_json, space_hash
from edgenas.latency.timing import Memory, Part, Session, Target, TimingSettings, probe_visit, time_nets
from edgenas.runs import Note, Progress
from edgenas.spaces import Genes, SearchSpace, Task

if TYPE_CHECKING:
    from torch import nn

SourceBuilder = Callable[[Sequence[Hashable]], "Path | nn.Module"]
STATISTIC = (
    "geometric mean of fastest run / reference's fastest run and the median over visits of that ratio around each visit, "
    "times the reference's median"
)


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


@dataclass(frozen=True, slots=True)
class Measured:
    """Both sessions of a profile.

    Attributes:
        first: of all nets, in the order of `Plan.first_chains`.
        second: of the bound and validation nets again.
        level_ms: milliseconds that the reference stands for: the median of all calls of it.
    """

    first: Session
    second: Session
    level_ms: float

    def ms(self, timing: NetTiming) -> float:
        """A net's milliseconds, free of the moment it was timed in."""
        return timing.relative * self.level_ms


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
    measured = yield from _measure(plan, target, build, reference, timing, rng, memory)
    if machine is not None and memory is not None:
        measured = _made_elsewhere(measured, memory)
    costs, entries = _entries(plan, terms, measured, settings.copies, smoothed=smoothed)
    calibration = _calibrate(plan, measured, costs, settings.confidence)
    validation = _validate(space, plan, measured, costs, calibration)
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
        reference=_reference(plan, measured),
        measuring=_measuring(space, settings, timing, plan, measured),
        bound_nets=_bound_nets(space, plan, measured, costs, calibration),
    )
    yield from closing_notes(table, settings, timing)
    yield ProfileResult(table, plan.num_nets, time.perf_counter() - start)


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
    same_runs = replace(timing, runs=first.num_runs, visit_ms=0.0)  # minima of more runs would be lower
    later = time_nets(target, again, reference, same_runs, rng=second_rng, memory=_part(memory, 2))
    second = yield from _follow(later, total, done)
    level_ms = float(np.median(np.concatenate([s.reference.samples_VR.ravel() for s in (first, second)])))
    return Measured(first, second, level_ms)


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
    costs = raw | (smooth(terms, raw) if smoothed else {})
    runs = bare[0].num_runs
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


def _sums(chains: Sequence[Chain], costs: Mapping[Hashable, float]) -> NDArray[np.float64]:
    return np.array([sum(costs[component] for component in chain) for chain in chains], dtype=np.float64)


def _calibrate(plan: Plan, measured: Measured, costs: Mapping[Hashable, float], confidence: float) -> Calibration:
    start = len(plan.skeletons) + len(plan.block_chains)
    timings = measured.first.timings[start : start + len(plan.calibration_chains)]
    truth = np.array([measured.ms(timing) for timing in timings])
    return calibrate(_sums(plan.calibration_chains, costs), truth, confidence=confidence)


def _validate(
    space: SearchSpace, plan: Plan, measured: Measured, costs: Mapping[Hashable, float], calibration: Calibration
) -> Validation:
    """Predict the validation nets, then look at what they measured in both sessions."""
    predicted = calibration.predict(_sums(plan.validation_chains, costs))
    early, late = (session.timings[len(session.timings) - len(plan.validation) :] for session in (measured.first, measured.second))
    rows = []
    for genes_G, ms, first, second in zip(plan.validation, predicted, early, late, strict=True):
        once = (measured.ms(first) + measured.ms(second)) / 2
        rows.append(_row(space, genes_G, float(ms), calibration, first.joined(second), once))
    floor = mape(np.array([t.relative for t in early]), np.array([t.relative for t in late]))
    return Validation(tuple(rows), floor)


def _bound_nets(
    space: SearchSpace, plan: Plan, measured: Measured, costs: Mapping[Hashable, float], calibration: Calibration
) -> tuple[dict[str, Any], ...]:
    """What promises come from: nets that fit nothing, measured as the validation nets are."""
    predicted = calibration.predict(_sums(plan.bound_chains, costs))
    start = len(measured.first.timings) - len(plan.second_chains)
    early, late = measured.first.timings[start:], measured.second.timings
    rows = []
    for position, (genes_G, ms) in enumerate(zip(plan.bound, predicted, strict=True)):
        both = early[position].joined(late[position])
        rows.append({"arch": space.to_json(genes_G), "predicted_ms": float(ms), **_quantiles(both), "n": both.num_runs})
    return tuple(rows)


def _row(
    space: SearchSpace, genes_G: Genes, ms: float, calibration: Calibration, timing: NetTiming, measured_ms: float
) -> dict[str, Any]:
    return {
        "arch": space.to_json(genes_G),
        "predicted_ms": ms,
        "upper_ms": ms * calibration.upper_factor,
        "measured_ms": measured_ms,
        "mad_ms": timing.mad_ms,
        "variation": timing.variation,
        "median_ms": timing.median_ms,
        **_quantiles(timing),
        "min_ms": timing.min_ms,
        "n": timing.num_runs,
    }


def _quantiles(timing: NetTiming) -> dict[str, float]:
    """Of the plain distribution of calls."""
    return {f"p{share}_ms": timing.quantile_ms(share / 100) for share in (50, 90, 95, 99)}


def _calibration_rows(space: SearchSpace, plan: Plan, measured: Measured) -> list[dict[str, Any]]:
    """The nets that the calibration was fitted on, so that it can be fitted again."""
    start = len(plan.skeletons) + len(plan.block_chains)
    timings = measured.first.timings[start : start + len(plan.calibration)]
    return [
        {"arch": space.to_json(genes_G), "measured_ms": measured.ms(timing), "n": timing.num_runs}
        for genes_G, timing in zip(plan.calibration, timings, strict=True)
    ]


def _reference(plan: Plan, measured: Measured) -> dict[str, Any]:
    both = measured.first.reference.joined(measured.second.reference)
    compute_ms = float(np.median(both.compute_V)) if both.compute_V.size else None
    return {
        "components": [component_json(component) for component in plan.reference],
        "level_ms": measured.level_ms,
        **_quantiles(both),
        "min_ms": both.min_ms,
        "mad_ms": both.mad_ms,
        "variation": both.variation,
        "compute_ms": compute_ms,
        "n": both.num_runs,
    }


def _measuring(
    space: SearchSpace, settings: ProfileSettings, timing: TimingSettings, plan: Plan, measured: Measured
) -> dict[str, Any]:
    return {
        "statistic": STATISTIC,
        "copies": settings.copies,
        "num_nets": plan.num_nets,
        "num_calibration_nets": len(plan.calibration),
        "calibration_archs": [space.to_json(genes_G) for genes_G in plan.calibration],
        "runs_per_visit": measured.first.num_runs,
        **asdict(timing),
        "seconds": measured.first.seconds + measured.second.seconds,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": [dict(measured.first.machine), dict(measured.second.machine)],
        "calibration_rows": _calibration_rows(space, plan, measured),
    }
