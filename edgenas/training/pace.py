"""How long a training takes here: a few real steps are timed, the rest is extrapolated and called estimated."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgenas.records import Estimate, PlannedTraining
from edgenas.runs import Progress
from edgenas.training.fitting import TrainingJob
from edgenas.training.folder import has_weights
from edgenas.training.loop import StepRecord, start, train

WARMUP_STEPS = 2  # caches fill, loading processes start
MIN_STEPS, MAX_STEPS, SECONDS = 5, 40, 4.0  # timed, of every net


def sum_of(estimates: Sequence[Estimate]) -> Estimate:
    """How long several works take, one after the other."""
    return Estimate(
        sum(each.value for each in estimates),
        sum(each.low for each in estimates),
        sum(each.high for each in estimates),
        sum(each.n for each in estimates),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Timed:
    """A training of which a few steps were run.

    Attributes:
        job: what would be trained.
        laps: seconds of every step, loading included.
        evaluation_s: seconds of reading select once; 0 for a job without.
        net: after these steps.
    """

    job: TrainingJob
    laps: list[float]
    evaluation_s: float
    net: nn.Module

    @property
    def num_steps(self) -> int:
        """Steps of the whole training."""
        return self.job.loop.epochs * self.job.batches.num_batches

    @property
    def estimate(self) -> Estimate:
        """How long the whole training takes, select read after every epoch."""
        return Estimate.of(self.laps, self.num_steps, self.job.loop.epochs * self.evaluation_s)

    def planned(self, net: str, folder: Path) -> PlannedTraining:
        """For the result of `plan`.

        Args:
            net: that is trained.
            folder: of its weights.
        """
        return PlannedTraining(
            seconds=self.estimate,
            epochs=self.job.loop.epochs,
            steps=self.num_steps,
            batch_size=self.job.batches.batch_size,
            step_ms=Estimate.of(self.laps, 1e3),
            evaluation_s=self.evaluation_s,
            net=net,
            is_done=has_weights(folder),
        )


def time_job(job: TrainingJob, *, seconds: float = SECONDS) -> Generator[Progress, None, Timed]:
    """Run a few steps of a job and read select once; nothing is written.

    Args:
        job: whose net is built afresh.
        seconds: after which no more than the least number of steps is run.
    """
    tried = job.label.removeprefix("trying ")
    label = f"timing the {tried}" if tried == job.label else f"timing steps of {tried}"
    state = start(job.build(), job.loop, torch.device(job.device))
    laps: list[float] = []
    begun = time.perf_counter()
    steps = train(state, job.batches, job.objective, job.loop, teacher=job.teacher, subnets=job.subnets, mix=job.mix)
    for lap in _laps(steps):
        laps.append(lap)
        yield Progress(label, min(len(laps), MAX_STEPS + WARMUP_STEPS), MAX_STEPS + WARMUP_STEPS)
        enough = len(laps) >= WARMUP_STEPS + MIN_STEPS and time.perf_counter() - begun > seconds
        if enough or len(laps) == MAX_STEPS + WARMUP_STEPS:
            break
    if isinstance(steps, Generator):
        steps.close()
    yield Progress(label, MAX_STEPS + WARMUP_STEPS, MAX_STEPS + WARMUP_STEPS)
    began = time.perf_counter()
    if job.evaluate is not None:
        job.evaluate(state.result.eval())
    evaluation_s = time.perf_counter() - began if job.evaluate is not None else 0.0
    return Timed(job, laps[WARMUP_STEPS:] or laps, evaluation_s, state.result)


def _laps(steps: Iterator[Any]) -> Iterator[float]:
    """Seconds of every optimiser step, loading included."""
    mark = time.perf_counter()
    for record in steps:
        if isinstance(record, StepRecord):
            yield time.perf_counter() - mark
        mark = time.perf_counter()
