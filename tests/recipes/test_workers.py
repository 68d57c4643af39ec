"""Nets that are trained alone by several processes: the same bits, and nothing lost with a process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from edgenas.project.searching.proof_workers import LOCK
from tests.recipes.budgets import edgenas_in, make_project
from tests.recipes.killing import RUN, Ended, Zygote

FIDELITY = ("fidelity", "--num", "4", "--band", "30", "--set", "train.kd_weight=0", "--set", "train.flip=false")
pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),  # importing it takes two seconds
]
THREADS = ("--set", "train.threads=1")


def results_of(run: Path) -> dict[str, str]:
    """Predictions by what they depend on, as the journal has them."""
    lines = [json.loads(line.partition(" ")[2]) for line in (run / "search" / "proofs.jsonl").read_text().splitlines()[1:]]
    return {line["key"]: line["value"]["float16"] for line in lines}


@pytest.mark.slow
def test_two_processes_give_the_bits_of_one(tmp_path: Path) -> None:
    make_project(tmp_path)
    shutil.copytree(tmp_path / RUN, tmp_path / "two" / RUN)
    code, one, _ = edgenas_in(tmp_path, *FIDELITY, "--epochs", "1")
    assert code == 0, one["error"]
    code, two, err = edgenas_in(tmp_path / "two", *FIDELITY, "--epochs", "1", "--workers", "2")
    assert code == 0, two["error"]
    assert {**one["result"], "seconds": 0} == {**two["result"], "seconds": 0}
    assert results_of(tmp_path / RUN) == results_of(tmp_path / "two" / RUN)
    assert len(results_of(tmp_path / RUN)) == 4
    assert "training nets alone: 4/4" in err
    assert not list((tmp_path / "two" / RUN / "search" / "proof").iterdir())


def training(run: Path) -> list[int]:
    """Processes of the cluster that hold the lock of this run's trainings."""
    lock, found = (run / "search" / LOCK).resolve(), []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with suppress(OSError):
                if b"_train_alone" in (path / "cmdline").read_bytes() and lock in [fd.resolve() for fd in (path / "fd").iterdir()]:
                    found.append(int(path.name))
    return found


def under_way(run: Path) -> list[Path]:
    """Folders of nets that have an epoch or a state."""
    return [path.parent for path in (run / "search" / "proof").glob("*/log.part.jsonl")]


def kill_a_worker(run: Path, killed: list[int], over: threading.Event) -> None:
    """End a process that trains, once a net is under way; nothing once the command is over."""
    while not over.is_set():
        workers = training(run) if under_way(run) else []
        if workers:
            os.kill(workers[0], signal.SIGKILL)
            killed.append(workers[0])
            return
        time.sleep(0.02)


@pytest.mark.slow
def test_what_ends_a_process_or_the_command_loses_nothing(tmp_path: Path, zygote_edgenas: Zygote) -> None:
    make_project(tmp_path)
    shutil.copytree(tmp_path / RUN, tmp_path / "cut" / RUN)
    command = (*FIDELITY, *THREADS, "--epochs", "12", "--json")
    one = zygote_edgenas(tmp_path, *command)
    assert one.code == 0, one.err
    run, cut = tmp_path / "cut" / RUN, tmp_path / "cut"

    def again(number: signal.Signals, num: int) -> Ended:
        before = len(results_of(run)) if (run / "search" / "proofs.jsonl").exists() else 0

        def is_due() -> bool:
            known = len(results_of(run)) if (run / "search" / "proofs.jsonl").exists() else 0
            return known > before or (len(under_way(run)) >= num and bool(training(run)))

        return zygote_edgenas(cut, *command, "--workers", "2", kill_when=is_due, number=number)

    ended = again(signal.SIGINT, 2)
    assert ended.code == 130, ended.err
    assert list((run / "search" / "proof").glob("*/state.safetensors"))
    known = results_of(run) if (run / "search" / "proofs.jsonl").exists() else {}

    assert again(signal.SIGKILL, 1).code == -signal.SIGKILL
    killed, over = list[int](), threading.Event()
    thread = threading.Thread(target=kill_a_worker, args=(run, killed, over))
    thread.start()
    ended = zygote_edgenas(cut, *command, "--workers", "2")
    over.set()
    thread.join()
    assert killed
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err
    assert results_of(run) == results_of(tmp_path / RUN)
    assert known.items() <= results_of(run).items()
    assert {**ended.value["result"], "seconds": 0} == {**one.value["result"], "seconds": 0}
