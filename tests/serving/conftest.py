"""A server of a tiny artefact, in a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.predicting.conftest import artefact, models, pictures

__all__ = ["artefact", "models", "pictures"]
BOUNDARY = "0123456789"
PATIENCE_S = 120  # which stands for "does not hang", on a machine that does other things, too


@dataclass(frozen=True)
class Served:
    """A server that answers."""

    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, heads and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def predict(self, *files: tuple[str, bytes]) -> tuple[int, dict[str, Any]]:
        """Status and object of a form's answer."""
        status, _, body = self.ask("POST", "/predict", form(files), content_type=f"multipart/form-data; boundary={BOUNDARY}")
        return status, json.loads(body)

    def metrics(self) -> dict[str, float]:
        """Every value by its name."""
        text = self.ask("GET", "/metrics")[2].decode()
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def form(files: Sequence[tuple[str, bytes]]) -> bytes:
    """The body of a form."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\nContent-Type: image/png\r\n\r\n'
    parts = [(head % name).encode() + data + b"\r\n" for name, data in files]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


@contextmanager
def serving(folder: Path, *arguments: str, grace_s: int | None = None) -> Iterator[Served]:
    """A server on a free port, which may end sooner than it does; it is killed at the end if it still runs."""
    command = [sys.executable, "-m", "edgenas", "serve", str(folder), "--port", "0", *arguments]
    if grace_s is not None:
        sooner = f"from edgenas.serving import running; running.GRACE_S = {grace_s}"
        command[1:3] = ["-c", f"import sys; {sooner}; from edgenas.cli import main; main(sys.argv[1:])"]
    environment = {**os.environ, "COLUMNS": "400"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    try:
        said = ""
        while (found := re.search(r"answers at http://[^ ]*:(\d+) ", said)) is None:
            line = process.stderr.readline()
            assert line, said
            said += line
        yield Served(process, int(found.group(1)))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def served(artefact: Path) -> Iterator[Served]:
    """One server for a module's tests, which takes little."""
    with serving(artefact, "--max-mb", "0.5", "--max-pixels", "100000") as server:
        yield server
