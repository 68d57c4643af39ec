"""The end of the line: reads requests from stdin on a device and answers on stdout. Python 3.8 and its library alone.

It is sent over the line that it answers on, so nothing is installed. A request is a line of JSON, with ``num_bytes`` of data behind
it where it says so; an answer is the same behind ``edgenas ``. Every request may be repeated: a line that drops loses nothing.

A folder holds one job: its files, ``run.log``, ``run.pid``, ``run.exit`` and what the job writes. ``run.lock`` is held by the job's
processes as long as one of them lives, so whether a job is alive is never guessed from a process's number.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

MARK = "edgenas "
OWN = "run.edgenas"  # in every folder that an agent has made
PART = ".part"
MAX_CHUNK = 1 << 20
STOP_S = 20.0
Answer = Tuple[Dict[str, Any], bytes]


class RefusedError(Exception):
    """Why a request is not done, in one line; ``kind`` is for programs."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Agent:
    """One line's requests, about one folder once it is opened."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.folder: Path | None = None

    def answer(self, request: dict[str, Any], data: bytes) -> Answer:
        """Do what is asked.

        Raises:
            RefusedError: if it cannot be done.
        """
        known: dict[str, Callable[..., Answer]] = {
            name: getattr(self, name) for name in ("probe", "open", "put", "start", "state", "stop", "get", "finish")
        }
        arguments = dict(request)
        call = known[arguments.pop("ask")]
        arguments.pop("num_bytes", None)
        return call(data=data, **arguments) if call == self.put else call(**arguments)

    def probe(self, modules: list[str], programs: dict[str, list[str]]) -> Answer:
        """What is here: Python, the system, versions of modules (imported, as the job will), paths of programs."""
        facts = {
            "python": platform.python_version(),
            "executable": sys.executable,
            "system": platform.system(),
            "machine": platform.machine(),
            "modules": {name: _version(name) for name in modules},
            "programs": {name: _found(places) for name, places in programs.items()},
        }
        return facts, b""

    def open(self, folder: str, files: dict[str, Any]) -> Answer:
        """Make or enter a folder; how many bytes of every file are there, all of them only where the hash is right."""
        path = Path(folder).expanduser()
        if not path.is_absolute():
            raise RefusedError("folder", f"{folder} is no absolute path here")
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        seen = path.lstat()
        if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid():
            raise RefusedError("folder", f"{path} is not a folder of this user")
        if not (path / OWN).exists() and any(path.iterdir()):
            raise RefusedError("folder", f"{path} holds other things")
        (path / OWN).touch()
        self.folder = path
        return {"folder": str(path), "have": {name: self._have(name, *each) for name, each in files.items()}}, b""

    def put(self, name: str, at: int, size: int, sha256: str, *, data: bytes) -> Answer:
        """Add bytes to a file that starts at ``at``; it gets its name when all are there and the hash is right."""
        target = self._inside(name)
        part = target.with_name(target.name + PART)
        target.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | getattr(os, "O_CLOEXEC", 0)
        with os.fdopen(os.open(str(part), flags, 0o600), "r+b") as file:
            have = file.seek(0, os.SEEK_END)
            if have == at:
                file.write(data)
                file.flush()
                have = at + len(data)
            if have == size:
                os.fsync(file.fileno())
        if have >= size:
            if have == size and _sha256(part) == sha256:
                part.replace(target)
            else:
                part.unlink()
                have = 0
        return {"have": have}, b""

    def start(self, command: list[str]) -> Answer:
        """Start the job apart from this line, unless it runs; what it says goes into ``run.log``."""
        lock = os.open(str(self._inside("run.lock")), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not _alone(lock):
                return {"started": False}, b""
            self._inside("run.exit").unlink() if self._inside("run.exit").exists() else None
            words = [sys.executable if word == "{python}" else word for word in command]
            with open(str(self._inside("run.log")), "wb") as log:  # noqa: PTH123
                process = subprocess.Popen(
                    [sys.executable, "-c", self.source, "supervise", str(lock), *words],
                    cwd=str(self.folder),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=(lock,),
                )
            self._inside("run.pid").write_text(str(process.pid))
            return {"started": True}, b""
        finally:
            os.close(lock)

    def state(self, log_at: int) -> Answer:
        """Whether the job runs, how it ended, and what its log says from ``log_at`` on."""
        log = self._inside("run.log")
        size = log.stat().st_size if log.exists() else 0
        text = _bytes_of(log, log_at, MAX_CHUNK) if 0 <= log_at < size else b""
        is_running = self._runs()
        code = self._inside("run.exit")
        exit_code = int(code.read_text() or "-1") if code.exists() and not is_running else None
        is_known = log.exists()
        return {"running": is_running, "exit_code": exit_code, "begun": is_known, "log_size": size}, text

    def stop(self) -> Answer:
        """Interrupt the job as Ctrl-C does; end it where it does not stop within some seconds."""
        ends = time.monotonic() + STOP_S
        for until in (ends - STOP_S / 2, ends):  # twice: the first may have come while the job was being started
            if self._runs():
                self._signal(signal.SIGINT)
            while self._runs() and time.monotonic() < until:
                time.sleep(0.05)
        was_deaf = self._runs()
        if was_deaf:
            self._signal(signal.SIGKILL)
            while self._runs() and time.monotonic() < ends + 5:
                time.sleep(0.05)
        return {"running": self._runs(), "killed": was_deaf}, b""

    def get(self, name: str, at: int, length: int) -> Answer:
        """Bytes of a file, its size, and behind the last byte its hash."""
        path = self._inside(name)
        if not path.is_file():
            raise RefusedError("missing", f"{path} is not there")
        data = _bytes_of(path, at, min(length, MAX_CHUNK))
        size = path.stat().st_size
        is_last = at + len(data) >= size
        return {"size": size, "sha256": _sha256(path) if is_last else None}, data

    def finish(self, forget: list[str]) -> Answer:
        """Remove some files of a folder that is kept, or the folder where none is named; never those of a job that runs."""
        assert self.folder is not None
        if self._runs():
            raise RefusedError("running", f"a measurement runs in {self.folder}")
        for name in forget:
            if self._inside(name).exists():
                self._inside(name).unlink()
        if not forget:
            shutil.rmtree(str(self.folder))
        return {}, b""

    def _inside(self, name: str) -> Path:
        if self.folder is None:
            raise RefusedError("protocol", "no folder is open")
        if name.startswith("/") or ".." in name.split("/"):
            raise RefusedError("protocol", f"{name} is no name inside the folder")
        return self.folder / name

    def _have(self, name: str, size: int, sha256: str) -> int:
        target = self._inside(name)
        if target.is_file() and target.stat().st_size == size and _sha256(target) == sha256:
            return size
        part = target.with_name(target.name + PART)
        have = part.stat().st_size if part.is_file() else 0
        if have >= size:  # of another content, else it would have its name
            part.unlink() if part.exists() else None
            return 0 if size else -1  # an empty file is still to be put
        return have if size else -1

    def _runs(self) -> bool:
        path = self._inside("run.lock")
        if not path.exists():
            return False
        lock = os.open(str(path), os.O_RDWR)
        try:
            return not _alone(lock)
        finally:
            os.close(lock)

    def _signal(self, number: int) -> None:
        with suppress(OSError, ValueError):  # it has just ended
            os.killpg(int(self._inside("run.pid").read_text()), number)


def supervise(lock: int, command: list[str]) -> int:
    """Run the job, and keep how it ended; a signal for all is left to the job."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # a handler, since what is ignored stays ignored in the job
    try:
        code = subprocess.call(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=(lock,))
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        code = 127
    beside = Path("run.exit.part")
    beside.write_text(str(code))
    beside.replace("run.exit")
    return code


