"""Results of long work, kept as they come, so that the same command goes on after any end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgenas.portable.outside import OutsideError, parse_json, read_regular
from edgenas.portable.sealing import DamagedFileError, canonical_sha256, write_beside

JOURNAL_SCHEMA = 1  # 1: first
SYNC_EVERY_S = 5.0
MAX_JOURNAL_BYTES = 1 << 30


class BusyFileError(Exception):
    """Another process holds the file."""


class JournalFile:
    """JSON lines that grow by one result at a time: a header that says what work it is of, then keys with values.

    Every line carries a hash. What a kill or a full disk left of a last line is cut off when the journal is opened again; a line
    that was changed is an error. A journal of other work is started anew when the first result comes, and not before.

    Args:
        path: of the file; made when the first result comes.
        identity: everything that the results depend on, JSON-ready.
        sync_every_s: seconds between two syncs to the disk; 0 syncs every result.
        is_alone: hold the file from now on, so that no other process works on it.

    Attributes:
        values: by their keys.
        is_other: whether the file holds results of other work.

    Raises:
        DamagedFileError: naming the line that cannot be used.
        BusyFileError: if ``is_alone`` and another process holds the file.
        OSError: if the file cannot be read.
    """

    def __init__(
        self, path: Path, identity: Mapping[str, Any], *, sync_every_s: float = SYNC_EVERY_S, is_alone: bool = False
    ) -> None:
        self.path, self.identity, self.sync_every_s = path, canonical_sha256(dict(identity)), sync_every_s
        self.values: dict[str, Any] = {}
        self.is_other = False
        self._file: Any = None
        self._lock: Any = path.open("ab") if is_alone else None
        self._synced = time.monotonic()
        try:
            if self._lock is not None and not alone(self._lock):
                raise BusyFileError(f"another process is at work on {path}")
            self._length = self._read() if path.exists() else 0
        except BaseException:
            self._unlock()
            raise

    def recall(self, key: str) -> Any | None:
        """The value of a key, None where it was never recorded."""
        return self.values.get(key)

    def record(self, key: str, value: Any) -> None:
        """Keep a JSON-ready value; on the disk at once for the process's end, within ``sync_every_s`` for the machine's.

        Raises:
            OSError: if the file cannot be written.
        """
        text = _text({"key": key, "value": value})
        self.values[key] = json.loads(text)["value"]
        if self._file is None:
            self._open()
        self._file.write(_line(text).encode())
        self._file.flush()
        if time.monotonic() - self._synced >= self.sync_every_s:
            self.sync()

    def sync(self) -> None:
        """Make sure that what was recorded survives a power failure."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def close(self) -> None:
        """Sync and close the file; where it was not held alone, it can be recorded to again."""
        try:
            self.sync()
        finally:
            if self._file is not None:
                self._length = self._file.tell()
                self._file.close()
                self._file = None
            self._unlock()

    def forget(self) -> None:
        """Delete the file and everything that was recorded.

        Raises:
            OSError: if the file cannot be deleted.
        """
        if self._file is not None:
            self._file.close()
            self._file = None
        self._length = 0
        self.values.clear()
        self.path.unlink(missing_ok=True)

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _open(self) -> None:
        """Open the file behind its last whole line; write the header where there is none."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        header = _line(_text({"schema_version": JOURNAL_SCHEMA, "identity": self.identity}))
        if self._length == 0 and self._lock is None:
            write_beside(self.path, header)
            self._length = self.path.stat().st_size
        self._file = self.path.open("r+b")
        self._file.truncate(self._length)
        self._file.seek(self._length)
        if self._length == 0:
            self._file.write(header.encode())

    def _read(self) -> int:
        """Fill ``found``; the bytes that are whole, 0 where the journal is of other work."""
        try:
            data = read_regular(self.path, MAX_JOURNAL_BYTES)
        except OutsideError as error:
            raise DamagedFileError(str(error)) from error
        whole = data[: data.rfind(b"\n") + 1]
        values = [_parsed(line, number) for number, line in enumerate(whole.split(b"\n")[:-1], 1)]
        if not values:
            return 0
        header = values[0]
        if header.get("schema_version") != JOURNAL_SCHEMA:
            raise DamagedFileError(f"has schema_version {header.get('schema_version')!r}; this edgenas reads {JOURNAL_SCHEMA}")
        if header.get("identity") != self.identity:
            self.is_other = True
            return 0
        for number, entry in enumerate(values[1:], 2):
            if not isinstance(entry.get("key"), str) or "value" not in entry:
                raise DamagedFileError(f"line {number} is no result")
            self.values[entry["key"]] = entry["value"]
        return len(whole)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _line(text: str) -> str:
    """One line of a journal."""
    return f"{canonical_sha256(text)[:16]} {text}\n"


def _parsed(line: bytes, number: int) -> dict[str, Any]:
    try:
        seal, _, text = line.decode("utf-8").partition(" ")
        if seal != canonical_sha256(text)[:16]:
            raise ValueError("it does not match its hash")
        value = parse_json(text)
    except ValueError as error:
        raise DamagedFileError(f"line {number} was edited or damaged: {error}") from error
    if not isinstance(value, dict):
        raise DamagedFileError(f"line {number} is no result")
    return value


def alone(file: Any) -> bool:
    """Lock a file, or what a descriptor stands for, until it is closed, by a kill too; whether nobody else had.

    True where the system has no such locks.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
