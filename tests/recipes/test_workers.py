"""Nets that are trained alone by several processes: the same bits, and nothing lost with a process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.recipes.budgets import edgenas_in, make_project
from tests.recipes.killing import RUN, Ended, Zygote

FIDELITY = ("fidelity", "--num", "4", "--band", "30", "--set", "train.kd_weight=0", "--set", "train.flip=false")
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
    assert all(f"alone {position}/4" in err for position in range(1, 5))
    assert not list((tmp_path / "two" / RUN / "search" / "proof").iterdir())


def children_of(pid: int) -> list[int]:
    """Processes that train for a command."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with_parent = (path / "stat").read_text().rpartition(")")[2].split() if (path / "stat").exists() else []
            if with_parent and int(with_parent[1]) == pid and b"multiprocessing.spawn" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
    return found


def under_way(run: Path) -> list[Path]:
    """Folders of nets that have an epoch or a state."""
    return [path.parent for path in (run / "search" / "proof").glob("*/log.part.jsonl")]


def holder(run: Path) -> int:
    """The process that holds a run folder."""
    text = (run / ".lock").read_text().strip()
    return int(text) if text else 0


def kill_a_worker(run: Path) -> None:
    """End a process that trains, once a net is under way."""
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        workers = children_of(holder(run)) if under_way(run) else []
        if workers:
            os.kill(workers[0], signal.SIGKILL)
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
            return len(under_way(run)) >= num or known > before

        return zygote_edgenas(cut, *command, "--workers", "2", kill_when=is_due, number=number)

    ended = again(signal.SIGINT, 2)
    assert ended.code == 130, ended.err
    assert list((run / "search" / "proof").glob("*/state.safetensors"))
    known = results_of(run) if (run / "search" / "proofs.jsonl").exists() else {}

    thread = threading.Thread(target=kill_a_worker, args=(run,))
    thread.start()
    ended = zygote_edgenas(cut, *command, "--workers", "2")
    thread.join()
    assert ended.code == 1, ended.err
    assert "was ended by SIGKILL" in ended.value["error"]["message"]
    assert "the same command goes on" in ended.value["error"]["hint"]
    assert "Traceback" not in ended.err

    assert again(signal.SIGKILL, 1).code == -signal.SIGKILL
    ended = zygote_edgenas(cut, *command, "--workers", "2")
    assert ended.code == 0, ended.err
    assert results_of(run) == results_of(tmp_path / RUN)
    assert known.items() <= results_of(run).items()
    assert {**ended.value["result"], "seconds": 0} == {**one.value["result"], "seconds": 0}