def serve(source: str) -> None:
    """Answer requests until the line ends."""
    agent, line = Agent(source), sys.stdin.buffer
    while True:
        text = line.readline()
        if not text.endswith(b"\n"):
            return
        request = json.loads(text.decode())
        data = line.read(request.get("num_bytes", 0))
        if len(data) < request.get("num_bytes", 0):
            return
        try:
            value, more = agent.answer(request, data)
        except RefusedError as error:
            value, more = {"refused": str(error), "kind": error.kind}, b""
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            value, more = {"refused": f"{where}{error.strerror or error}", "kind": "os", "errno": error.errno}, b""
        head = json.dumps({**value, "num_bytes": len(more)})
        sys.stdout.buffer.write(f"{MARK}{head}\n".encode() + more)
        sys.stdout.buffer.flush()


def _alone(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _version(module: str) -> str | None:
    """The version of a module that can be imported; None where it cannot."""
    code = f"import {module} as m; print(getattr(m, '__version__', '?'))"
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.stdout.decode(errors="replace").strip()[:80] if done.returncode == 0 else None


def _found(places: list[str]) -> str | None:
    """The first of some names or paths that is a program."""
    return next((path for path in (shutil.which(os.path.expanduser(place)) for place in places) if path is not None), None)  # noqa: PTH111


def _bytes_of(path: Path, at: int, length: int) -> bytes:
    with open(str(path), "rb") as file:  # noqa: PTH123
        file.seek(at)
        return file.read(length)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(str(path), "rb") as file:  # noqa: PTH123
        for part in iter(lambda: file.read(MAX_CHUNK), b""):
            digest.update(part)
    return digest.hexdigest()


if __name__ == "__main__":
    if sys.argv[1:2] == ["supervise"]:
        sys.exit(supervise(int(sys.argv[2]), sys.argv[3:]))
    serve(SOURCE)  # type: ignore[name-defined] # noqa: F821 # what starts it has put its own text there
