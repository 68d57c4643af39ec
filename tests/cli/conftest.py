"""Runs commands as a user does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgenas.cli import main

Run = Callable[..., tuple[int, str, str]]


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
