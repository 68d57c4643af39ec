"""Finding a file that a list names: as written, or by the one name on disk that can be meant."""

from __future__ import annotations

import posixpath
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

from edgenas.data.files import EXTENSIONS, is_file, is_plain

WINDOWS = "written with backslashes"
SPELLED = "spelled otherwise on disk"
EXTENDED = "named without its extension"


@dataclass(slots=True)
class Lookup:
    """Files below a folder, found by paths that may come from another system. It remembers what it has listed.

    Attributes:
        folder: that paths are relative to.
    """

    folder: Path
    _listed: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def find(self, path: str) -> tuple[str, str]:
        """The path of the file that is meant, and how it differs from what is written; ``path`` itself where there is none.

        Tried in this order: as written; backslashes as slashes; names that look alike (Unicode form, case); a name without the
        extension. Whatever several files could be meant by is none.
        """
        if is_file(self.folder / path):
            return path, ""
        ways, plain = [], path
        if "\\" in path:
            plain = posixpath.normpath(path.replace("\\", "/"))
            ways.append(WINDOWS)
            if is_file(self.folder / plain):
                return plain, WINDOWS
        spelled = self._spelled(plain)
        if spelled is None:
            return path, ""
        file, way = spelled
        return file, ", ".join([*ways, way])

    def _spelled(self, path: str) -> tuple[str, str] | None:
        """The one file whose folders and name look like those of ``path``, and how it differs."""
        head, name = posixpath.split(path)
        names = head.split("/") if head else []
        there = "/" if path.startswith("/") else ""
        for part in [each for each in names if each]:
            if (self.folder / there / part).is_dir():
                there = posixpath.join(there, part)
                continue
            alike = [each for each in self._names(there).get(_key(part), []) if (self.folder / there / each).is_dir()]
            if len(alike) != 1:
                return None
            there = posixpath.join(there, alike[0])
        listed = self._names(there)
        wanted = [name, *(f"{name}{extension}" for extension in EXTENSIONS)]
        for way, keys in ((SPELLED, wanted[:1]), (EXTENDED, wanted[1:])):
            files = [each for key in keys for each in listed.get(_key(key), []) if is_file(self.folder / there / each)]
            if len(files) == 1:
                return posixpath.join(there, files[0]), way
            if files:
                return None
        return None

    def _names(self, there: str) -> dict[str, list[str]]:
        """Names in a folder by what they look like."""
        if there not in self._listed:
            names: dict[str, list[str]] = {}
            try:
                for name in sorted(each.name for each in (self.folder / there).iterdir()):
                    if is_plain(name):
                        names.setdefault(_key(name), []).append(name)
            except OSError:
                names = {}
            self._listed[there] = names
        return self._listed[there]


def _key(name: str) -> str:
    """What names share that differ in Unicode form or case alone."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def has_drive(path: str) -> bool:
    """Whether a path names a drive or share of Windows, which no file here is on."""
    return bool(PureWindowsPath(path).drive) and "\\" in path
