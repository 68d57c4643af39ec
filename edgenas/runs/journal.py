"""Results of long work, kept as they come, so that the same command goes on after any end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgenas.errors import RunFolderError
from edgenas.runs.files import cannot_write, dump_json, sha256_json, write_text

SCHEMA_VERSION = 1  # 1: first
SYNC_EVERY_S = 5.0
_HINT = "delete it to start again"


class Journal:
    """JSON lines that grow by one result at a time: a header that says what work it is of, then keys with values.

    Every line carries a hash. What a kill or a full disk left of a last line is cut off when the journal is opened again; a
    line that was changed is an error.

    Args:
        path: of the file; made with its folder when the first result comes.
        identity: everything that the results depend on, JSON-ready. A journal of another identity is started anew.

    Raises:
        RunFolderError: naming the file and line that cannot be used.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        self.identity = sha256_json(identity)
        self.found: dict[str, Any] = {}
        self._file: Any = None
        self._synced = time.monotonic()
        self._length = self._read() if path.exists() else 0

    def __len__(self) -> int:
        return len(self.found)

    def recall(self, key: str) -> Any | None:
        """The value of a key, None where it was never recorded."""
        return self.found.get(key)

    def record(self, key: str, value: Any) -> None:
        """Keep a value; on the disk at once for the process's end, within seconds for the machine's.

        Raises:
            RunFolderError: if the file cannot be written.
        """
        line = dump_json({"key": key, "value": value}, indent=None)
        self.found[key] = json.loads(line)["value"]
        try:
            if self._file is None:
                self._open()
            self._file.write(f"{_seal(line)} {line}\n")
            self._file.flush()
            if time.monotonic() - self._synced > SYNC_EVERY_S:
                self.sync()
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def sync(self) -> None:
        """Make sure that what was recorded survives a power failure."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def close(self) -> None:
        """Sync and close the file; it can be recorded to again."""
        if self._file is not None:
            try:
                self.sync()
            finally:
                self._length = self._file.tell()
                self._file.close()
                self._file = None

    def remove(self) -> None:
        """Forget everything."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._length = 0
        self.found.clear()
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be removed: {error.strerror or error}") from error

    def _open(self) -> None:
        if self._length == 0:
            line = dump_json({"schema_version": SCHEMA_VERSION, "identity": self.identity}, indent=None)
            write_text(self.path, f"{_seal(line)} {line}\n")
            self._length = self.path.stat().st_size
        self._file = self.path.open("r+", encoding="utf-8")
        self._file.truncate(self._length)
        self._file.seek(self._length)

    def _read(self) -> int:
        """Fill ``found``; the length of what is whole, 0 where the journal is of other work."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise RunFolderError(f"{self.path} cannot be read: {error.strerror or error}") from error
        whole = data[: data.rfind(b"\n") + 1]
        lines = whole.split(b"\n")[:-1]
        values = [self._parse(line, number) for number, line in enumerate(lines, 1)]
        if not values:
            return 0
        header = values[0]
        if header.get("schema_version") != SCHEMA_VERSION:
            raise RunFolderError(
                f"{self.path} has schema_version {header.get('schema_version')!r}; this edgenas reads {SCHEMA_VERSION}", hint=_HINT
            )
        if header.get("identity") != self.identity:
            return 0
        for number, entry in enumerate(values[1:], 2):
            if not isinstance(entry.get("key"), str) or "value" not in entry:
                raise RunFolderError(f"{self.path} line {number} is no result", hint=_HINT)
            self.found[entry["key"]] = entry["value"]
        return len(whole)

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            seal, _, text = line.decode("utf-8").partition(" ")
            if seal != _seal(text):
                raise ValueError("it does not match its hash")
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RunFolderError(f"{self.path} line {number} was edited or damaged: {error}", hint=_HINT) from error
        if not isinstance(value, dict):
            raise RunFolderError(f"{self.path} line {number} is no result", hint=_HINT)
        return value


def _seal(text: str) -> str:
    return sha256_json(text)[:16]
