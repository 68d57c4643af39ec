"""Printing the page as PDF with a browser that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from edgenas.errors import MissingBackendError, RunFolderError
from edgenas.runs import atomic_path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE_S = 120.0
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-pdf-header-footer",
)


def browser() -> str:
    """The Chromium or Chrome that is installed.

    Raises:
        MissingBackendError: if there is none.
    """
    program = next((path for name in NAMES if (path := shutil.which(name)) is not None), None)
    if program is None:
        raise MissingBackendError(
            f"printing a PDF needs Chromium or Chrome: none of {', '.join(NAMES)} is on PATH",
            hint="install one, or open report/index.html in any browser and print it",
        )
    return program


def print_pdf(program: str, page: Path, pdf: Path) -> None:
    """Print a page.

    Args:
        program: from `browser`.
        page: HTML file.
        pdf: file to write, atomically.

    Raises:
        MissingBackendError: if the browser does not start.
        RunFolderError: if it prints nothing.
    """
    alone = ("--no-sandbox",) if os.geteuid() == 0 else ()  # Chromium has no sandbox for root
    with atomic_path(pdf) as temporary, tempfile.TemporaryDirectory() as profile:
        where = (f"--user-data-dir={profile}", f"--print-to-pdf={temporary.resolve()}", page.resolve().as_uri())
        try:
            done = subprocess.run(
                [program, *FLAGS, *alone, *where], capture_output=True, text=True, timeout=PATIENCE_S, check=False
            )
        except OSError as error:
            raise MissingBackendError(f"{program} does not start: {error.strerror or error}") from error
        except subprocess.TimeoutExpired as error:
            raise RunFolderError(f"{program} has not printed {page} in {PATIENCE_S:.0f} s") from error
        if done.returncode != 0 or not temporary.stat().st_size:
            said = " ".join(done.stderr.split())[-300:]
            raise RunFolderError(f"{program} cannot print {page}: {said}", hint="open the page in a browser and print it")
