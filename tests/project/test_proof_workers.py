"""Processes that train nets alone: what is saved when they are asked to stop, and what is said when one is lost."""

from __future__ import annotations

import fcntl
import signal
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from edgenas.errors import EdgeNASError, RunFolderError
from edgenas.project.searching import proof_workers
from edgenas.project.searching.proof_workers import LOCK, ProofOrder, _crowded, _folder, _take, _train_alone, wait_for_earlier
from edgenas.project.searching.ray_workers import ClusterError, Workers
from edgenas.runs import Note, RunFolder
from edgenas.training.checkpoints import load_state
from edgenas.training.fitting import fit
from edgenas.training.folder import STATE
from edgenas.training.loop import start
from tests.project.losing import LostError, ray_that_gives
from tests.training.jobs import tiny_job
from tests.training.tiny import CPU

ORDER = ProofOrder(({},), 1, ("key",), ("alone 1/4",))


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run whose nets are tiny, and whose training is stopped after two steps."""
    run = RunFolder(tmp_path)
    for path in (run.splits, run.search / LOCK):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def trained(*_: Any) -> Generator[Any, None, Any]:
        for number, record in enumerate(fit(tiny_job(tmp_path / "net")), 1):
            if number == 2:
                handler = signal.getsignal(signal.SIGINT)  # `ray.cancel` sends the signal to a process that is at work
                assert callable(handler)
                handler(signal.SIGINT, None)
            yield record

    prover = SimpleNamespace(project=SimpleNamespace(run=run), trained=trained)
    monkeypatch.setattr(proof_workers, "_told", lambda kept: (prover, ORDER, torch.get_num_threads()))
    monkeypatch.setattr(proof_workers, "replace", lambda thing, **_: thing)
    return run


def test_a_process_that_is_asked_to_stop_saves_its_state_and_ends(asked: RunFolder) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        _train_alone(["kept"], 0)
    assert signal.getsignal(signal.SIGINT) is before
    job = tiny_job(asked.path / "net")
    state = start(job.build(), job.loop, CPU)
    load_state(job.folder / STATE, state, job.identity)
    assert state.step == 2


def test_a_process_that_does_not_see_the_run_folder_takes_one_of_its_own(tmp_path: Path) -> None:
    with _folder(RunFolder(tmp_path / "elsewhere")) as own:
        assert own.search.is_dir()
        assert own.path != tmp_path / "elsewhere"
    assert not own.path.exists()
    assert not (tmp_path / "elsewhere").exists()


def test_a_net_whose_process_is_lost_again_and_again_is_named(tmp_path: Path) -> None:
    prover: Any = SimpleNamespace()
    with pytest.raises(ClusterError, match=r"^the process that trained alone 1/4 was lost 6 times: it died\. the same") as caught:
        list(_take(prover, ORDER, 0, ray_that_gives(LostError("it died\nmore")), None))
    assert "take fewer --workers" in caught.value.hint
    notes = (Note("a loss was not finite"),)
    failed = proof_workers._Answer(None, notes, EdgeNASError("it diverged"))
    said = []
    with pytest.raises(EdgeNASError, match="it diverged"):
        said.extend(_take(prover, ORDER, 0, ray_that_gives(failed), None))
    other = proof_workers._Answer(("another", {}, tmp_path))
    with pytest.raises(ClusterError, match=r"was trained as another, not as key\. all machines"):
        list(_take(prover, ORDER, 0, ray_that_gives(other), None))


def test_more_threads_than_cores_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(2)))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert list(_crowded(Workers(2))) == list(_crowded(Workers(None, "auto"))) == []
    (note,) = _crowded(Workers(3))
    assert note.text == "3 processes of 1 thread each share 2 cores: fewer --workers may be as fast"


def test_processes_of_a_killed_command_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for_earlier(tmp_path / "search")
    monkeypatch.setattr(proof_workers, "PATIENCE_S", 0.0)
    with (tmp_path / "search" / proof_workers.LOCK).open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        with pytest.raises(RunFolderError, match="in use by processes of an earlier command"):
            wait_for_earlier(tmp_path / "search")
    wait_for_earlier(tmp_path / "search")
