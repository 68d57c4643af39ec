"""Folders and files that storage systems, browsers and editors leave among data: thumbnails, indexes, waste baskets."""

from __future__ import annotations

import os
from pathlib import Path

# in lower case; names that begin with a dot are clutter anyway
_FOLDERS = frozenset(
    {
        "@eadir",  # Synology's thumbnails
        "@tmp",
        "#recycle",
        "#snapshot",
        "@recycle",  # QNAP
        "@recently-snapshot",
        "__macosx",  # resource forks in archives that macOS packed
        "__pycache__",
        "$recycle.bin",
        "$recycle",
        "recycler",
        "system volume information",
        "lost+found",
        "found.000",
    }
)
_HIDDEN = frozenset(
    {".thumbnails", ".thumbs", ".appledouble", ".trashes", ".ipynb_checkpoints", ".spotlight-v100", ".fseventsd", ".git"}
)
_ALL = _FOLDERS | _HIDDEN
_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "picasa.ini", "icon\r"})


def is_clutter(name: str, *, folder: bool) -> bool:
    """Whether a name is that of a folder or file that is no data: hidden ones, and those in the lists above."""
    return name.startswith(".") or name.lower() in (_FOLDERS if folder else _FILES)


def clutter_in(path: str) -> str | None:
    """The part of a path down to the first folder that is no data, or the whole path of such a file; None if it is data.

    Other hidden folders may lead to data that somebody lists.
    """
    parts = path.split("/")
    for position, part in enumerate(parts[:-1]):
        if part.lower() in _ALL:
            return "/".join(parts[: position + 1])
    return path if parts[-1].startswith("._") or parts[-1].lower() in _FILES else None


def num_files(folder: Path) -> int:
    """Files below a folder, as far as they can be listed; links are not followed."""
    return sum(len(names) for _, _, names in os.walk(folder))
