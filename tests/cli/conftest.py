"""Runs commands as a user does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgenas.cli import main
from edgenas.latency.measuring import Workshop
from edgenas.project import of_table
from tests.latency.toy import ToyRuntime, build

Run = Callable[..., tuple[int, str, str]]
TOY = "Toy 3000 (R) CPU"


@pytest.fixture
def edgenas(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return run


def as_object(out: str) -> dict[str, Any]:
    """The one JSON object on stdout."""
    assert out.count("\n") == 1
    value = json.loads(out)
    assert {"schema_version", "command", "exit_code", "status", "run", "result", "outputs", "warnings", "error"} <= set(value)
    return value


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Callable[[ToyRuntime], None]:
    """Lets this device be the toy, so that timing it is exact and takes no time."""

    def be(runtime: ToyRuntime, device: str = TOY) -> None:
        monkeypatch.setattr(of_table, "get_runtime", lambda name: runtime)
        monkeypatch.setattr(of_table, "device_name", lambda kind: device)
        monkeypatch.setattr(Workshop, "build", lambda self, chain: build(chain))
        monkeypatch.setattr(Workshop, "target", lambda self, threads, fps=None: runtime.target(threads=threads, fps=fps))

    return be
