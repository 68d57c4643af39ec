"""The few large files that hold all images of a source: whether they are still those whose images were checked.

Their sizes and times tell, so that a command that needs no image need not open 70,000 of them to say that none changed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgenas.errors import RunFolderError
from edgenas.runs import read_sealed, write_sealed

SCHEMA_VERSION = 1  # 1: first
FRESH_NS = 2_000_000_000  # a file that changed so shortly before it was read may change again within the clock's tick
_KIND, _AGAIN = "archives", "delete it: the images are then read again"

Times = tuple[int, int, int]  # size in bytes, times of content and of inode in ns


@dataclass(frozen=True, slots=True)
class Archives:
    """Files that hold all images of a source, as they were.

    Attributes:
        checked: names what the images were checked against; other images or another division have another name.
        files: size and times by path; None where there was no file.
    """

    checked: str
    files: Mapping[str, Times | None]

    @classmethod
    def seen(cls, checked: str, paths: Iterable[Path]) -> Archives:
        """The files as they are now."""
        return cls(checked, {str(path): _times(path) for path in paths})

    @property
    def are_settled(self) -> bool:
        """Whether no file is so young that its times may hide a change."""
        return all(times is None or time.time_ns() - max(times[1:]) > FRESH_NS for times in self.files.values())

    def save(self, path: Path) -> None:
        """Write atomically as JSON.

        Raises:
            RunFolderError: if it cannot be written.
        """
        rows = [[name, *(times or ())] for name, times in self.files.items()]
        write_sealed(path, _KIND, {"schema_version": SCHEMA_VERSION, "checked": self.checked, "files": rows})

    @classmethod
    def load(cls, path: Path) -> Archives | None:
        """Read what `save` wrote; None where there is no such file, or none that can be read: nothing is known then."""
        try:
            value = read_sealed(path, _KIND, schema_version=SCHEMA_VERSION, hint=_AGAIN) if path.is_file() else None
            return None if value is None else cls(str(value["checked"]), dict(map(_row, value["files"])))
        except (RunFolderError, KeyError, TypeError, ValueError, IndexError):
            return None


def _times(path: Path) -> Times | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _row(values: list[Any]) -> tuple[str, Times | None]:
    if len(values) == 1:
        return str(values[0]), None
    name, size_bytes, mtime_ns, ctime_ns = values
    return str(name), (int(size_bytes), int(mtime_ns), int(ctime_ns))
