"""A folder that is written beside its place and moved there as a whole."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from pathlib import Path

from edgenas.deploy._manifest import MANIFEST
from edgenas.errors import ArtefactError
from edgenas.runs import sync_folder
from edgenas.runs.files import TEMPORARY, sweep_beside

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of <fcntl.h> and <linux/fs.h>


def target(folder: Path) -> Path:
    """The folder that a link to an artefact leads to: that one is replaced and the link stays; else ``folder`` itself."""
    return folder.resolve() if folder.is_symlink() and folder.is_dir() else folder


def new_beside(folder: Path) -> Path:
    """A new temporary folder beside ``folder``, which is not there or an older artefact.

    Raises:
        ArtefactError: if ``folder`` is in use for something else or cannot be written.
    """
    if os.path.lexists(folder) and not (folder / MANIFEST).is_file():
        raise ArtefactError(f"{folder} exists and is no artefact folder", hint="name another one")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep_beside(folder)
        return Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=TEMPORARY, dir=folder.parent))
    except OSError as error:
        raise ArtefactError(f"{folder} cannot be written: {error.strerror or error}") from error


def move(temporary: Path, folder: Path) -> None:
    """Put ``temporary`` in the place of ``folder``; what was there goes to ``temporary``, which the caller removes.

    Where the file system can exchange two names at once, there is always one whole folder.
    """
    for path in temporary.rglob("*"):
        if path.is_dir():
            sync_folder(path)
            continue
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if not folder.exists():
        temporary.rename(folder)
    elif not _exchange(temporary, folder):
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".old", dir=folder.parent))
        folder.rename(old / "artefact")
        temporary.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    sync_folder(folder.parent)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names by Linux' ``renameat2``; False where system or file system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    done: int = rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    return done == 0
