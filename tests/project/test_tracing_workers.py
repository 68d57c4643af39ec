"""Components traced by several processes, which have ended before anything is timed."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.cli.profile import profile
from edgenas.deploy.plugins import get_runtime
from edgenas.errors import ExportError, MissingBackendError
from edgenas.latency import MeasuringSettings, make_plan
from edgenas.latency.measuring import Workshop
from edgenas.project.searching.ray_workers import ClusterError, Workers
from edgenas.project.searching.tracing_workers import TracingWorkers, _Answer, _process, _taken, await_end, helpers_of, started_here
from edgenas.runs import Note
from edgenas.spaces import SPACES, Task
from tests.latency.toy import ToyRuntime
from tests.project.losing import LostError, ray_that_gives


def test_only_files_of_the_versions_that_are_here_are_taken() -> None:
    files = {"one.onnx": b"1", "two.onnx": b"2"}
    assert _taken(ray_that_gives(_Answer(None, files)), None, ["one.onnx", "two.onnx"]) == (None, files)
    with pytest.raises(ClusterError, match="were traced by other versions of packages than there are here"):
        _taken(ray_that_gives(_Answer(None, files)), None, ["one.onnx", "three.onnx"])
    with pytest.raises(ExportError, match="cannot be cut"):
        _taken(ray_that_gives(_Answer(None, None, ExportError("it cannot be cut"))), None, ["one.onnx"])
    with pytest.raises(
        ClusterError, match=r"^a process that traced components was lost 6 times: it died\. the same command goes on"
    ):
        _taken(ray_that_gives(LostError("it died\nmore")), None, ["one.onnx"])


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing until it is ended."""
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not tell when processes began")
def test_nothing_is_timed_beside_a_process_that_still_runs(child: subprocess.Popen[bytes]) -> None:
    running = _process(child.pid)
    assert running is not None
    assert running in started_here()
    with pytest.raises(ClusterError, match=f"still run, nets timed now would be slow: {child.pid}. end them"):
        await_end({running}, limit_s=0.0)
    await_end({replace(running, machine="another"), replace(running, began=running.began - 1)}, limit_s=0.0)
    child.kill()  # its parent has not asked how it ended: it is there, but does nothing
    await_end({running})
    assert running not in started_here()


def notes_and_helpers(workers: Workers | None, accepts: str) -> tuple[list[Note], TracingWorkers | None]:
    runtime: Any = replace(ToyRuntime(), accepts=(accepts,))
    notes, steps = list[Note](), helpers_of(workers, runtime)
    try:
        while True:
            notes.append(next(steps))
    except StopIteration as stop:
        return notes, stop.value


def test_who_traces_is_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert notes_and_helpers(None, "onnx") == ([], None)
    (note,), nobody = notes_and_helpers(Workers(2), "module")
    assert nobody is None
    assert note == Note("toy takes nets as they are, nothing is traced: workers have nothing to do", is_warning=True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert notes_and_helpers(Workers(3), "onnx") == ([], TracingWorkers(Workers(3), 3))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingBackendError, match=r"^several workers need Ray, which is not installed\. pip install"):
        notes_and_helpers(Workers(2), "onnx")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ("--workers", "2", "--pack", "kit.zip"),
            "--workers and --pack exclude each other: workers trace what is timed on this machine",
        ),
        (("--workers", "2", "--import", __file__), "--workers and --import exclude each other"),
        (("--ray-address", "auto", "--device", "ssh://me@there"), "--ray-address and --device ssh://… exclude each other"),
        (("--workers", "0"), "0 is not in the range 1<=x<=4096"),
    ],
)
def test_workers_are_refused_where_this_machine_is_not_timed(
    arguments: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        profile.main(list(arguments), prog_name="edgenas profile", standalone_mode=True)
    assert ended.value.code == 2
    assert text in " ".join(capsys.readouterr().err.split())


def end_one_that_traces(killed: list[int], over: threading.Event) -> None:
    """End a process that traces, once there is one."""
    while not killed and not over.is_set():
        for process in started_here():
            command = Path(f"/proc/{process.pid}/cmdline")
            if command.exists() and command.read_bytes().startswith(b"ray::_trace"):
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)
                break
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(find_spec("ray") is None or platform.system() != "Linux", reason="Ray is not installed, or no process is found")
def test_two_processes_one_of_them_killed_keep_the_files_of_one(tmp_path: Path) -> None:
    space, task = SPACES["pvt-nano"], Task(3, 3, 32)
    settings = MeasuringSettings(calibration_nets=2, validation_nets=2)
    plan = make_plan(space, task, settings, rng=np.random.default_rng(0))

    def files(folder: Path, helpers: TracingWorkers | None) -> dict[str, bytes]:
        folder.mkdir()
        runtime = get_runtime("onnxruntime-cpu")
        shop = Workshop(space, task, runtime, "fp32", 1, opset=20, cache=folder / "kept", scratch=folder, helpers=helpers)
        assert shop.goes(plan) == (2 if helpers is None else 1)
        assert list(shop.prepare(plan))[-1].done == 45
        assert shop.missing(plan) == 0
        return {path.name: path.read_bytes() for path in folder.rglob("*.onnx")}

    before = started_here()
    killed, over = list[int](), threading.Event()
    thread = threading.Thread(target=end_one_that_traces, args=(killed, over))
    thread.start()
    try:
        apart = files(tmp_path / "two", TracingWorkers.of(Workers(2)))
    finally:
        over.set()
        thread.join()
    assert killed
    assert started_here() <= before  # nothing competes with what is timed next
    assert apart == files(tmp_path / "one", None)
