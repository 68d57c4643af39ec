"""Evaluating subnets in several processes, on one machine or many, with Ray.

Weights and images are put once into Ray's object store. A worker evaluates one net at a time with the threads that a single process
has, so that predictions have the same bits, and answers are taken in the order of the questions: a search takes the same way
whatever the number of workers and the order in which they end. A worker that is lost is started again, and asked again.

Shapes: A archs, N images, C classes.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgenas.errors import EdgeNASError, MissingBackendError
from edgenas.project.searching.ray_worker import Worker
from edgenas.spaces import Genes, SearchSpace, Task
from edgenas.training.evaluation import BATCH_SIZE
from edgenas.training.readable import ReadableImages

RETRIES = 5  # times that a worker is started again, or a net asked for again, before it is told


STARTS = 4  # of a node of its own, on a machine that is busy
ANSWER_S = 5.0  # until an address is taken to have no cluster
START_S = 300.0  # in which one process more must have started; how long it then takes to begin is its own affair
START = "start one with `ray start --head`"


class ClusterError(EdgeNASError):
    """A cluster cannot be reached, or loses its workers."""


@dataclass(frozen=True, slots=True)
class Workers:
    """Where nets are evaluated.

    Attributes:
        num: processes; None takes one for every CPU that the cluster at ``address`` has.
        address: of a Ray cluster that runs, or ``auto``; None starts one on this machine for as long as it is needed.
    """

    num: int | None
    address: str | None = None


@contextmanager
def cluster(workers: Workers) -> Iterator[Any]:
    """Ray, connected to a cluster, which ends with the block where it was started for it.

    Raises:
        MissingBackendError: if Ray is not installed.
        ClusterError: if there is no cluster at the address, or without one if none starts here.
    """
    require_ray()
    require_address(workers.address)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # leave the sight of GPUs to whoever asked for none
    ray: Any = importlib.import_module("ray")
    with _own_signals():
        _connect(ray, workers)
    try:
        yield ray
    finally:
        ray.shutdown()


def require_ray() -> None:
    """Check that Ray is installed.

    Raises:
        MissingBackendError: if it is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise MissingBackendError("several workers need Ray, which is not installed", hint="pip install 'edgenas[ray]'")


def _connect(ray: Any, workers: Workers) -> None:
    """Connect; a node of its own that does not start in the half minute that Ray gives it is started again."""
    local = {} if workers.address is not None else {"num_cpus": workers.num}
    for again in reversed(range(1 if workers.address is not None else STARTS)):
        try:
            ray.init(address=workers.address or "local", log_to_driver=False, logging_level="ERROR", **local)
            return
        except Exception as error:  # Ray raises just that where a node of its own does not start in time
            if not again:
                raise _unreached(workers.address, error) from error
            ray.shutdown()


def require_address(address: str | None) -> None:
    """Check that something answers at an address, which Ray itself would wait for without end.

    Raises:
        ClusterError: if nothing does within a few seconds.
    """
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return  # none, auto, or what Ray has to make out
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(f"nothing answers at {address}: {error}", hint=START) from error


def num_there(ray: Any, num_workers: int | None, device: str) -> int:
    """Processes that a cluster is to run: what is asked for, else one for every CPU (or GPU).

    Raises:
        ClusterError: if it has fewer.
    """
    resource = "GPU" if device == "cuda" else "CPU"
    there = int(ray.cluster_resources().get(resource, 0))
    num = num_workers if num_workers is not None else max(1, there)
    if num > there:
        text = f"{num} workers need a {resource} each, the cluster has {there}"
        raise ClusterError(text, hint="ask for fewer with --workers")
    return num


def answer_of(ray: Any, each: Any, *, process: str, goes_on: str) -> Any:
    """What a process gives back for a task; what it raises itself goes on.

    Args:
        ray: connected.
        each: what Ray gave for the task.
        process: which, in words.
        goes_on: from where the same command does, in words.

    Raises:
        ClusterError: if it was lost again and again.
    """
    try:
        return ray.get(each)
    except ray.exceptions.RayTaskError:
        raise
    except ray.exceptions.RayError as error:
        text = f"{process} was lost {RETRIES + 1} times: {str(error).strip().partition(chr(10))[0]}"
        hint = f"the same command goes on {goes_on}; where memory ran out, take fewer --workers"
        raise ClusterError(text, hint=hint) from error


