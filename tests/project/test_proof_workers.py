"""Processes that train nets alone: who listens to them, and what is said when one is gone."""

from __future__ import annotations

import fcntl
from collections.abc import Generator
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from edgenas.errors import RunFolderError
from edgenas.project.searching import proof_workers
from edgenas.project.searching.proof_workers import WorkerLostError, _crowded, _gpu, _lost, _told, _Worker, wait_for_earlier
from edgenas.runs import Progress
from edgenas.training.checkpoints import load_state
from edgenas.training.fitting import fit
from edgenas.training.folder import STATE
from edgenas.training.loop import start
from tests.training.jobs import tiny_job
from tests.training.tiny import CPU


def trained(folder: Path) -> Generator[Any, None, str]:
    yield from fit(tiny_job(folder))
    return "trained"


def test_a_process_tells_its_steps_and_gives_its_result(tmp_path: Path) -> None:
    ours, theirs = Pipe()
    assert _told(trained(tmp_path), theirs) == "trained"
    said = []
    while ours.poll():
        said.append(ours.recv())
    assert {kind for kind, _ in said} == {"record"}
    last = said[-1][1]
    assert isinstance(last, Progress)
    assert (last.done, last.total) == (6, 6)


def test_a_process_that_nobody_listens_to_saves_its_state_and_ends(tmp_path: Path) -> None:
    ours, theirs = Pipe()

    training = fit(tiny_job(tmp_path))

    def hung_up() -> Generator[Any, None, str]:
        next(training)
        next(training)
        ours.close()
        yield from training
        return "trained"

    with pytest.raises(EOFError):
        _told(hung_up(), theirs)
    job = tiny_job(tmp_path)
    state = start(job.build(), job.loop, CPU)
    load_state(tmp_path / STATE, state, job.identity)
    assert state.step == 3


@pytest.mark.parametrize(("code", "how"), [(3, "ended with status 3"), (-9, "was ended by SIGKILL")])
def test_a_lost_process_is_named_with_the_net_that_it_trained(code: int, how: str) -> None:
    ours, _ = Pipe()
    process: Any = SimpleNamespace(exitcode=code, join=lambda timeout: None)
    error = _lost(_Worker(1, process, ours, 4), "alone 5/12")
    assert isinstance(error, WorkerLostError)
    assert error.message == f"the process that trained alone 5/12 {how}"
    assert "the same command goes on" in error.hint


def test_every_process_has_a_gpu_of_its_own_while_there_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _gpu("cpu", 3) is None
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [_gpu("cuda", number) for number in range(3)] == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-1f")
    assert [_gpu("cuda", number) for number in range(2)] == ["5", "GPU-1f"]


def test_more_threads_than_cores_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(2)))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert list(_crowded(2)) == []
    (note,) = _crowded(3)
    assert note.text == "3 processes of 1 thread each share 2 cores: fewer --workers may be as fast"


def test_processes_of_a_killed_command_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for_earlier(tmp_path / "search")
    monkeypatch.setattr(proof_workers, "PATIENCE_S", 0.0)
    with (tmp_path / "search" / proof_workers.LOCK).open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        with pytest.raises(RunFolderError, match="in use by processes of an earlier command"):
            wait_for_earlier(tmp_path / "search")
    wait_for_earlier(tmp_path / "search")
