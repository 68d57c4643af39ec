"""Short trainings that decide a setting: how long each takes is bounded by steps and told before."""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgenas.runs import Note, Record
from edgenas.training.checkpoints import load_weights
from edgenas.training.fitting import TrainingJob, changes_since, fit
from edgenas.training.folder import WEIGHTS
from edgenas.training.loop import StepRecord, start, train

TIMED = 4  # steps of every job, the first of which warms up


def shortened(job: TrainingJob, num_steps: int) -> TrainingJob:
    """The job with about ``num_steps`` optimiser steps: fewer epochs, and fewer images of every class where one epoch has more."""
    per_epoch = job.batches.num_batches
    epochs = min(job.loop.epochs, max(1, round(num_steps / per_epoch)))
    batches = job.batches
    if per_epoch > num_steps:
        kept_N = _some_of_every_class(batches.indices_N, batches.store.source.labels_N, num_steps / per_epoch)
        batches = replace(batches, indices_N=kept_N)
    loop = replace(job.loop, epochs=epochs, schedule="cosine", keep_best=False, max_seconds=None)
    return replace(job, loop=loop, batches=batches)


def _some_of_every_class(indices_N: NDArray[np.int64], labels_M: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """So large a share of the images of every class, at least one each, the same every time."""
    rng = np.random.default_rng(0)
    labels_N = labels_M[indices_N]
    kept = []
    for label in np.unique(labels_N):
        mine = indices_N[labels_N == label]
        kept.append(rng.choice(mine, size=max(1, round(share * len(mine))), replace=False))
    return np.sort(np.concatenate(kept))


def seconds_of(jobs: Sequence[TrainingJob]) -> float:
    """Estimated seconds of these trainings, evaluations left out, from a few real steps of each; nothing is written."""
    return sum(_step_s(job) * job.loop.epochs * job.batches.num_batches for job in jobs)


def _step_s(job: TrainingJob) -> float:
    state = start(job.build(), job.loop, torch.device(job.device))
    steps = train(state, job.batches, job.objective, job.loop, teacher=job.teacher, subnets=job.subnets, mix=job.mix)
    marks = [time.perf_counter()]
    for record in steps:
        if isinstance(record, StepRecord):
            marks.append(time.perf_counter())
        if len(marks) > TIMED:
            break
    if isinstance(steps, Generator):
        steps.close()
    laps = np.diff(marks)
    return float(np.median(laps[1:] if len(laps) > 1 else laps)) if len(laps) else 0.0


def minutes(seconds: float) -> str:
    """A duration for a reader."""
    return f"{seconds / 60:.1f} minutes" if seconds >= 55 else many(max(1, round(seconds)), "second")


def many(num: int, what: str) -> str:
    """``1 epoch``, ``2 epochs``."""
    return f"{num} {what}" if num == 1 else f"{num} {what}s"


def told(what: str, jobs: Sequence[TrainingJob]) -> Note:
    """What is going to be tried and how long that takes; what is there already takes no time."""
    left = [job for job in jobs if changes_since(job) != []]
    estimate = f", about {minutes(seconds_of(left))}" if left else ", there already"
    return Note(f"{what}{estimate} (estimated from a few steps)" if left else f"{what}{estimate}")


def probe(job: TrainingJob) -> Generator[Record, None, nn.Module]:
    """The trained net of a job, in eval mode; trained now unless it is there already, going on where it was interrupted."""
    if changes_since(job) != []:
        yield from fit(job, quiet=True)
    net = job.build()
    load_weights(job.folder / WEIGHTS, net)
    return net.to(job.device).eval()


def clear(folder: Path) -> None:
    """Remove the nets of a probe whose answer is written."""
    shutil.rmtree(folder, ignore_errors=True)