def _unreached(address: str | None, error: Exception) -> ClusterError:
    text = str(error).strip().partition("\n")[0]
    if address is None:
        hint = "the machine may be too busy: start the same command again, or leave out --workers"
        return ClusterError(f"Ray does not start here: {text}", hint=hint)
    if "authentic" in str(error).lower() or "token" in str(error).lower():
        hint = "the cluster asks for a token: set RAY_AUTH_MODE=token here, and its RAY_AUTH_TOKEN; on its own machine take auto"
        return ClusterError(f"the Ray cluster at {address} refuses this process: {text}", hint=hint)
    hint = f"{START}; if one is there it may ask for a token: set RAY_AUTH_MODE=token"
    return ClusterError(f"no Ray cluster could be reached at {address}: {text}", hint=hint)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Handlers of signals as they were before, which Ray replaces below Python: SIGTERM would end this process at once."""
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class RayEvaluator:
    """An `Evaluator` whose nets are predicted by the workers of a cluster.

    Args:
        ray: connected.
        supernet: whose subnets predict; a copy of its weights goes to every worker.
        space, task: of the supernet.
        images_NCHW: float32, normalised, or what reads them when they are asked for on the workers' machines.
        device: where each worker computes.
        training_NCHW: as of `SupernetEvaluator`; None where the supernet has no batch norm.
        num_workers: processes; None takes one for every CPU (or GPU) of the cluster.
    """

    def __init__(
        self,
        ray: Any,
        supernet: nn.Module,
        space: SearchSpace,
        task: Task,
        images_NCHW: ReadableImages,
        *,
        device: str,
        training_NCHW: ReadableImages | None,
        num_workers: int | None,
    ) -> None:
        self._ray = ray
        self._is_divisible = training_NCHW is None  # statistics of a net are then estimated nowhere twice
        state = ray.put({name: value.cpu().numpy() for name, value in supernet.state_dict().items()})
        images = ray.put(images_NCHW.numpy() if isinstance(images_NCHW, Tensor) else images_NCHW)
        num = num_there(ray, num_workers, device)
        options = {"num_cpus": 1, "num_gpus": int(device == "cuda"), "max_restarts": RETRIES, "max_task_retries": RETRIES}
        told = ray.put((space, task, device, torch.get_num_threads(), training_NCHW))
        self._kept = [state, images, told]  # a worker that is started again asks for them again
        actor = ray.remote(**options)(Worker)
        self.workers = [actor.remote() for _ in range(num)]
        _await_all(ray, [worker.process.remote() for worker in self.workers])
        _answers(ray, [worker.begin.remote(self._kept) for worker in self.workers])  # Ray tells where one is lost meanwhile

    def __call__(self, genes_AG: Genes, image_indices: NDArray[np.int64], /) -> NDArray[np.float16]:
        """Class probabilities, shape (archs, images, classes), in the order given.

        Raises:
            ClusterError: if workers are lost again and again.
        """
        step = BATCH_SIZE if self._is_divisible and len(genes_AG) < len(self.workers) else max(1, len(image_indices))
        starts = range(0, len(image_indices), step)
        asked = [(row_G, image_indices[start : start + step]) for row_G in genes_AG for start in starts]
        turns = (self.workers[number % len(self.workers)] for number in range(len(asked)))
        waiting = [worker.predict.remote(self._kept, *question) for worker, question in zip(turns, asked, strict=True)]
        parts = _answers(self._ray, waiting)
        num = len(starts)
        return np.stack([np.concatenate(parts[net * num : (net + 1) * num]) for net in range(len(genes_AG))])


def _answers(ray: Any, waiting: list[Any]) -> list[Any]:
    """What workers answer, in the order of the questions.

    Raises:
        ClusterError: if workers are lost again and again.
    """
    try:
        answers: list[Any] = ray.get(waiting)
    except ray.exceptions.RayActorError as error:
        text = f"a worker was lost {RETRIES + 1} times: {error}"
        raise ClusterError(text, hint="Ray's logs say why; the same command goes on where it was") from error
    return answers


def _await_all(ray: Any, starting: list[Any], limit_s: float = START_S) -> None:
    """Wait until all workers have started, as long as one more does in time.

    Raises:
        ClusterError: if none has for ``limit_s`` seconds.
    """
    num = len(starting)
    while starting:
        started, starting = ray.wait(starting, num_returns=1, timeout=limit_s)
        ray.get(started)
        if not started:
            text = f"{num - len(starting)} of {num} workers have started, and no other one for {limit_s:.0f} s"
            raise ClusterError(text, hint="others may use the cluster: `ray status` tells; or ask for fewer with --workers")
