"""Tracing components in several processes at once, on one machine or many, with Ray, before anything is timed.

A process gets a chain of components and gives back the files that it would have written; only the main process writes, so that
processes need not see the run folder. Once everything is traced the cluster is left, and its processes are seen to end: beside
them timings would be of a busy machine.
"""

from __future__ import annotations

import functools
import importlib
import os
import platform
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgenas.deploy.contracts import Runtime
from edgenas.errors import EdgeNASError
from edgenas.latency import ComponentGraphs
from edgenas.latency.measuring import Traced
from edgenas.latency.nets import Portion
from edgenas.project.searching.ray_workers import RETRIES, ClusterError, Workers, answer_of, cluster, num_there, require_ray
from edgenas.runs import Note

LOOK_EVERY_S = 0.5
ENDING_S = 120.0  # in which a process must have ended that nobody needs any more


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a machine.

    Attributes:
        machine: its name.
        pid: number.
        began: when, in the machine's own units, so that a later process of the same number is told from it.
    """

    machine: str
    pid: int
    began: int


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a process gives back of one chain.

    Attributes:
        process: that traced it.
        files: by name; None where it could not be traced.
        error: why not.
    """

    process: Process | None
    files: dict[str, bytes] | None
    error: EdgeNASError | None = None


@dataclass(frozen=True, slots=True)
class TracingWorkers:
    """Processes that trace; they are started when they are asked, and have ended after the last answer.

    Attributes:
        workers: where they run.
        num: how many.
    """

    workers: Workers
    num: int

    @classmethod
    def of(cls, workers: Workers) -> TracingWorkers:
        """As many as are asked for; for None, as many as the cluster at the address has CPUs.

        Raises:
            MissingBackendError: if Ray is not installed.
            ClusterError: if there is no cluster at the address, or it has fewer CPUs.
        """
        require_ray()
        if workers.address is None:
            assert workers.num is not None
            return cls(workers, workers.num)
        with cluster(workers) as ray:
            return cls(workers, num_there(ray, workers.num, "cpu"))

    def files(self, graphs: ComponentGraphs, portions: Sequence[Portion]) -> Iterator[Traced | None]:
        """Files of every portion, as they come; a portion whose process is lost is traced again.

        Raises:
            ClusterError: if there is no cluster, a process is lost again and again, one has other versions of packages, or does
                not end.
            EdgeNASError: what a process reports.
        """
        import torch

        num = min(self.num, len(portions))
        workers = self.workers if self.workers.address is not None else replace(self.workers, num=num)
        before = started_here()
        left, waiting, seen = list(range(len(portions))), dict[Any, int](), set[Process]()
        with cluster(workers) as ray:
            kept = ray.put((graphs.forgetting(), torch.get_num_threads()))
            trace = ray.remote(num_cpus=1, max_retries=RETRIES)(_trace)
            while left or waiting:
                while left and len(waiting) < num:
                    number = left.pop(0)
                    waiting[trace.remote([kept], portions[number])] = number
                yield None
                for each in ray.wait(list(waiting), num_returns=1, timeout=LOOK_EVERY_S)[0]:
                    number = waiting.pop(each)
                    process, files = _taken(ray, each, [graphs.file_name(component) for component in portions[number]])
                    seen.update(() if process is None else (process,))
                    yield number, files
            seen |= started_here() - before
        await_end(seen)


def helpers_of(workers: Workers | None, runtime: Runtime) -> Generator[Note, None, TracingWorkers | None]:
    """The processes that trace for a runtime; None where this one does, or nothing is traced.

    Raises:
        MissingBackendError, ClusterError: as `TracingWorkers.of`.
    """
    if workers is None:
        return None
    if "module" in runtime.accepts:
        text = f"{runtime.name} takes nets as they are, nothing is traced: workers have nothing to do"
        yield Note(text, is_warning=True)
        return None
    helpers = TracingWorkers.of(workers)
    if workers.address is not None:
        text = f"the Ray cluster at {workers.address} traces what was never traced; then nets are timed here"
        yield Note(f"{text}, and nothing else of the cluster may be at work on this machine")
    return helpers


def _taken(ray: Any, each: Any, names: Sequence[str]) -> tuple[Process | None, dict[str, bytes]]:
    """What one process gives.

    Raises:
        ClusterError: if it was lost again and again, or its packages are of other versions.
        EdgeNASError: what it reports.
    """
    process, goes_on = "a process that traced components", "with what was traced"
    answer: _Answer = answer_of(ray, each, process=process, goes_on=goes_on)
    if answer.error is not None:
        raise answer.error
    assert answer.files is not None
    if set(answer.files) != set(names):
        hint = "all machines of a cluster need the same versions of PyTorch, onnx, onnxscript and edgenas"
        raise ClusterError("components were traced by other versions of packages than there are here", hint=hint)
    return answer.process, answer.files


def _trace(kept: Sequence[Any], portion: Portion) -> _Answer:
    """What a process does with one chain."""
    graphs = _told(kept[0])
    try:
        return _Answer(_process(os.getpid()), graphs.files(portion))
    except EdgeNASError as error:
        return _Answer(_process(os.getpid()), None, error)


@functools.lru_cache(maxsize=1)
def _told(kept: Any) -> ComponentGraphs:
    """What was put into the object store, once for all chains of a process, which takes as many threads as the main one."""
    import torch

    graphs, num_threads = importlib.import_module("ray").get(kept)
    torch.set_num_threads(num_threads)
    told: ComponentGraphs = graphs
    return told


def _stat(pid: int) -> list[str] | None:
    """State, parent and so on of a process of this machine that has not ended; None for any other, and where nobody tells."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        if fields[0] not in "ZX":
            return fields
    return None


def _process(pid: int) -> Process | None:
    fields = _stat(pid)
    return None if fields is None else Process(platform.node(), pid, int(fields[19]))


def started_here() -> set[Process]:
    """All processes that this one has started, and those that they have, as far as the system tells."""
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    parents = {pid: int(fields[1]) for pid in pids if (fields := _stat(pid)) is not None}
    found, grown = set[int](), {os.getpid()}
    while grown:
        grown = {pid for pid, parent in parents.items() if parent in grown} - found
        found |= grown
    return {process for pid in found if (process := _process(pid)) is not None}


def await_end(processes: set[Process], limit_s: float = ENDING_S) -> None:
    """Wait until those of these processes that run on this machine have ended.

    Raises:
        ClusterError: if one has not within ``limit_s`` seconds.
    """
    ends = time.monotonic() + limit_s
    while running := {each for each in processes if _process(each.pid) == each}:
        if time.monotonic() > ends:
            numbers = ", ".join(str(each.pid) for each in sorted(running, key=lambda each: each.pid))
            hint = "end them, then try again: what was traced is kept"
            raise ClusterError(
                f"processes of Ray that traced components still run, nets timed now would be slow: {numbers}", hint=hint
            )
        time.sleep(LOOK_EVERY_S / 10)
