"""A command that takes a while to start says so, where a person looks."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from edgenas.report import terminal
from edgenas.report.terminal import Screen


def started(file: io.StringIO, *, is_terminal: bool, patience_s: float) -> None:
    """Start until it is said, at most for so long."""
    screen = Screen(Console(file=file, force_terminal=is_terminal, width=60))
    with screen.starting():
        ends = time.monotonic() + patience_s
        while "starting" not in file.getvalue() and time.monotonic() < ends:
            time.sleep(0.01)


def test_a_terminal_is_told_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "PAUSE_S", 0.0)
    file = io.StringIO()
    started(file, is_terminal=True, patience_s=60)
    assert "starting" in file.getvalue()
    assert file.getvalue().endswith("\x1b[2K")  # nothing is left of it


def test_what_starts_at_once_and_what_is_no_terminal_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "PAUSE_S", 3600.0)
    file = io.StringIO()
    started(file, is_terminal=True, patience_s=0)
    monkeypatch.setattr(terminal, "PAUSE_S", 0.0)
    started(file, is_terminal=False, patience_s=0.05)
    assert file.getvalue() == ""
