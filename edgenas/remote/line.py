"""One line to a device: a process of OpenSSH, and the agent that answers at the other end of it.

Everything goes through the standard input and output of one command, so a device needs sshd and Python, neither SFTP nor a file of
ours. The user's configuration, keys, agent, known hosts and jump hosts count; nothing is ever asked, and host keys are checked as
the configuration says.
"""

from __future__ import annotations

import errno
import json
import os
import select
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import suppress
from importlib.resources import files
from typing import Any

from edgenas.errors import MissingBackendError
from edgenas.escaping import one_line
from edgenas.portable.outside import parse_json
from edgenas.remote.address import Address
from edgenas.remote.agent import MARK
from edgenas.remote.refusals import MAX_SAID, RemoteError, refusal

CONFIG = "EDGENAS_SSH_CONFIG"  # names a file that OpenSSH reads instead of ~/.ssh/config
OPTIONS = {
    "BatchMode": "yes",  # a question would wait for ever
    "ConnectTimeout": "15",
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "3",
    "LogLevel": "ERROR",
    "RemoteCommand": "none",
    "PermitLocalCommand": "no",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
}
OLDEST = (3, 8)
VERSION = "edgenas-python "
BOOTSTRAP = (
    f'import sys;print("{VERSION}%d.%d"%sys.version_info[:2]);sys.stdout.flush();b=sys.stdin.buffer;'
    's=b.read(int(b.readline()));exec(s,{"__name__":"__main__","SOURCE":s.decode()})'
)
TICK_S = 0.2
FIRST_S, PATIENCE_S = 60.0, 120.0  # without a byte: until the agent has begun, and later
Request = Mapping[str, Any]  # JSON that the agent takes: ``ask`` names one of its methods, the others are arguments
Answer = Mapping[str, Any]  # JSON of a stranger: whoever asked checks it
MAX_NOISE, MAX_HEAD, MAX_DATA = 256 << 10, 4 << 20, 1 << 20  # bytes of a line that somebody else may fill


class DroppedError(Exception):
    """The line is gone; what OpenSSH said of it."""


