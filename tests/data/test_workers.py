from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from edgenas.data import open_source
from edgenas.data.augment import ImageTransform
from edgenas.data.batches import TrainBatches
from edgenas.data.digits import as_digits
from edgenas.data.loaders import ImageStore
from edgenas.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Augmentation, Preprocess
from edgenas.data.workers import Key, SampleImages, WorkerPlan, choose_workers, load
from edgenas.errors import DataError

PREP = Preprocess(16, IMAGENET_MEAN, IMAGENET_STD)
MB = 1 << 20


def images(transform: ImageTransform | None = None) -> SampleImages:
    rng = np.random.default_rng(0)
    source = as_digits(rng.integers(0, 256, (64, 8, 8), dtype=np.uint8), np.arange(64) % 10)
    return SampleImages(ImageStore(source, PREP, memory_bytes=0), transform, seed=0)


def keys() -> Iterator[list[Key]]:
    """32 batches of two images."""
    for step in range(32):
        yield [(0, step, position, 2 * step + position) for position in range(2)]


def running(num: int = 2) -> tuple[Generator[Tensor, None, None], list[int]]:
    """A stream of which every process has made a batch, and the processes behind it."""
    stream = load(images(), keys, WorkerPlan(num, 1))
    for _ in range(num):
        next(stream)
    pids = [process.pid for process in multiprocessing.active_children() if process.pid is not None]
    assert len(pids) == num
    return stream, pids


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("cached", "augmentation", "image_px", "requested", "num_cpus", "num"),
    [
        (True, "none", 224, None, 16, 0),
        (True, "light", 64, None, 16, 0),
        (True, "light", 224, None, 16, 15),
        (True, "base", 32, None, 16, 15),
        (False, "none", 32, None, 4, 3),
        (False, "torchio", 224, None, 1, 1),
        (False, "randaug", 224, None, 200, 16),
        (False, "randaug", 224, 0, 8, 0),
        (True, "light", 32, 2, 8, 2),
        (False, "none", 224, 40, 8, 40),
    ],
)
def test_processes_are_used_where_they_pay(
    cached: bool, augmentation: Augmentation, image_px: int, requested: int | None, num_cpus: int, num: int
) -> None:
    plan = choose_workers(
        cached=cached,
        augmentation=augmentation,
        image_px=image_px,
        batch_bytes=MB,
        requested=requested,
        num_cpus=num_cpus,
        shared_bytes=1 << 40,
    )
    assert plan == WorkerPlan(num, 2 if num else 0)


def test_processes_on_one_machine_share_its_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(16)))
    for num_ranks, num in (("1", 15), ("4", 3), ("40", 1)):
        monkeypatch.setenv("WORLD_SIZE", "40")
        monkeypatch.setenv("LOCAL_WORLD_SIZE", num_ranks)
        plan = choose_workers(cached=False, augmentation="none", image_px=224, batch_bytes=MB, shared_bytes=1 << 40)
        assert plan.num == num


@pytest.mark.parametrize(
    ("shared_mb", "num", "prefetch"), [(640, 4, 2), (180, 4, 2), (179, 4, 1), (100, 4, 1), (99, 3, 1), (40, 1, 1), (39, 0, 0)]
)
def test_batches_ahead_fit_half_of_the_shared_memory(shared_mb: int, num: int, prefetch: int) -> None:
    plan = choose_workers(
        cached=False, augmentation="none", image_px=224, batch_bytes=10 * MB, num_cpus=5, shared_bytes=shared_mb * MB
    )
    assert plan == WorkerPlan(num, prefetch)


def test_fewer_processes_than_asked_for_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        choose_workers(cached=False, augmentation="none", image_px=224, batch_bytes=10 * MB, requested=8, shared_bytes=64 * MB)
    assert "2 instead of 8 loading processes: /dev/shm has 64 MB left" in caplog.text


def test_batches_come_in_order_however_many_processes_make_them() -> None:
    expected = list(load(images(), keys, WorkerPlan(0, 0)))
    found = list(load(images(), keys, WorkerPlan(3, 2)))
    assert [batch.dtype for batch in found] == [torch.uint8] * 32
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_no_process_is_left_when_the_batches_are_used_up() -> None:
    stream, pids = running()
    assert len(list(stream)) == 30
    assert not any(map(alive, pids))


def test_no_process_is_left_when_the_batches_are_closed_early() -> None:
    stream, pids = running()
    stream.close()
    assert not any(map(alive, pids))


def test_no_process_is_left_when_an_exception_is_thrown_in_and_kept() -> None:
    stream, pids = running()
    with pytest.raises(KeyboardInterrupt) as kept:
        stream.throw(KeyboardInterrupt())
    assert not any(map(alive, pids))
    assert kept.value is not None  # its traceback still refers to the stream


