"""Honest timing of nets: many short visits in random order, a reference net returned to often, every run kept.

Virtual and thermally limited processors jump between speeds for milliseconds to seconds. One long visit sees one of them; many
short ones see both. Nets are compared by `NetTiming.relative`; what a user is promised stays the plain distribution of calls.

One runner lives at a time where idle threads of another would spin beside it; elsewhere runners stay loaded, which is as true
and saves loading them at every visit.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import Runner, RunnerInfo
from edgenas.latency.timing.machine import Watches
from edgenas.latency.timing.memory import Memory
from edgenas.latency.timing.samples import NetTiming
from edgenas.latency.timing.target import Pace, Target, TimingSettings, stays_loaded
from edgenas.runs import Progress

if TYPE_CHECKING:
    from torch import nn

MAX_RUNS = 32


@dataclass(frozen=True, slots=True)
class Session:
    """What one series of rounds gave.

    Attributes:
        timings: of the nets, in the order asked for.
        reference: of the reference net, one row a visit to it.
        info: what the reference's live runner says of itself.
        seconds: wall time of the series.
        num_runs: timed runs a visit.
        machine: what else went on in the meantime, by `machine.summary`.
    """

    timings: tuple[NetTiming, ...]
    reference: NetTiming
    info: RunnerInfo
    seconds: float
    num_runs: int
    machine: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Loader:
    """Hands out runners: one live at a time, or all kept."""

    target: Target
    resident: bool
    _kept: dict[int, Runner] = field(default_factory=dict)

    @contextmanager
    def runner(self, index: int, source: Path | nn.Module) -> Iterator[Runner]:
        """A live runner of net ``index``."""
        runner = self._kept.get(index)
        if runner is None:
            runner = self.target.load(source)
            if self.resident:
                self._kept[index] = runner
        try:
            yield runner
        finally:
            if not self.resident:
                runner.close()

    def close(self) -> None:
        """Free what is kept."""
        while self._kept:
            self._kept.popitem()[1].close()


@dataclass(frozen=True, slots=True)
class _Visit:
    samples_R: NDArray[np.float64]
    compute_ms: float | None

    @property
    def plain(self) -> dict[str, Any]:
        """JSON-ready, read back by `from_plain`."""
        return {"ms": self.samples_R.tolist(), "compute_ms": self.compute_ms}

    @classmethod
    def from_plain(cls, value: Any) -> _Visit:
        return cls(np.array(value["ms"], dtype=np.float64), value["compute_ms"])


@dataclass(slots=True)
class _Visitor:
    """Visits nets, each visit under its own key, so that one that was made before is not made again."""

    loader: _Loader
    settings: TimingSettings
    memory: Memory | None
    num_runs: int = 0
    num_made: int = 0

    def begin(self, reference: Path | nn.Module) -> RunnerInfo:
        """Wake the processor up and decide how many runs a visit has."""
        kept = None if self.memory is None else self.memory.recall("runs")
        if kept is not None:
            self.num_runs = int(kept)
            with self.loader.runner(-1, reference) as runner:
                return runner.info
        info, self.num_runs = _begin(self.loader, reference, self.settings)
        if self.memory is not None:
            self.memory.record("runs", self.num_runs)
        return info

    def __call__(self, key: str, index: int, source: Path | nn.Module) -> _Visit:
        kept = None if self.memory is None else self.memory.recall(key)
        if kept is not None:
            return _Visit.from_plain(kept)
        visit = _visit(self.loader, index, source, self.settings, self.num_runs)
        self.num_made += 1
        if self.memory is not None:
            self.memory.record(key, visit.plain)
        return visit


def time_nets(
    target: Target,
    sources: Sequence[Path | nn.Module],
    reference: Path | nn.Module,
    settings: TimingSettings,
    *,
    rng: np.random.Generator,
    label: str = "timing nets",
    memory: Memory | None = None,
) -> Iterator[Progress | Session]:
    """Time nets interleaved with a reference; the last record is the `Session`.

    Args:
        target: runtime and input.
        sources: what the runtime loads, one a net.
        reference: a net of typical size that is returned to.
        settings: visits and runs.
        rng: draws the order of every round.
        label: of the progress records.
        memory: holds the visits of an interrupted call with equal arguments, which are not made again; new ones go there.

    Raises:
        MissingBackendError: as `Runtime.load`.
        ArtefactError: as `Runtime.load`.
    """
    start, watch = target.clock(), Watches(target.runtime.device_kind, memory)
    loader = _Loader(target, stays_loaded(target, [*sources, reference]))
    visit = _Visitor(loader, settings, memory)
    visits: list[list[_Visit]] = [[] for _ in sources]
    around: list[list[tuple[int, int]]] = [[] for _ in sources]
    beside: list[_Visit] = []
    enabled = gc.isenabled()
    gc.disable()
    try:
        info = visit.begin(reference)
        for round_index in range(settings.visits):
            beside.append(visit(f"reference {len(beside)}", -1, reference))
            for position, net in enumerate(rng.permutation(len(sources)).tolist()):
                if position and position % settings.reference_every == 0:
                    beside.append(visit(f"reference {len(beside)}", -1, reference))
                visits[net].append(visit(f"round {round_index} net {net}", net, sources[net]))
                around[net].append((len(beside) - 1, len(beside)))
                watch.glance(visit.num_made)
                yield Progress(label, round_index * len(sources) + position + 1, settings.visits * len(sources))
            gc.collect(1)  # what one round left behind, not the whole heap
        beside.append(visit(f"reference {len(beside)}", -1, reference))
    finally:
        loader.close()
        if enabled:
            gc.enable()
    fastest = np.array([made.samples_R.min() for made in beside])
    floor_ms = float(fastest.min())
    timings = tuple(
        _net_timing(mine, np.array([(fastest[a] + fastest[b]) / 2 for a, b in pairs]), floor_ms)
        for mine, pairs in zip(visits, around, strict=True)
    )
    seconds = (target.clock() - start) / 1e9 + watch.seconds_before
    machine = watch.end(visit.num_made)
    yield Session(timings, _net_timing(beside, fastest, floor_ms), info, seconds, visit.num_runs, machine)


def probe_visit(target: Target, source: Path | nn.Module, settings: TimingSettings) -> float:
    """Seconds that one visit to a net takes, loading included unless it would stay loaded."""
    start = target.clock()
    runner = target.load(source)
    loading = target.clock() - start
    try:
        images_NCHW = target.feed(source)
        runner(images_NCHW)
        begin = target.clock()
        runner(images_NCHW)
        each = target.clock() - begin
    finally:
        runner.close()
    each = max(each, target.period_ns)
    runs = max(settings.runs, min(MAX_RUNS, int(settings.visit_ms * 1e6 / max(each, 1))))
    warm = max(2 * each, settings.warmup_ms * 1e6)
    return ((0 if stays_loaded(target, [source]) else loading) + warm + (runs + 1) * each) / 1e9


def _begin(loader: _Loader, reference: Path | nn.Module, settings: TimingSettings) -> tuple[RunnerInfo, int]:
    """Wake the processor up; decide how many runs a visit has."""
    clock, images_NCHW = loader.target.clock, loader.target.feed(reference)
    with loader.runner(-1, reference) as runner:
        for _ in range(3):
            runner(images_NCHW)
        start, pace = clock(), Pace(loader.target)
        each_ns: list[int] = []
        while len(each_ns) < 5 or (clock() - start < 2e8 and len(each_ns) < 1000):
            begin = pace.wait()
            runner(images_NCHW)
            each_ns.append(clock() - begin)
        wanted = settings.visit_ms * 1e6 / max(min(each_ns), loader.target.period_ns, 1)
        runs = int(np.clip(wanted, settings.runs, max(MAX_RUNS, settings.runs)))
        return runner.info, runs


def _visit(loader: _Loader, index: int, source: Path | nn.Module, settings: TimingSettings, num_runs: int) -> _Visit:
    clock, images_NCHW = loader.target.clock, loader.target.feed(source)
    samples = np.empty(num_runs)
    with loader.runner(index, source) as runner:
        start, pace = clock(), Pace(loader.target)
        count = 0
        while count < 2 or clock() - start < settings.warmup_ms * 1e6:
            pace.wait()
            runner(images_NCHW)
            count += 1
        for run in range(num_runs):
            begin = pace.wait()
            runner(images_NCHW)
            samples[run] = (clock() - begin) / 1e6
        return _Visit(samples, runner.compute_ms(images_NCHW))


def _net_timing(visits: Sequence[_Visit], reference_V: NDArray[np.float64], floor_ms: float) -> NetTiming:
    compute = [visit.compute_ms for visit in visits if visit.compute_ms is not None]
    samples_VR = np.stack([visit.samples_R for visit in visits])
    return NetTiming(samples_VR, reference_V, floor_ms, np.array(compute, dtype=np.float64))