class Line:
    """A live line. What a device says is data of a stranger: limited, parsed strictly, never executed.

    Args:
        address: of the device.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 # a pipe would stay open with the master of a shared connection
        try:
            self._process = subprocess.Popen(
                _command(address),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                bufsize=0,
                start_new_session=True,  # Ctrl-C is for edgenas, which stops the device first
            )
        except OSError as error:
            self._said.close()
            raise MissingBackendError(f"ssh cannot be started: {error.strerror}", hint="install OpenSSH's client") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._to, False)
        self._read = bytearray()

    def begin(self) -> Generator[None, None, None]:
        """Wait for Python there and send it the agent.

        Raises:
            UnreachableError: if the device cannot be reached, or has no Python.
            RemoteError: if its Python is too old.
            DroppedError: if the line broke without a reason that can be named.
        """
        noise = 0
        while True:
            line = yield from self._line(FIRST_S, MAX_NOISE)
            noise += len(line)
            if line.startswith(VERSION.encode()):
                break
            if noise > MAX_NOISE:
                raise RemoteError(
                    f"{self.address} says other things than Python does", hint="its shell must print nothing at start"
                )
        version = line[len(VERSION) :].decode("ascii", "replace").strip()
        numbers = tuple(int(part) for part in version.split(".") if part.isdecimal())
        if numbers < OLDEST:
            raise MissingBackendError(
                f"{self.address} has Python {one_line(version)[:20]} as {self.address.python}; 3.8 or later is needed",
                hint="name another: ?python=/usr/bin/python3.10",
            )
        source = agent_source()
        yield from self._write(f"{len(source)}\n".encode() + source)

    def ask(self, request: Request, data: bytes = b"") -> Generator[None, None, tuple[Answer, bytes]]:
        """Ask the agent; yields while it waits.

        Raises:
            RemoteError: with what the agent refused.
            DroppedError: if the line broke.
        """
        yield from self._write(json.dumps({**request, "num_bytes": len(data)}).encode() + b"\n" + data)
        line = yield from self._line(PATIENCE_S, MAX_HEAD)
        if not line.startswith(MARK.encode()):
            raise RemoteError(f"{self.address} answers with {one_line(line.decode('utf-8', 'replace'))[:80]!r}")
        try:
            answer = parse_json(line[len(MARK) :])
            length = answer.pop("num_bytes")
            if not isinstance(length, int) or not 0 <= length <= MAX_DATA:
                raise ValueError(f"num_bytes is {length!r}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RemoteError(f"{self.address} answers with what cannot be read: {error}") from error
        more = yield from self._bytes(length, PATIENCE_S)
        if "refused" in answer:
            raise _refused(self.address, answer)
        return answer, more

    def close(self) -> None:
        """End the process; the agent ends with its input."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(OSError):
                stream.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._said.close()

    def _line(self, patience_s: float, most: int) -> Generator[None, None, bytes]:
        while (end := self._read.find(b"\n")) < 0:
            if len(self._read) > most:
                raise RemoteError(f"{self.address} answers with more than {most >> 10} kB in a line")
            yield from self._more(patience_s)
        line = bytes(self._read[:end])
        del self._read[: end + 1]
        return line

    def _bytes(self, length: int, patience_s: float) -> Generator[None, None, bytes]:
        while len(self._read) < length:
            yield from self._more(patience_s)
        data = bytes(self._read[:length])
        del self._read[:length]
        return data

    def _more(self, patience_s: float) -> Generator[None, None, None]:
        ends = time.monotonic() + patience_s
        while not select.select([self._from], [], [], TICK_S)[0]:
            if time.monotonic() > ends:
                raise DroppedError("it does not answer")
            yield
        part = os.read(self._from, 1 << 16)
        if not part:
            raise self._dropped()
        self._read += part

    def _write(self, data: bytes) -> Generator[None, None, None]:
        rest, ends = memoryview(data), time.monotonic() + PATIENCE_S
        while rest:
            if not select.select([], [self._to], [], TICK_S)[1]:
                if time.monotonic() > ends:
                    raise DroppedError("it takes nothing")
                yield
                continue
            try:
                rest = rest[os.write(self._to, rest) :]
            except BrokenPipeError:
                raise self._dropped() from None
            except BlockingIOError:
                continue

    def _dropped(self) -> Exception:
        """Why the other end is closed: what OpenSSH said, or what the shell there said of Python."""
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            code = None
        self._said.seek(0)
        said = self._said.read(64 << 10).decode("utf-8", "replace")
        if code in (126, 127):
            return MissingBackendError(
                f"{self.address} has no {self.address.python}", hint="name a Python 3.8 or later there: ?python=/usr/bin/python3.10"
            )
        if code == 255:
            return refusal(self.address, said)
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        return DroppedError(one_line(lines[-1])[:MAX_SAID] if lines else "it was closed")


def agent_source() -> bytes:
    """The text that runs at the other end."""
    return files("edgenas").joinpath("remote/agent.py").read_bytes()


def _command(address: Address) -> list[str]:
    """The words that start OpenSSH; the last is for the shell of the device, whichever that is."""
    words = [shutil.which("ssh") or "ssh", "-T"]
    if CONFIG in os.environ:
        words += ["-F", os.environ[CONFIG]]
    for name, value in OPTIONS.items():
        words += ["-o", f"{name}={value}"]
    if address.user is not None:
        words += ["-l", address.user]
    if address.port is not None:
        words += ["-p", str(address.port)]
    return [*words, "--", address.host, f"{_program(address.python)} -c {shlex.quote(BOOTSTRAP)}"]


def _program(path: str) -> str:
    """A program as shells take it; a ``~`` in quotes would stay one."""
    return f'"$HOME"/{shlex.quote(path[2:])}' if path.startswith("~/") else shlex.quote(path)


def _refused(address: Address, answer: Answer) -> RemoteError:
    """An error for what the agent could not do."""
    hints = {
        errno.ENOSPC: "free space there; the same command goes on",
        errno.EDQUOT: "free space there; the same command goes on",
        errno.EACCES: "name a folder that can be written: ?dir=/data/edgenas",
        errno.EPERM: "name a folder that can be written: ?dir=/data/edgenas",
        errno.EROFS: "name a folder that can be written: ?dir=/data/edgenas",
        errno.ENOENT: "name a folder that can be written: ?dir=/data/edgenas",
        errno.ENOTDIR: "name a folder that can be written: ?dir=/data/edgenas",
    }
    number = answer.get("errno")
    hint = hints.get(number, "") if isinstance(number, int) else ""
    if answer.get("kind") == "folder":
        hint = "name another folder: ?dir=/data/edgenas"
    return RemoteError(f"{address}: {one_line(str(answer['refused']))[:MAX_SAID]}", hint=hint)
