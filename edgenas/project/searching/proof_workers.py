"""Training nets alone in several processes at once.

Every process trains whole nets, one after the other, with the threads that a single process has, so that results have the same bits
whatever their number. Only the main process writes the journal of results; what is unfinished lies in a folder a net, as always.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any

from edgenas.config import Flags
from edgenas.errors import EdgeNASError, RunFolderError
from edgenas.project.journals import PROOFS
from edgenas.project.searching.proof import Prover
from edgenas.records import Arch
from edgenas.runs import Journal, Note, Progress, Record
from edgenas.runs.place import threads_here
from edgenas.training.probing import clear

TELL_EVERY_S = 0.25  # how often a process tells of its steps
LOOK_EVERY_S = 0.5
PATIENCE_S = 120.0  # for a step and the saving of its state
LOCK = ".proof.lock"  # of the processes that train; it ends with them


class WorkerLostError(EdgeNASError):
    """A process that trained nets ended without a word."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the processes are to train.

    Attributes:
        run, flags, overrides: of the command, so that every process opens the same project.
        archs: readable architectures.
        epochs: of each.
        keys: what their results are known by.
        labels: on the progress bars.
    """

    run: Path
    flags: Flags
    overrides: tuple[str, ...]
    archs: tuple[Arch, ...]
    epochs: int
    keys: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(slots=True)
class _Worker:
    """One process; ``net`` is the place of what it trains, None when it waits for more."""

    number: int
    process: SpawnProcess
    pipe: Connection
    net: int | None = None


def wait_for_earlier(search: Path) -> None:
    """Wait until no process of a killed command trains nets of this run any more.

    Raises:
        RunFolderError: if one does not end.
    """
    search.mkdir(parents=True, exist_ok=True)
    with (search / LOCK).open("a+") as file:
        ends = time.monotonic() + PATIENCE_S
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if time.monotonic() > ends:
                raise RunFolderError(f"{search} is in use by processes of an earlier command", hint="end them, then try again")
            time.sleep(LOOK_EVERY_S)
        fcntl.flock(file, fcntl.LOCK_UN)


def train_apart(prover: Prover, order: Order, num_workers: int) -> Generator[Record, None, None]:
    """Train the nets whose results are not known yet, in so many processes; each result is recorded as it comes.

    Stopped, or when a process is lost or fails, the others save their state and end before it is told.

    Raises:
        WorkerLostError: naming the net of a process that ended by itself.
        EdgeNASError: what a process reports.
    """
    left = [place for place, key in enumerate(order.keys) if prover.memory.recall(key) is None]
    if not left:
        return
    num_workers = min(num_workers, len(left))
    yield from _crowded(num_workers)
    context = get_context("spawn")
    workers = [_start(context, order, number, _gpu(prover.device, number)) for number in range(num_workers)]
    try:
        for worker in workers:
            _hand_out(worker, left)
        while any(worker.net is not None for worker in workers):
            ready = connection.wait([worker.pipe for worker in workers if worker.net is not None], LOOK_EVERY_S)
            for worker in workers:
                if worker.pipe in ready:
                    yield from _hear(worker, prover, order, left)
    finally:
        _end(workers)


def _crowded(num_workers: int) -> Iterator[Note]:
    import torch

    threads, cores = torch.get_num_threads(), threads_here()
    if num_workers * threads > cores:
        text = f"{num_workers} processes of {threads} thread{'s' if threads > 1 else ''} each share {cores} cores"
        yield Note(f"{text}: fewer --workers may be as fast", is_warning=True)


def _gpu(device: str, number: int) -> str | None:
    """The only GPU that a process is to see; None where it computes on the CPU."""
    if device != "cuda":
        return None
    import torch

    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    gpus = named or [str(index) for index in range(torch.cuda.device_count())]
    return gpus[number % len(gpus)]


def _start(context: SpawnContext, order: Order, number: int, gpu: str | None) -> _Worker:
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(order, theirs, gpu), name=f"edgenas-net-{number}")
    process.start()
    theirs.close()
    return _Worker(number, process, ours)


def _hand_out(worker: _Worker, left: list[int]) -> None:
    """The next net to a process that waits; None when there is no more."""
    worker.net = left.pop(0) if left else None
    with suppress(OSError):  # a dead process is noticed when it is listened to
        worker.pipe.send(worker.net)


def _hear(worker: _Worker, prover: Prover, order: Order, left: list[int]) -> Iterator[Record]:
    """What one process says."""
    assert worker.net is not None
    try:
        kind, said = worker.pipe.recv()
    except (EOFError, OSError) as error:
        worker.process.join(PATIENCE_S)
        raise _lost(worker, order.labels[worker.net]) from error
    if kind == "failed":
        raise said
    if kind == "record":
        yield said
        return
    key, packed, folder = said
    if key != order.keys[worker.net]:
        raise RuntimeError(f"{order.labels[worker.net]} was trained as {key}, not as {order.keys[worker.net]}")
    prover.memory.record(key, packed)
    clear(folder)
    _hand_out(worker, left)


def _lost(worker: _Worker, label: str) -> WorkerLostError:
    code = worker.process.exitcode
    how = f"was ended by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with status {code}"
    return WorkerLostError(
        f"the process that trained {label} {how}",
        hint="the same command goes on where every net is; where memory ran out, take fewer --workers",
    )


def _end(workers: Sequence[_Worker]) -> None:
    """Ask all processes to save what they do and to end; who does not is ended."""
    for worker in workers:
        worker.pipe.close()  # the end of file asks for it
    ends = time.monotonic() + PATIENCE_S
    for worker in workers:
        worker.process.join(max(0.0, ends - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def _work(order: Order, pipe: Connection, gpu: str | None) -> None:
    """What a process does: train what it is given until there is no more, or nobody listens."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        os.setpgrp()  # a terminal's Ctrl-C asks the main process, which asks this one
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            _serve(order, pipe)
        except EdgeNASError as error:
            pipe.send(("failed", error))


