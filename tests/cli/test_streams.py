"""What goes to stdout and what to stderr, and how it looks in a pipe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run

EDGENAS = f"'{sys.executable}' -m edgenas"


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line as it is typed into a shell."""
    return subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=folder, capture_output=True, text=True, check=False)


def test_results_are_on_stdout_and_progress_and_notes_on_stderr(edgenas: Run) -> None:
    code, out, err = edgenas("init", "--data", "digits", "--space", "pvt-nano", "--image-px", "16")
    assert code == 0
    assert "1,797 images of digits" in out
    assert out.splitlines()[-1].startswith("edgenas-run/")
    assert "1,797 images" not in err
    assert "checking images: 1,797/1,797" in err
    assert "checking images" not in out


def test_a_pipe_gets_whole_lines_without_colour(tmp_path: Path) -> None:
    done = shell(f"{EDGENAS} spaces | grep pvt-covidx", tmp_path)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["pvt-covidx", "pvt-covidx"]
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["spaces pvt-elastic", "--help"])
def test_a_reader_that_has_seen_enough_ends_a_command_in_silence(command: str, tmp_path: Path) -> None:
    slow = f"{EDGENAS} {command} | (read -r line; exec 0<&-; sleep 0.1)"  # the pipe is closed, whatever is still to come
    done = shell(slow, tmp_path)
    assert done.stderr == ""
    head = shell(f"{EDGENAS} spaces | head -n 2", tmp_path)
    assert (head.returncode, head.stderr, len(head.stdout.splitlines())) == (0, "", 2)
