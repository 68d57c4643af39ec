"""Training nets alone in several processes at once, on one machine or many, with Ray.

Images, settings and the teacher are put once into Ray's object store. Every process trains whole nets, one after the other, with
the threads that a single process has, so that results have the same bits whatever their number and the order in which they end.
Only the main process writes the journal of results. What is unfinished lies in a folder a net, as always, of the run where a
process sees it: there a net whose process was lost goes on from its last saved state, elsewhere it begins again.
"""

from __future__ import annotations

import fcntl
import functools
import importlib
import signal
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from edgenas.errors import EdgeNASError, RunFolderError
from edgenas.project.journals import PROOFS
from edgenas.project.searching.proof import Prover
from edgenas.project.searching.ray_workers import RETRIES, ClusterError, Workers, answer_of, cluster, num_there
from edgenas.records import Arch
from edgenas.runs import Journal, Note, Progress, Record, RunFolder
from edgenas.runs.place import threads_here
from edgenas.training.probing import clear

LOOK_EVERY_S = 0.5
PATIENCE_S = 120.0  # for a step and the saving of its state
LOCK = ".proof.lock"  # of the processes that train; it ends with them


@dataclass(frozen=True, slots=True)
class ProofOrder:
    """What the processes are to train.

    Attributes:
        archs: readable architectures.
        epochs: of each.
        keys: what their results are known by.
        labels: for messages.
    """

    archs: tuple[Arch, ...]
    epochs: int
    keys: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a process gives back of one net.

    Attributes:
        result: key, probabilities as JSON and folder; None where the net could not be trained.
        notes: said on the way.
        error: why it could not.
    """

    result: tuple[str, Any, Path] | None
    notes: tuple[Note, ...] = ()
    error: EdgeNASError | None = None


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


def train_apart(prover: Prover, order: ProofOrder, workers: Workers) -> Generator[Record, None, None]:
    """Train the nets whose results are not known yet; each result is recorded as it comes.

    A net whose process is lost is trained again. Stopped, or when one fails, all save their state and end before it is told.

    Raises:
        MissingBackendError: if Ray is not installed.
        ClusterError: if there is no cluster, or a process is lost again and again.
        EdgeNASError: what a process reports.
    """
    left = [place for place, key in enumerate(order.keys) if prover.memory.recall(key) is None]
    if not left:
        return
    yield from _crowded(workers)
    total, waiting = len(left), dict[Any, int]()
    with cluster(workers) as ray:
        kept = ray.put((_to_send(prover), order, torch.get_num_threads()))
        options = {"num_cpus": 1, "num_gpus": int(prover.device == "cuda"), "max_retries": RETRIES}
        train = ray.remote(**options)(_train_alone)
        num = num_there(ray, workers.num, prover.device)
        try:
            while left or waiting:
                while left and len(waiting) < num:
                    place = left.pop(0)
                    waiting[train.remote([kept], place)] = place
                yield Progress("training nets alone", total - len(left) - len(waiting), total)
                for each in ray.wait(list(waiting), num_returns=1, timeout=LOOK_EVERY_S)[0]:
                    yield from _take(prover, order, waiting.pop(each), ray, each)
            yield Progress("training nets alone", total, total)
        finally:
            _stop(ray, list(waiting))
            if prover.teacher is not None:
                prover.teacher.to(prover.device)


def _to_send(prover: Prover) -> Prover:
    """What processes get: the run folder wherever they work, the teacher (on the CPU meanwhile), a journal that nobody writes."""
    run = RunFolder(prover.project.run.path.absolute())
    teacher = None if prover.teacher is None else prover.teacher.cpu()
    nothing_known = Journal(run.search / f"{PROOFS}.none", {})
    return replace(prover, project=replace(prover.project, run=run), teacher=teacher, memory=nothing_known)


def _crowded(workers: Workers) -> Iterator[Note]:
    threads, cores = torch.get_num_threads(), threads_here()
    if workers.address is None and workers.num is not None and workers.num * threads > cores:
        text = f"{workers.num} processes of {threads} thread{'s' if threads > 1 else ''} each share {cores} cores"
        yield Note(f"{text}: fewer --workers may be as fast", is_warning=True)


def _take(prover: Prover, order: ProofOrder, place: int, ray: Any, each: Any) -> Iterator[Record]:
    """Record what one process gives."""
    label = order.labels[place]
    answer: _Answer = answer_of(ray, each, process=f"the process that trained {label}", goes_on="where every net is")
    yield from answer.notes
    if answer.error is not None:
        raise answer.error
    assert answer.result is not None
    key, packed, folder = answer.result
    if key != order.keys[place]:
        hint = "all machines of a cluster need the same versions of PyTorch and edgenas"
        raise ClusterError(f"{label} was trained as {key}, not as {order.keys[place]}", hint=hint)
    prover.memory.record(key, packed)
    clear(folder)


def _stop(ray: Any, waiting: Sequence[Any]) -> None:
    """Ask all processes to save what they do and to end, and wait for that."""
    for each in waiting:
        ray.cancel(each)
    if waiting:
        ray.wait(list(waiting), num_returns=len(waiting), timeout=PATIENCE_S)


def _train_alone(kept: Sequence[Any], place: int) -> _Answer:
    """What a process does with one net."""
    prover, order, num_threads = _told(kept[0])
    torch.set_num_threads(num_threads)
    notes: list[Note] = []
    with _asked_to_stop() as asked, _folder(prover.project.run) as run, (run.search / LOCK).open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        own = replace(prover, project=replace(prover.project, run=run))
        steps = own.trained(order.archs[place], order.epochs, order.labels[place])
        try:
            while True:
                record = next(steps)
                if isinstance(record, Note):
                    notes.append(record)
                if asked:  # between two steps, where its state is whole
                    steps.throw(KeyboardInterrupt())
        except StopIteration as stop:
            key, packed, folder = stop.value
            return _Answer((key, packed.as_json(), folder), tuple(notes))
        except EdgeNASError as error:
            return _Answer(None, tuple(notes), error)


@functools.lru_cache(maxsize=1)
def _told(kept: Any) -> tuple[Prover, ProofOrder, int]:
    """What was put into the object store, once for all nets of a process: the teacher remembers what it was asked."""
    prover, order, num_threads = importlib.import_module("ray").get(kept)
    if prover.teacher is not None:
        prover.teacher.to(prover.device)
    return prover, order, num_threads


@contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """What holds a number once Ray cancels the work of this process, which would otherwise end in the middle of a step."""
    asked: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _folder(run: RunFolder) -> Iterator[RunFolder]:
    """The run folder, or where it is not seen one for as long as a net is trained."""
    if run.splits.is_file():
        yield run
        return
    with tempfile.TemporaryDirectory(prefix="edgenas-alone-") as folder:
        own = RunFolder(Path(folder))
        own.search.mkdir(parents=True)
        yield own


def labels_of(num: int) -> tuple[str, ...]:
    """What the nets of a study are called."""
    return tuple(f"alone {position}/{num}" for position in range(1, num + 1))


def keys_of(prover: Prover, archs: Sequence[Mapping[str, Any]], epochs: int) -> tuple[str, ...]:
    """What the results of these trainings are known by."""
    return tuple(prover.key(prover.job(arch, epochs, "")) for arch in archs)
