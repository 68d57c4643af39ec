"""Honest timing of nets: many short visits in random order, a reference net returned to often, every run kept.

Virtual and thermally limited processors jump between speeds for milliseconds to seconds. One long visit sees one of them; many
short ones see both. Nets are compared by `NetTiming.relative`; what a user is promised stays the plain distribution of calls.

One runner lives at a time where idle threads of another would spin beside it; elsewhere runners stay loaded, which is as true
and saves loading them at every visit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import Runner, RunnerInfo
from edgenas.latency.timing.gpu import gpu_state
from edgenas.latency.timing.samples import NetTiming
from edgenas.latency.timing.target import Target, TimingSettings, stays_loaded
from edgenas.portable.machine import Watches
from edgenas.portable.memory import Forgetful, Memory
from edgenas.portable.rounds import REFERENCE, Rounds, Visit
from edgenas.records import UNSEEN, MachineFacts
from edgenas.runs import Progress

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Session:
    """What one series of rounds gave.

    Attributes:
        timings: of the nets, in the order asked for.
        reference: of the reference net, one row a visit to it.
        info: what the reference's live runner says of itself.
        seconds: wall time of the series.
        num_runs: timed runs a visit.
        machine: what else went on in the meantime.
    """

    timings: tuple[NetTiming, ...]
    reference: NetTiming
    info: RunnerInfo
    seconds: float
    num_runs: int
    machine: MachineFacts = UNSEEN


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


@dataclass(slots=True)
class _Visitor:
    """Visits nets by their number, the reference as `REFERENCE`; knows what the live runner of that says of itself."""

    loader: _Loader
    sources: Sequence[Path | nn.Module]
    reference: Path | nn.Module
    settings: TimingSettings
    _info: RunnerInfo | None = None

    def wake(self) -> int:
        """Call the reference until the processor is awake; how many runs a visit has."""
        target = self.loader.target
        with self.loader.runner(REFERENCE, self.reference) as runner:
            self._info = runner.info
            return target.timer(self.settings).wake(partial(runner, target.feed(self.reference)))

    def visit(self, net: int, num_runs: int) -> Visit:
        """Time one net."""
        target, source = self.loader.target, self.reference if net == REFERENCE else self.sources[net]
        images_NCHW = target.feed(source)
        with self.loader.runner(net, source) as runner:
            samples_ms = target.timer(self.settings).visit(partial(runner, images_NCHW), num_runs)
            return Visit(samples_ms, runner.compute_ms(images_NCHW))

    def info(self) -> RunnerInfo:
        """What the reference's live runner reports; it is loaded for that where no visit was made."""
        if self._info is None:
            with self.loader.runner(REFERENCE, self.reference) as runner:
                self._info = runner.info
        return self._info


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
    start, kept = target.clock(), Forgetful() if memory is None else memory
    watch = Watches(kept, gpu_state if target.runtime.device_kind == "cuda" else None)
    loader = _Loader(target, stays_loaded(target, [*sources, reference]))
    visitor = _Visitor(loader, sources, reference, settings)
    rounds = Rounds(visitor, kept, watch, settings.reference_every)
    orders = [rng.permutation(len(sources)).tolist() for _ in range(settings.visits)]
    try:
        for done in rounds.run(orders):
            yield Progress(label, done, settings.visits * len(sources))
        info = visitor.info()
    finally:
        loader.close()
    seconds = (target.clock() - start) / 1e9 + watch.seconds_before
    yield _session(rounds, len(sources), info, seconds, MachineFacts.from_json(watch.end(rounds.num_made)))


def _session(rounds: Rounds, num_nets: int, info: RunnerInfo, seconds: float, machine: MachineFacts) -> Session:
    """Every net's visits, with the reference's around them."""
    timings, reference = timings_of(rounds, num_nets)
    assert rounds.num_runs is not None
    return Session(timings, reference, info, seconds, rounds.num_runs, machine)


def timings_of(rounds: Rounds, num_nets: int) -> tuple[tuple[NetTiming, ...], NetTiming]:
    """The runs of every net, by its number, and those of the reference, once all rounds are made."""
    fastest_V = np.array([min(visit.ms) for visit in rounds.beside], dtype=np.float64)
    floor_ms = float(fastest_V.min())
    around_V = (fastest_V[:-1] + fastest_V[1:]) / 2  # what is at a reference's number is around the nets after it
    timings = tuple(_net_timing(rounds.visits[net], around_V[rounds.around[net]], floor_ms) for net in range(num_nets))
    return timings, _net_timing(rounds.beside, fastest_V, floor_ms)


def probe_visit(target: Target, source: Path | nn.Module, settings: TimingSettings) -> float:
    """Seconds that one visit to a net takes, loading included unless it would stay loaded."""
    start = target.clock()
    runner = target.load(source)
    loading_ns = target.clock() - start
    try:
        call = partial(runner, target.feed(source))
        return target.timer(settings).visit_seconds(call, 0 if stays_loaded(target, [source]) else loading_ns)
    finally:
        runner.close()


def _net_timing(visits: Sequence[Visit], reference_V: NDArray[np.float64], floor_ms: float) -> NetTiming:
    compute = [visit.compute_ms for visit in visits if visit.compute_ms is not None]
    samples_VR = np.array([visit.ms for visit in visits], dtype=np.float64)
    return NetTiming(samples_VR, reference_V, floor_ms, np.array(compute, dtype=np.float64))
