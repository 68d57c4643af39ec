"""What several runtimes load, timed in turn: files of an export, and the net itself beside them.

One live session at a time, whatever the runtime: idle threads of another would spin beside it and double its times. Each
entrant is loaded anew at every visit, and the reference is returned to before and after each, so that a ratio compares calls that
were made within a moment.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import Precision, Runner, RunnerInfo, Runtime
from edgenas.latency.timing.gpu import gpu_state
from edgenas.latency.timing.samples import NetTiming
from edgenas.latency.timing.sessions import timings_of
from edgenas.latency.timing.target import TimingSettings
from edgenas.portable.calls import CallTimer
from edgenas.portable.machine import Watches
from edgenas.portable.memory import Forgetful, Memory
from edgenas.portable.rounds import REFERENCE, Rounds, Visit
from edgenas.records import UNSEEN, MachineFacts
from edgenas.runs import Progress

if TYPE_CHECKING:
    from torch import nn

    from edgenas.latency.timing.target import Clock

BENCH_TIMING = TimingSettings(visits=21, runs=8, visit_ms=200.0, warmup_ms=20.0, reference_every=1)  # up to 672 calls: a p99


@dataclass(frozen=True, slots=True)
class Entrant:
    """Something that a runtime loads, and what it is called with.

    Attributes:
        source: a file, or a module.
        runtime: loads it.
        images_NCHW: the input of every call.
        precision: as in `Runtime.load`.
        threads: as in `Runtime.load`.
    """

    source: Path | nn.Module
    runtime: Runtime
    images_NCHW: NDArray[np.float32]
    precision: Precision = "fp32"
    threads: int | None = None

    def load(self) -> Runner:
        """A live runner; the caller closes it.

        Raises:
            MissingBackendError, ArtefactError, UsageError: as `Runtime.load`.
        """
        return self.runtime.load(self.source, precision=self.precision, threads=self.threads)

    def tried(self) -> RunnerInfo:
        """What its live session says of itself once it has answered a call.

        Raises:
            MissingBackendError, ArtefactError, UsageError: as `Runtime.load`.
        """
        runner = self.load()
        try:
            runner(self.images_NCHW)
            return runner.info
        finally:
            runner.close()


@dataclass(frozen=True, slots=True)
class Turns:
    """What all entrants measured.

    Attributes:
        timings: of the entrants, in the order asked for.
        reference: of the one that was returned to, a row a visit.
        num_runs: timed calls of a visit.
        seconds: that all took.
        machine: what else went on in the meantime.
    """

    timings: tuple[NetTiming, ...]
    reference: NetTiming
    num_runs: int
    seconds: float
    machine: MachineFacts = UNSEEN


@dataclass(frozen=True, slots=True)
class _Visitor:
    """Loads an entrant, times it, and frees it before the next."""

    entrants: Sequence[Entrant]
    reference: Entrant
    timer: CallTimer

    def wake(self) -> int:
        """Call the reference until the processor is awake; how many runs a visit has."""
        runner = self.reference.load()
        try:
            return self.timer.wake(partial(runner, self.reference.images_NCHW))
        finally:
            runner.close()

    def visit(self, net: int, num_runs: int) -> Visit:
        """Time one entrant."""
        entrant = self.reference if net == REFERENCE else self.entrants[net]
        runner = entrant.load()
        try:
            samples_ms = self.timer.visit(partial(runner, entrant.images_NCHW), num_runs)
            return Visit(samples_ms, runner.compute_ms(entrant.images_NCHW))
        finally:
            runner.close()


def take_turns(
    entrants: Sequence[Entrant],
    reference: Entrant,
    settings: TimingSettings = BENCH_TIMING,
    *,
    rng: np.random.Generator,
    label: str = "timing in turn",
    memory: Memory | None = None,
    clock: Clock = time.perf_counter_ns,
) -> Iterator[Progress | Turns]:
    """Time entrants in rounds of random order, the reference around each; the last record is the `Turns`.

    Args:
        entrants: may be none; the reference alone is timed then.
        reference: what all are compared with.
        settings: visits and runs.
        rng: draws the order of every round.
        label: of the progress records.
        memory: holds the visits of an interrupted call with equal arguments, which are not made again; new ones go there.
        clock: nanoseconds.

    Raises:
        MissingBackendError, ArtefactError: as `Runtime.load`.
    """
    start, kept = clock(), Forgetful() if memory is None else memory
    timer = CallTimer(clock, time.sleep, 0, settings.runs, settings.visit_ms, settings.warmup_ms)
    has_gpu = any(each.runtime.device_kind == "cuda" for each in (reference, *entrants))
    watch = Watches(kept, gpu_state if has_gpu else None)
    rounds = Rounds(_Visitor(entrants, reference, timer), kept, watch, settings.reference_every)
    orders = [rng.permutation(len(entrants)).tolist() for _ in range(settings.visits)]
    for done in rounds.run(orders):
        yield Progress(label, done, settings.visits * len(entrants))
    assert rounds.num_runs is not None
    seconds = (clock() - start) / 1e9 + watch.seconds_before
    machine = MachineFacts.from_json(watch.end(rounds.num_made))
    yield Turns(*timings_of(rounds, len(entrants)), rounds.num_runs, seconds, machine)