def test_no_process_is_left_when_training_batches_are_closed_early() -> None:
    batches = TrainBatches(images().store, np.arange(64), 4, workers=2)
    stream = batches(0)
    next(stream)
    pids = [process.pid for process in multiprocessing.active_children() if process.pid is not None]
    assert len(pids) == 2
    stream.close()
    assert not any(map(alive, pids))


def test_workers_outlive_signals_of_the_terminal() -> None:
    stream, pids = running()
    for pid in pids:
        os.kill(pid, signal.SIGINT)
        assert os.getpgid(pid) != os.getpgrp()
    assert len(list(stream)) == 30


def test_a_killed_worker_is_one_error_where_its_batch_is_due_and_nowhere_else() -> None:
    handler = signal.getsignal(signal.SIGCHLD)
    stream, pids = running()
    assert signal.getsignal(signal.SIGCHLD) is handler
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.3)  # nothing is raised here
    with pytest.raises(
        DataError, match=r"ended unexpectedly \(.*pid.*\)\. usually memory or /dev/shm ran out: .*data\.workers=1"
    ) as caught:
        list(stream)
    assert "\n" not in str(caught.value)
    assert multiprocessing.active_children() == []


SCRIPT = """
import multiprocessing, time
from tests.data.test_workers import running
if __name__ == "__main__":
    stream, pids = running()
    print(*pids, flush=True)
    time.sleep(600)
"""


def test_a_killed_main_process_leaves_no_workers() -> None:
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pids = [int(text) for text in process.stdout.readline().split()]
    assert len(pids) == 2
    assert all(map(alive, pids))
    process.kill()
    process.communicate()
    ends = time.monotonic() + 120
    while any(map(alive, pids)) and time.monotonic() < ends:
        time.sleep(0.1)
    assert not any(map(alive, pids))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_cannot_be_decoded_is_named_in_one_line(tmp_path: Path, workers: int) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(6):
            Image.new("RGB", (20, 20), (number, 0, 0)).save(tmp_path / name / f"{number}.png")
    bad = tmp_path / "dog" / "3.png"
    bad.write_bytes(bad.read_bytes()[:50])
    store = ImageStore(open_source(f"folder:{tmp_path}"), PREP, memory_bytes=0)
    with pytest.raises(DataError) as caught:
        list(TrainBatches(store, np.arange(12), 3, "base", workers=workers)(0))
    assert str(bad) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert multiprocessing.active_children() == []


def failing(error: BaseException) -> ImageTransform:
    def transform(image: Image.Image) -> Image.Image:
        raise error

    return transform


def test_memory_that_ran_out_in_a_worker_says_what_to_do() -> None:
    with pytest.raises(DataError, match=r"not enough memory\. use fewer processes"):
        list(load(images(failing(MemoryError())), keys, WorkerPlan(1, 1)))
    full = RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")
    with pytest.raises(DataError, match=r"does not fit into shared memory \(/dev/shm\)\. use fewer processes"):
        list(load(images(failing(full)), keys, WorkerPlan(1, 1)))


@pytest.mark.parametrize("error", [ZeroDivisionError, RuntimeError, OSError])
def test_a_bug_in_a_worker_stays_a_bug(error: type[Exception]) -> None:
    with pytest.raises(error, match=r"(?s)Caught .*in failing|in transform"):
        list(load(images(failing(error("odd"))), keys, WorkerPlan(1, 1)))
    assert multiprocessing.active_children() == []


def test_processes_that_cannot_start_are_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(DataError, match=r"cannot be started: Resource temporarily unavailable\. use fewer processes.*workers=1"):
        list(load(images(), keys, WorkerPlan(2, 1)))


def test_workers_compute_on_one_thread_and_ignore_ctrl_c() -> None:
    def facts(image: Image.Image) -> Image.Image:
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        return Image.new("RGB", image.size, (torch.get_num_threads(), int(ignored), os.getpid() % 256))

    num_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        pixels_C = next(load(images(facts), keys, WorkerPlan(1, 1)))[0, :, 0, 0].tolist()
    finally:
        torch.set_num_threads(num_threads)
    assert pixels_C[:2] == [1, 1]
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_the_warning_of_new_pythons_about_forks_is_expected_here_only(monkeypatch: pytest.MonkeyPatch) -> None:
    fork = os.fork
    text = "This process (pid=1) is multi-threaded, use of fork() may lead to deadlocks in the child."

    def warning_fork() -> int:
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return fork()

    monkeypatch.setattr(os, "fork", warning_fork)
    assert len(list(load(images(), keys, WorkerPlan(1, 1)))) == 32
    with pytest.warns(DeprecationWarning, match="multi-threaded"):
        warnings.warn(text, DeprecationWarning, stacklevel=2)
