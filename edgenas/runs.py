"""Run folders: atomic files, JSON lines, hashes, and the records that every recipe yields."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgenas.errors import EdgeNASError, RunFolderError


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of long work: ``done`` of ``total`` in the part called ``label``; ``fields`` are worth showing.

    ``unit`` is empty for things that are counted, ``s`` where seconds of an estimate pass.
    """

    label: str
    done: int
    total: int
    fields: Mapping[str, Any] = field(default_factory=dict)
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the user: a choice made for them, what is feasible; a warning or the heading of a part.

    Attributes:
        in_view: the outcome's screen says it too, so it is only listed among the warnings of ``--json``.
    """

    text: str
    is_warning: bool = False
    is_heading: bool = False
    in_view: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """Something to be drawn into files by `report`: its ``kind``, what it shows, and where it goes."""

    kind: str
    paths: tuple[Path, ...]
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command found out and wrote; the last record of every recipe.

    Attributes:
        result: JSON-ready, as the contract lays down for the command.
        outputs: name to path, inside the run folder or absolute.
        failure: set when the command did its work but the answer is no (a gate failed); the CLI exits with its code.
        view: what only the terminal needs, not part of the contract.
    """

    result: Mapping[str, Any]
    outputs: Mapping[str, Path] = field(default_factory=dict)
    failure: EdgeNASError | None = None
    view: Mapping[str, Any] = field(default_factory=dict)


Record = Progress | Note | Picture | Outcome


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of ``path``; sync it and move it there unless the block raised.

    Raises:
        RunFolderError: if the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(descriptor)
    except OSError as error:
        raise RunFolderError(f"{path} cannot be written: {error.strerror or error}") from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise RunFolderError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def jsonable(value: Any) -> Any:
    """Plain JSON values of NumPy scalars and arrays, tuples, paths and objects with ``as_json``; NaN becomes null."""
    if hasattr(value, "as_json"):
        return jsonable(value.as_json())
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def dump_json(value: Any, *, indent: int | None = 1) -> str:
    """JSON text in the given key order, without NaN."""
    return json.dumps(jsonable(value), indent=indent, ensure_ascii=False, allow_nan=False)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, with a trailing newline."""
    write_text(path, dump_json(value) + "\n")


def read_json(path: Path, *, schema_version: int | None = None) -> dict[str, Any]:
    """Read a JSON object that edgenas wrote.

    Raises:
        RunFolderError: naming the file and what is wrong: missing, not JSON, not an object, another schema.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunFolderError(f"{path} does not exist") from error
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise RunFolderError(f"{path} is not JSON: {error}", hint="delete it and run the command that makes it") from error
    if not isinstance(value, dict):
        raise RunFolderError(f"{path} holds no JSON object", hint="delete it and run the command that makes it")
    if schema_version is not None and value.get("schema_version") != schema_version:
        raise RunFolderError(
            f"{path} has schema_version {value.get('schema_version')!r}; this edgenas reads {schema_version}",
            hint="run the command that makes it again",
        )
    return value


def append_jsonl(path: Path, value: Any) -> None:
    """Append one JSON line.

    Raises:
        RunFolderError: if the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(dump_json(value, indent=None) + "\n")
    except OSError as error:
        raise RunFolderError(f"{path} cannot be written: {error.strerror or error}") from error


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of a value's canonical JSON (sorted keys, no spaces)."""
    text = json.dumps(jsonable(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


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
    def search(self) -> Path:
        """Folder of the search's candidates, result and plots."""
        return self.path / "search"

    @property
    def retrain(self) -> Path:
        """Folder of the winner's own checkpoint, log and test report."""
        return self.path / "retrain"

    @property
    def export(self) -> Path:
        """Folder of the artefact folders."""
        return self.path / "export"

    def relative(self, path: Path) -> str:
        """``path`` as the contract writes outputs: relative to the run folder where it lies in it."""
        try:
            return path.resolve().relative_to(self.path.resolve()).as_posix()
        except ValueError:
            return str(path)


@contextmanager
def locked(run: RunFolder) -> Iterator[None]:
    """Hold the run folder for this process.

    Raises:
        RunFolderError: if another live process holds it (named by its pid), or the folder cannot be written.
    """
    path = run.path / ".lock"
    try:
        run.path.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise RunFolderError(f"{run.path} cannot be written: {error.strerror or error}") from error
    with file:
        _acquire(file, run)
        try:
            yield
        finally:
            _release(file)


def _acquire(file: Any, run: RunFolder) -> None:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        raise RunFolderError(
            f"{run.path} is in use by process {holder}", hint="wait for it, or take another folder with --run"
        ) from error
    file.seek(0)
    file.truncate()
    file.write(str(os.getpid()))
    file.flush()


def _release(file: Any) -> None:
    import fcntl

    file.seek(0)
    file.truncate()
    file.flush()
    fcntl.flock(file, fcntl.LOCK_UN)