def _serve(order: Order, pipe: Connection) -> None:
    from edgenas.project.opening import open_images, open_project
    from edgenas.project.trainings.loaded_teacher import load_teacher
    from edgenas.project.trainings.teaching import teaching_of
    from edgenas.training.devices import torch_device
    from edgenas.training.teacher import remembering

    project = open_project(order.run, order.flags, order.overrides)
    device = torch_device(project.settings.search.device)
    images = open_images(project)
    teacher = remembering(load_teacher(project, images).to(device) if teaching_of(project)[0] > 0 else None)
    nothing_known = Journal(project.run.search / f"{PROOFS}.none", {})  # never written: the main process records
    prover = Prover(project, images, teacher, device, nothing_known)
    with (project.run.search / LOCK).open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        while (place := pipe.recv()) is not None:
            label = order.labels[place]
            steps = prover.trained(order.archs[place], order.epochs, label)
            key, packed, folder = _told(steps, pipe)
            pipe.send(("done", (key, packed.as_json(), folder)))


def _told(steps: Generator[Record, None, Any], pipe: Connection) -> Any:
    """The result of a training whose records are told; it is interrupted where its state is whole once nobody listens."""
    last_s = 0.0
    try:
        while True:
            record = next(steps)
            now = time.monotonic()
            if isinstance(record, Note) or (isinstance(record, Progress) and (now - last_s > TELL_EVERY_S or _is_last(record))):
                last_s = now
                pipe.send(("record", record))
            if pipe.poll():  # nothing is sent to a process that is at work, but the end of file
                pipe.recv()
    except StopIteration as stop:
        return stop.value
    except (EOFError, OSError):
        with suppress(KeyboardInterrupt):
            steps.throw(KeyboardInterrupt())
        raise EOFError from None


def _is_last(record: Progress) -> bool:
    return record.done >= record.total


def labels_of(num: int) -> tuple[str, ...]:
    """What the nets of a study are called on progress bars."""
    return tuple(f"alone {position}/{num}" for position in range(1, num + 1))


def keys_of(prover: Prover, archs: Sequence[Mapping[str, Any]], epochs: int) -> tuple[str, ...]:
    """What the results of these trainings are known by."""
    return tuple(prover.key(prover.job(arch, epochs, "")) for arch in archs)
