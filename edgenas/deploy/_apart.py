"""Runs a stranger's model in a process of its own, which ends after some seconds and takes so much memory and no more.

The process is given a folder and the place of a file in its manifest, and answers with the checks of that file as JSON. What it
does besides, whatever the model makes it do, ends with it.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgenas.errors import EdgeNASError
from edgenas.records import Check, ModelFile
from edgenas.runs.outside import parse_json

START_S = 120.0  # for Python and the packages of a runtime, on a slow device
CPU_S, GPU_S = 15.0, 120.0  # for loading a model and running its golden images; engines are large, and a GPU wakes slowly
MAX_BYTES = 1536 << 20  # of a process that runs on the CPU
_MAX_ANSWER = 1 << 20
_TICK_S = 0.05


@dataclass(slots=True)
class Patience:
    """Seconds that are left for all models of a folder together; one that was stopped leaves none for the others."""

    cpu_s: float = 2 * CPU_S
    gpu_s: float = 2 * GPU_S
    spent_by: str = ""

    def limit_s(self, *, on_gpu: bool) -> float:
        """How long the next model may take."""
        return min(GPU_S, self.gpu_s) if on_gpu else min(CPU_S, self.cpu_s)

    def take(self, seconds: float, *, on_gpu: bool) -> None:
        """Count what a model took."""
        if on_gpu:
            self.gpu_s -= seconds
        else:
            self.cpu_s -= seconds


def check_apart(
    folder: Path, number: int, file: ModelFile, patience: Patience, *, runtime: str, is_emulation: bool, on_gpu: bool
) -> list[Check]:
    """The live checks of a model, made by another process; a model that does not end, or takes too much memory, fails.

    Args:
        folder: of the artefact.
        number: of the file in the manifest.
        file: as the manifest describes it, or its emulation.
        patience: what is left for it; changed.
        runtime: that runs it, whose packages are imported before the clock starts.
        is_emulation: whether the emulation of the file is meant.
        on_gpu: whether its runtime computes there, which takes more time and memory.
    """
    if patience.spent_by or patience.limit_s(on_gpu=on_gpu) <= 0:
        why = f"not run: {patience.spent_by or 'the models before it'} took all the time there is"
        return [Check(file.path, "golden", "failed", why)]
    part = "emulation" if is_emulation else "file"
    arguments = [str(folder.resolve()), str(number), part, runtime, "gpu" if on_gpu else "cpu"]
    process, reading = start_child("checks", arguments)
    try:
        answer, why, took_s = _listen(reading, process, patience.limit_s(on_gpu=on_gpu), max_bytes=None if on_gpu else MAX_BYTES)
    finally:
        end_group(process)
        os.close(reading)
    patience.take(took_s, on_gpu=on_gpu)
    checks = _checks(answer)
    if checks is not None:
        return checks
    if why.startswith("it was stopped"):
        patience.spent_by = file.path
    return [Check(file.path, "golden", "failed", why or _end(process.returncode))]


def _listen(reading: int, process: subprocess.Popen[bytes], limit_s: float, *, max_bytes: int | None) -> tuple[bytes, str, float]:
    """What the process says until it ends, why it was not heard to the end, and its seconds since its first byte."""
    said, began = b"", None
    ends = time.monotonic() + START_S

    def heard(why: str) -> tuple[bytes, str, float]:
        return said, why, 0.0 if began is None else time.monotonic() - began

    while len(said) <= _MAX_ANSWER:
        if over_memory(process.pid, max_bytes):
            return heard(f"it was stopped: it took more than {(max_bytes or 0) >> 20} MB of memory")
        left = ends - time.monotonic()
        if left <= 0:
            return heard(f"it was stopped: it did not end within {limit_s:g} s")
        if not select.select([reading], [], [], min(left, _TICK_S))[0]:
            continue
        part = os.read(reading, 1 << 16)
        if not part:
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            return heard("")
        if began is None:
            began = time.monotonic()
            ends = began + limit_s
        said += part
    return heard("it was stopped: it said too much")


def start_child(task: str, arguments: Sequence[str], *, stdin: int = subprocess.DEVNULL) -> tuple[subprocess.Popen[bytes], int]:
    """A process with a group of its own that runs `edgenas.deploy._child`, and the descriptor where what it says is read."""
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "edgenas.deploy._child", str(writing), task, *arguments],
            pass_fds=(writing,),
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    finally:
        os.close(writing)
    return process, reading


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def over_memory(pid: int, max_bytes: int | None) -> bool:
    """Whether a process holds more than that; None is no limit."""
    return max_bytes is not None and _resident_bytes(pid) > max_bytes


def died_of(process: subprocess.Popen[bytes]) -> str:
    """How a process ended that closed what it speaks through."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)
    return "its process went silent" if process.returncode is None else _end(process.returncode)


def _resident_bytes(pid: int) -> int:
    """Memory of a process as the system counts it; 0 where it cannot be asked."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _checks(answer: bytes) -> list[Check] | None:
    """The checks in an answer; None where it broke off."""
    _, _, text = answer.partition(b"\n")
    try:
        return [Check.from_json(each) for each in parse_json(text)]
    except (ValueError, TypeError, EdgeNASError):
        return None


def _end(code: int) -> str:
    """How a process ended that gave no answer."""
    if code < 0:
        return f"it ended the process that ran it, by {signal.Signals(-code).name}"
    return f"the process that ran it ended with status {code} and no answer"
