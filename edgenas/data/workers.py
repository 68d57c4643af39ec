"""Processes that make training images ahead of time, and what they do: decode, augment, hand over pixels.

Every image is named by a `Key`, which decides all that is random about it, so processes only change when it is made.
"""

from __future__ import annotations

import gc
import logging
import os
import shutil
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edgenas.data.augment import BatchTransform, ImageTransform, Rows
from edgenas.data.loaders import ImageStore
from edgenas.data.preprocess import Augmentation
from edgenas.data.seeding import batch_generator, seed_sample
from edgenas.errors import DataError
from edgenas.runs.place import processes_here, threads_here

Key = tuple[int, int, int, int]  # epoch, step, position in the batch, index in the source

MAX_WORKERS = 16  # that are started without being asked for
PREFETCH = 2  # batches that a worker is ahead
SMALL_PX = 64  # side up to which ``light`` takes less than a process costs: 0.3 ms an image on one core, 3 ms at 224 px
SHARED_MEMORY = "/dev/shm"
LOOK_EVERY_S = 1.0  # by a worker for the main process
_FEWER = "use fewer processes, e.g. --set data.workers=1; 0 loads in the main process"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """How many processes load (0: the main process does) and how many batches each is ahead."""

    num: int
    prefetch: int


def choose_workers(
    *,
    cached: bool,
    augmentation: Augmentation,
    image_px: int,
    batch_bytes: int,
    requested: int | None = None,
    num_cpus: int | None = None,
    shared_bytes: int | None = None,
) -> WorkerPlan:
    """As many processes as pay and fit.

    Args:
        cached: the images are decoded already.
        augmentation: where it is ``none``, or ``light`` on small images, cached ones need no process.
        image_px: side of the images.
        batch_bytes: of a batch as a worker hands it over, through shared memory.
        requested: by the user; None takes all CPUs but one, at least 1 and at most `MAX_WORKERS`.
        num_cpus: None counts those that this process may use, its share where several of one command are on this machine.
        shared_bytes: free shared memory, half of which is used; None looks and takes its share. Containers often have 64 MB.
    """
    num_cpus = threads_here() if num_cpus is None else num_cpus
    idle = cached and (augmentation == "none" or (augmentation == "light" and image_px <= SMALL_PX))
    automatic = 0 if idle else min(MAX_WORKERS, max(1, num_cpus - 1))
    wanted = automatic if requested is None else requested
    shared_bytes = _free_shared_bytes() // processes_here() if shared_bytes is None else shared_bytes
    affordable = max(0, shared_bytes // 2 // batch_bytes - 1)  # one more is in use by the main process
    num = min(wanted, affordable)
    if num < wanted:
        logger.warning("%d instead of %d loading processes: %s has %d MB left", num, wanted, SHARED_MEMORY, shared_bytes >> 20)
    return WorkerPlan(num, min(PREFETCH, affordable // num) if num else 0)


def _free_shared_bytes() -> int:
    try:
        return shutil.disk_usage(SHARED_MEMORY).free
    except OSError:
        return sys.maxsize  # a system that shares memory in another way


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a batch could not be made; crosses from a worker to the main process, where it becomes a `DataError`."""

    message: str
    problems: tuple[str, ...] = ()
    hint: str = ""


class SampleImages(Dataset[Tensor]):
    """Resized and augmented images by `Key`; a map-style dataset that makes whole batches.

    Args:
        store: where images come from.
        transform: of single images, draws from the global generators; or None.
        seed: of all that is random.
        whole: transform of whole batches, after that of single images; or None.
        sizes: images of every step's whole batch, where keys are of parts of them; None where they are whole.
    """

    def __init__(
        self,
        store: ImageStore,
        transform: ImageTransform | None,
        seed: int,
        whole: BatchTransform | None = None,
        sizes: Sequence[int] | None = None,
    ) -> None:
        self.store = store
        self.transform = transform
        self.seed = seed
        self.whole = whole
        self.sizes = sizes

    def __getitems__(self, keys: list[Key]) -> Tensor | Failure:
        """What a worker does: `batch`, single-threaded and in shared memory."""
        try:
            batch: Any = self.batch(keys, num_threads=1)
            batch.share_memory_()
        except DataError as error:
            return Failure(error.message, error.problems, error.hint)
        except MemoryError:
            return Failure("a process that loads images has not enough memory", hint=_FEWER)
        except RuntimeError as error:
            if "shared memory" not in str(error):
                raise
            return Failure(f"a batch does not fit into shared memory ({SHARED_MEMORY})", hint=_FEWER)
        result: Tensor = batch
        return result

    def batch(self, keys: list[Key], *, num_threads: int | None = None) -> Tensor:
        """Images, shape (N, 3, H, W), of one epoch and step: uint8, or float32 in about [0, 1] after a transform of the whole.

        Raises:
            DataError: naming an image that cannot be decoded.
        """
        unique_N, row_N = np.unique(np.array([key[3] for key in keys], dtype=np.int64), return_inverse=True)
        pixels_NCHW = self.store.pixels(unique_N, num_threads=num_threads)[row_N]  # repeated images are decoded once
        if self.transform is not None:
            for row, (epoch, step, position, _) in enumerate(keys):
                seed_sample(self.seed, epoch, step, position)
                image = self.transform(Image.fromarray(pixels_NCHW[row].transpose(1, 2, 0)))
                pixels_NCHW[row] = np.asarray(image).transpose(2, 0, 1)
        images_NCHW = torch.from_numpy(pixels_NCHW)
        if self.whole is None:
            return images_NCHW
        epoch, step, start, _ = keys[0]
        rows = None if self.sizes is None else Rows(start, self.sizes[step])
        return self.whole(images_NCHW.float().div_(255), batch_generator(self.seed, epoch, step), rows)


def load(images: SampleImages, batches: Callable[[], Iterator[list[Key]]], plan: WorkerPlan) -> Generator[Tensor, None, None]:
    """Batches of `SampleImages.batch` in order, made as ``plan`` says. Processes end with the generator, however it ends.

    Raises:
        DataError: naming an image that cannot be decoded; or if a process cannot start or dies.
    """
    if plan.num == 0:
        yield from map(images.batch, batches())
        return
    iterator = _start(images, batches, plan)
    try:
        while (batch := _next(iterator)) is not None:
            if isinstance(batch, Failure):
                raise DataError(batch.message, problems=batch.problems, hint=batch.hint)
            yield batch
    finally:
        iterator._shutdown_workers()  # no public way ends them while a traceback still refers to the iterator


def _start(images: SampleImages, batches: Callable[[], Iterator[list[Key]]], plan: WorkerPlan) -> Any:
    try:
        with _quiet_fork():
            return iter(
                DataLoader(
                    images,
                    batch_sampler=_Sampler(batches),
                    num_workers=plan.num,
                    prefetch_factor=plan.prefetch,
                    collate_fn=_as_is,
                    worker_init_fn=partial(_begin, os.getpid()),
                    multiprocessing_context="fork",
                    generator=torch.Generator(),  # or the global one would be drawn from
                )
            )
    except OSError as error:
        raise DataError(f"processes that load images cannot be started: {error.strerror or error}", hint=_FEWER) from error


def _next(iterator: Any) -> Tensor | Failure | None:
    try:
        return next(iterator, None)
    except (RuntimeError, OSError, EOFError) as error:
        if str(error).startswith("Caught"):  # by PyTorch in a worker: not foreseen here
            raise
        raise DataError(
            f"a process that loads images ended unexpectedly ({' '.join(str(error).split())})",
            hint=f"usually memory or {SHARED_MEMORY} ran out: {_FEWER}",
        ) from error


@dataclass(frozen=True, slots=True)
class _Sampler:
    """What `DataLoader` iterates over; keys are made as they are needed."""

    batches: Callable[[], Iterator[list[Key]]]

    def __iter__(self) -> Iterator[list[Key]]:
        return self.batches()


def _as_is(batch: Any) -> Any:
    return batch


def _begin(main_pid: int, worker: int) -> None:
    """Prepare a worker, which is a fork of the main process. PyTorch has set its intra-op threads to 1."""
    threading.Thread(target=_end_with, args=(main_pid,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setpgrp()  # signals to the whole group (`timeout`, a terminal) ask the main process to stop, which then ends its workers
    gc.freeze()  # or the first collection writes to, and so copies, every object that is shared with the main process
    simple_itk: Any = sys.modules.get("SimpleITK")
    if simple_itk is not None:
        simple_itk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _end_with(main_pid: int) -> None:
    """End this process once the main one is gone. PyTorch's own watch misses a main process that dies while a worker starts."""
    while os.getppid() == main_pid:
        time.sleep(LOOK_EVERY_S)
    os._exit(1)


@contextmanager
def _quiet_fork() -> Iterator[None]:
    """Start workers without being interrupted, warned or given a handler that raises in the middle of anything.

    Until a worker ignores SIGINT it must not run the handlers that it inherits, so SIGINT waits. PyTorch's handler of SIGCHLD
    would raise wherever the main process is, e.g. in an optimiser step; a dead worker is noticed as well when its batch is due.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGCHLD)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with warnings.catch_warnings():
            # Python 3.12 on: a fork must not wait for threads that it has not; workers compute on one thread of their own
            warnings.filterwarnings("ignore", r"This process .* is multi-threaded, use of fork", DeprecationWarning)
            # more workers than CPUs were asked for
            warnings.filterwarnings("ignore", r"This DataLoader will create", UserWarning)
            yield
    finally:
        if in_main_thread:
            signal.signal(signal.SIGCHLD, before if before is not None else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
