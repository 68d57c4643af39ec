"""A SIGTERM to a command that waits, and an `init` that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgenas.cli import runner


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_sigterm_ends_a_command_that_waits_for_something(has_begun: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "PATIENCE_S", 0.2)
    stop, began = runner.StopRequest(), time.monotonic()

    def waiting() -> None:
        assert not has_begun or not stop  # the first sign of life
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(240)

    with stop.listening(), pytest.raises(KeyboardInterrupt):
        waiting()
    assert time.monotonic() - began < 120


KILLED = """
import os, signal
from pathlib import Path
from edgenas.cli import cli
unlink = Path.unlink
def killed(path, missing_ok=False):
    if path.name == "init-unfinished":
        os.kill(os.getpid(), signal.SIGKILL)
    unlink(path, missing_ok=missing_ok)
Path.unlink = killed
cli()
"""


def test_an_init_that_was_killed_after_its_last_rename_goes_on(tmp_path: Path) -> None:
    arguments = ["init", "--data", "digits", "--image-px", "16", "--set", "data.max_per_class=20"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    run = tmp_path / "edgenas-run"
    before = (run / "data" / "splits.json").read_bytes()
    again = subprocess.run([sys.executable, "-m", "edgenas", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert (run / "data" / "splits.json").read_bytes() == before
    assert not list(run.rglob("*unfinished*"))
