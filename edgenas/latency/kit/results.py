"""What a kit brings back, checked, and made into a table on the way that `latency.profile` takes with its own measurements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgenas import __version__
from edgenas.deploy.contracts import Precision, Probe, RunnerInfo, SourceKind
from edgenas.errors import LatencyTableError, RunFolderError
from edgenas.latency.kit.pack import RUNTIMES, KitPlan, Request, kit_plan
from edgenas.latency.kit.script_measure import RESULTS_KIND, RESULTS_SCHEMA
from edgenas.latency.profiling import ProfileResult, profile
from edgenas.latency.table import machine_problems, space_hash
from edgenas.latency.timing import Target, graph_details
from edgenas.records import Details, KitOrigin, KitRequest, KitResults, KitSettings
from edgenas.runs import Note, Progress, read_sealed
from edgenas.spaces import SearchSpace, Task

if TYPE_CHECKING:
    from torch import nn

MOST = 10_000  # visits and nets, as `edgenas profile` takes them
LONGEST = 1e9  # seconds or milliseconds that a measurement may say
HINT = "pack a new kit with `edgenas profile --pack`"
GO_ON = "run the same `python measure.py` there once more, it goes on, and bring its results again"


@dataclass(frozen=True, slots=True)
class Results:
    """A file of results that fits a space and a task, complete.

    Attributes:
        request: that the kit was packed for, with the budget that was kept.
        info: what the live runner said of itself.
        machine: facts about the device.
        ended: when the measurement was.
        seconds: that it took there.
        memory: every visit by its key.
    """

    request: Request
    info: RunnerInfo
    machine: Details
    ended: str
    seconds: float
    memory: Mapping[str, Any]

    def recall(self, key: str) -> Any | None:
        """What was measured under a key, None for nothing."""
        return self.memory.get(key)

    def record(self, key: str, value: Any) -> None:
        """Refuse: nothing is measured here, so there is nothing to keep."""
        raise LatencyTableError(f"the results lack {key!r}", hint=GO_ON)


def read_results(path: Path, space: SearchSpace, task: Task) -> Results:
    """Read and check what a kit's script wrote.

    Raises:
        LatencyTableError: naming everything that keeps it from being used: edited, of another space, task, plan or version of
            edgenas, or with measurements that are missing or no times.
    """
    try:
        content = read_sealed(path, RESULTS_KIND, schema_version=RESULTS_SCHEMA, hint=HINT)
    except RunFolderError as error:
        raise LatencyTableError(error.message, hint=error.hint) from error
    try:
        return _results(path, content, space, task)
    except RunFolderError as error:
        raise LatencyTableError(f"{path} holds no results of a kit", problems=error.problems, hint=HINT) from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise LatencyTableError(f"{path} holds no results of a kit: {type(error).__name__} {error}", hint=HINT) from error


def _results(path: Path, content: Mapping[str, Any], space: SearchSpace, task: Task) -> Results:
    """What a file says, checked.

    Raises:
        LatencyTableError: as `read_results`.
        RunFolderError, KeyError, TypeError, ValueError: if it is of another form.
    """
    told = KitResults.from_json(content)
    _require(path, _foreign(KitOrigin.from_json(told.request), space, task), HINT)
    asked = KitRequest.from_json(told.request)
    _require(path, _too_much(asked.settings), HINT)
    request = Request.of(asked, space)
    planned = kit_plan(request)
    if planned.sha256 != told.plan_sha256:
        raise LatencyTableError(f"{path} was made with another plan than this edgenas and NumPy make", hint=HINT)
    _require(path, _gaps(planned, told.memory), GO_ON)
    _require(path, _impossible(told, request), HINT)
    ended: Any = told.machine.get("ended")
    return Results(
        request=replace(request, settings=replace(request.settings, seconds=told.seconds)),
        info=RunnerInfo(**told.info),
        machine={"ended": None, **told.machine, "kit": {"edgenas": asked.edgenas, "plan_sha256": told.plan_sha256}},
        ended=ended,
        seconds=told.machine["seconds"],
        memory=told.memory,
    )


def _require(path: Path, problems: list[str], hint: str) -> None:
    if problems:
        raise LatencyTableError(f"{path} cannot be used", problems=problems, hint=hint)


def _foreign(asked: KitOrigin, space: SearchSpace, task: Task) -> list[str]:
    """What the kit was packed for that is different here."""
    problems = []
    if asked.edgenas != __version__:
        problems.append(f"edgenas: packed by {asked.edgenas}, this is {__version__}")
    if asked.space.name != space.name:
        problems.append(f"space: measured for {asked.space.name}, this run has {space.name}")
    elif asked.space.sha256 != space_hash(space):
        problems.append(f"space: the choices of {space.name} have changed since the kit was packed")
    there = asked.task.as_json()
    here = {name: getattr(task, name) for name in task.__slots__}
    return problems + [f"{k}: measured for {there.get(k)}, this run has {v}" for k, v in here.items() if there.get(k) != v]


def _too_much(settings: KitSettings) -> list[str]:
    """Numbers of visits and nets that no kit was packed for; they are looked at before anything is counted up to them."""
    counts = {name: getattr(settings, name) for name in ("copies", "calibration_nets", "bound_nets", "validation_nets")}
    counts |= {name: getattr(settings.timing, name) for name in ("visits", "runs", "reference_every")}
    wrong = {name: value for name, value in counts.items() if value > MOST}
    return [f"{name} is {value!r:.40}, at most {MOST} are packed" for name, value in wrong.items()]


def expected_keys(planned: KitPlan, visits: int, *, is_thin: bool) -> Iterator[tuple[str, str]]:
    """The key of every visit, with the key that its number of runs stands under."""
    shape = planned.content.shapes.thin if is_thin else planned.content.shapes.full
    every = planned.request.settings.timing.reference_every
    for session, nets in ((1, shape.first), (2, shape.second)):
        num = len(nets)
        runs = f"session {session} runs"
        for beside in range(visits * (1 + (num - 1) // every) + 1):
            yield f"session {session} reference {beside}", runs
        for number in range(visits):
            for net in range(num):
                yield f"session {session} round {number} net {net}", runs


def _impossible(told: KitResults, request: Request) -> list[str]:
    """What no measurement of this kit says of itself."""
    info, memory, machine = told.info, told.memory, told.machine
    problems = [] if told.complete else ["the measurement was not finished"]
    for name in ("runtime", "precision"):
        if info.get(name) != getattr(request, name):
            problems.append(f"{name}: the kit was packed for {getattr(request, name)}, it says {info.get(name)!r}")
    for name in ("device", "runtime_version"):
        if not isinstance(info.get(name), str) or not info[name].strip():
            problems.append(f"{name} is {info.get(name)!r}")
    for name, value in (("seconds", machine.get("seconds")), ("visit seconds", memory.get("visit seconds"))):
        if not _is_time(value):
            problems.append(f"{name} is {value!r}")
    if told.seconds is not None and not _is_time(told.seconds):
        problems.append(f"the budget is {told.seconds!r}")
    for session in (1, 2):
        seen = memory.get(f"session {session} machine")
        if not isinstance(seen, Mapping):
            problems.append(f"session {session}: what the machine did is {seen!r}")
        else:
            problems += [f"session {session}: {text}" for text in machine_problems("machine", seen)]
    return problems


def _is_time(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and 0 < value < LONGEST


def _gaps(planned: KitPlan, memory: Mapping[str, Any]) -> list[str]:
    """Measurements that are missing, and those that are no times."""
    shape = memory.get("shape")
    if shape is None:
        return ["nothing is measured yet"]
    visits, is_thin = shape
    most = planned.request.settings.timing.visits
    if not isinstance(visits, int) or isinstance(visits, bool) or not 1 <= visits <= most:
        return [f"visits are {visits!r}, the kit asks for {most}"]
    keys = list(expected_keys(planned, int(visits), is_thin=bool(is_thin)))
    missing = [key for key, _ in keys if key not in memory]
    bad = [key for key, runs in keys if key in memory and not _is_visit(memory[key], memory.get(runs))]
    problems = [f"{len(missing)} of {len(keys)} visits are missing, the first is {missing[0]!r}"] if missing else []
    if bad:
        problems.append(f"{len(bad)} of {len(keys)} visits hold no times, the first is {bad[0]!r}")
    if planned.request.settings.soak_seconds > 0 and "soak" not in memory:
        problems.append("the soak is missing")
    return problems


def _is_visit(value: Any, runs: Any) -> bool:
    samples = value.get("ms") if isinstance(value, dict) else None
    if not isinstance(samples, list) or not isinstance(runs, int) or len(samples) != runs:
        return False
    compute_ms = value.get("compute_ms", "missing")
    return all(_is_time(ms) for ms in samples) and (compute_ms is None or _is_time(compute_ms))


def table_of(results: Results, *, details: Details) -> Iterator[Progress | Note | ProfileResult]:
    """The table of a device, by `latency.profile` with the device's measurements; the last record is the `ProfileResult`."""
    request = results.request
    runtime = _Recorded(results.info, request.runtime, RUNTIMES[request.runtime])
    target = Target(runtime, np.zeros((request.batch_size, 1, 1, 1), dtype=np.float32), fps=request.settings.fps)
    for record in profile(
        request.space,
        request.task,
        target,
        lambda chain: Path(repr(chain)),
        settings=request.settings,
        rng=np.random.default_rng(request.seed),
        details={**graph_details(request.opset, request.rewrites), **details},
        memory=results,
        machine=results.machine,
    ):
        if isinstance(record, ProfileResult):
            measuring = replace(record.table.measuring, date=results.ended, seconds=results.seconds)
            table = replace(record.table, measuring=measuring)
            yield replace(record, table=table, seconds=float(results.seconds))
        elif isinstance(record, Note):
            yield record


@dataclass(slots=True)
class _Recorded:
    """A runtime that was somewhere else: what it measured is in the results, and nothing runs here."""

    info: RunnerInfo
    name: str
    device_kind: Literal["cpu", "cuda"]
    accepts: tuple[SourceKind, ...] = ()
    precisions: tuple[Precision, ...] = ()

    def probe(self) -> Probe:
        return Probe(works=False, reason="its measurements were made elsewhere")

    def load(
        self, source: Path | nn.Module, *, precision: Precision = "fp32", threads: int | None = None, spinning: bool = True
    ) -> _RecordedRunner:
        return _RecordedRunner(self.info)


@dataclass(frozen=True, slots=True)
class _RecordedRunner:
    info: RunnerInfo

    def __call__(self, images_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        raise LatencyTableError("a measurement is missing from the results", hint=GO_ON)

    def compute_ms(self, images_NCHW: NDArray[np.float32]) -> float | None:
        return None

    def close(self) -> None:
        """Nothing is open."""
