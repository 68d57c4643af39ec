"""Where the files of one project lie, and who holds them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgenas.errors import RunFolderError
from edgenas.runs.files import TEMPORARY, cannot_write


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where the files of one project lie. Nothing here creates a file."""

    path: Path

    @property
    def config(self) -> Path:
        """The project's settings."""
        return self.path / "edgenas.toml"

    @property
    def splits(self) -> Path:
        """Which image is in which split, and the data's fingerprint."""
        return self.path / "data" / "splits.json"

    @property
    def files(self) -> Path:
        """What every image file was when it was last read: size, times, hash."""
        return self.path / "data" / "files.json"

    @property
    def archives(self) -> Path:
        """What the few large files were that hold all images, where they lie in such, when these were last checked."""
        return self.path / "data" / "archives.json"

    @property
    def samples(self) -> Path:
        """Some images of every class, as their files show them and as nets read them."""
        return self.path / "data" / "samples.png"

    @property
    def problems(self) -> Path:
        """Everything odd about the images and their labels, and what was done about it."""
        return self.path / "data" / "problems.csv"

    @property
    def teacher(self) -> Path:
        """Folder of the teacher's checkpoint and log."""
        return self.path / "teacher"

    @property
    def supernet(self) -> Path:
        """Folder of the supernet's checkpoint and log."""
        return self.path / "supernet"

    @property
    def latency(self) -> Path:
        """Folder of the latency tables measured for this run."""
        return self.path / "latency"

    @property
    def look(self) -> Path:
        """Folder of the look at spaces: what was timed, and what was chosen."""
        return self.path / "look"

    @property
    def search(self) -> Path:
        """Folder of the search's candidates, result and plots."""
        return self.path / "search"

    @property
    def fidelity(self) -> Path:
        """Folder of the report on how well the supernet ranks, and its plot."""
        return self.path / "fidelity"

    @property
    def retrain(self) -> Path:
        """Folder of the winner's own checkpoint, log and test report."""
        return self.path / "retrain"

    @property
    def compare(self) -> Path:
        """Folder of the rivals' trainings and of what was compared."""
        return self.path / "compare"

    @property
    def export(self) -> Path:
        """Folder of the artefact folders."""
        return self.path / "export"

    @property
    def answers(self) -> Path:
        """Folder of what nets answered to the test split, image by image."""
        return self.path / "answers"

    @property
    def page(self) -> Path:
        """The page of all results."""
        return self.path / "report" / "index.html"

    def relative(self, path: Path) -> str:
        """``path`` as the contract writes outputs: relative to the run folder where it lies in it."""
        try:
            return path.resolve().relative_to(self.path.resolve()).as_posix()
        except ValueError:
            return str(path)


_HELD: set[Path] = set()  # locks of this process, which the system's locks do not keep apart


@contextmanager
def locked(run: RunFolder) -> Iterator[None]:
    """Hold the run folder for this process and clear away what a killed one left half written.

    The lock is the system's, so it ends with the process however that ends, and is not inherited by worker processes.

    Raises:
        RunFolderError: if another live process holds it (named by its pid), or the folder cannot be written.
    """
    path = run.path / ".lock"
    try:
        run.path.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise RunFolderError(f"{path} is no plain file", hint="move it away")
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise cannot_write(run.path, error) from error
    with file:
        key = path.resolve()
        _acquire(file, run, key)
        try:
            _sweep(run.path)
            yield
        finally:
            _release(file, key)


def _acquire(file: Any, run: RunFolder, key: Path) -> None:
    import fcntl

    try:
        if key in _HELD:
            raise BlockingIOError
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        raise RunFolderError(
            f"{run.path} is in use by process {holder}", hint="wait for it, or take another folder with --run"
        ) from error
    except OSError as error:
        raise RunFolderError(f"{run.path} cannot be locked: {error.strerror or error}") from error
    _HELD.add(key)
    try:
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
    except OSError as error:
        _HELD.discard(key)
        raise cannot_write(run.path, error) from error


def _release(file: Any, key: Path) -> None:
    """Unlock; the pid in the file is then of no one, which nobody reads while the lock is free."""
    import fcntl

    _HELD.discard(key)
    fcntl.lockf(file, fcntl.LOCK_UN)


def _sweep(folder: Path) -> None:
    """Remove temporary files and folders of processes that were killed."""
    for path in folder.rglob(f".*{TEMPORARY}"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A folder for files of the moment, inside a run folder, so that what a killed process leaves is found and removed.

    Raises:
        RunFolderError: if it cannot be made.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".scratch.", suffix=TEMPORARY, dir=parent))
    except OSError as error:
        raise cannot_write(parent, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
