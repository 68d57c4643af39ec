"""Results of long work, kept as they come, so that the same command goes on after any end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgenas.errors import RunFolderError
from edgenas.portable.journal import JournalFile
from edgenas.portable.sealing import DamagedFileError
from edgenas.runs.files import cannot_write, jsonable

_HINT = "delete it to start again"


class Journal:
    """The journal of a command in a run folder, as `portable.journal.JournalFile`, with values of NumPy and paths.

    Args:
        path: of the file; made with its folder when the first result comes.
        identity: everything that the results depend on. A journal of another identity is started anew.

    Raises:
        RunFolderError: naming the file and line that cannot be used.
    """

    def __init__(self, path: Path, identity: Mapping[str, object]) -> None:
        self.path = path
        try:
            self._lines = JournalFile(path, jsonable(identity))
        except DamagedFileError as error:
            raise RunFolderError(f"{path} {error}", hint=_HINT) from error
        except OSError as error:
            raise RunFolderError(f"{path} cannot be read: {error.strerror or error}") from error

    def __len__(self) -> int:
        return len(self.found)

    @property
    def found(self) -> dict[str, Any]:
        """Values by their keys."""
        return self._lines.values

    @property
    def is_other(self) -> bool:
        """Whether the file holds results of other work."""
        return self._lines.is_other

    def recall(self, key: str) -> Any | None:
        """The value of a key, None where it was never recorded."""
        return self._lines.recall(key)

    def record(self, key: str, value: Any) -> None:
        """Keep a value; on the disk at once for the process's end, within seconds for the machine's.

        Raises:
            RunFolderError: if the file cannot be written.
        """
        with self._writing():
            self._lines.record(key, jsonable(value))

    def sync(self) -> None:
        """Make sure that what was recorded survives a power failure."""
        with self._writing():
            self._lines.sync()

    def close(self) -> None:
        """Sync and close the file; it can be recorded to again."""
        with self._writing():
            self._lines.close()

    def remove(self) -> None:
        """Forget everything."""
        try:
            self._lines.forget()
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be removed: {error.strerror or error}") from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise cannot_write(self.path, error) from error
