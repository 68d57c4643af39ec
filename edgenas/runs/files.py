"""Files that survive anything: written beside their place, synced and moved; sealed with a hash of what they say."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edgenas.errors import RunFolderError
from edgenas.portable.journal import alone
from edgenas.portable.sealing import DamagedFileError, canonical_sha256, sealed, unsealed
from edgenas.runs.outside import MAX_JSON_BYTES, OutsideError, parse_json, read_regular

REMAKE = "delete it and run the command that makes it"
TEMPORARY = ".edgenas.tmp"  # what every temporary name ends in, so that nobody else's file is taken for one


def cannot_write(path: Path, error: OSError) -> RunFolderError:
    """What is raised where a file or folder cannot be written, with what fixes it."""
    hint = ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "free some space; the same command goes on"
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        hint = "make it writable, or take another folder with --run"
    elif error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        hint = "something else has its name: move that away"
    return RunFolderError(f"{path} cannot be written: {error.strerror or error}", hint=hint)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power failure, where the file system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:  # some network file systems cannot
        return
    finally:
        os.close(descriptor)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of ``path``; sync it and move it there unless the block raised.

    Raises:
        RunFolderError: if the folder cannot be written, or a device or a pipe stands there, which a file would take away.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise RunFolderError(f"{path} cannot be written: it is a device or a pipe", hint="name a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_beside(path)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=TEMPORARY, dir=path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    temporary = Path(name)
    try:
        alone(descriptor)  # until it is closed, by a kill too
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


def sweep_beside(path: Path) -> None:
    """Remove what killed commands left half written beside ``path``; what a living one is writing is locked and stays."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{TEMPORARY}"):
        try:
            descriptor = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            if not alone(descriptor):
                continue
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


_PLAIN = (str, int, bool, type(None))  # as they are, which is most of what there is


def jsonable(value: Any) -> Any:
    """Plain JSON values of NumPy scalars and arrays, tuples, paths and objects with ``as_json``; NaN becomes null."""
    if type(value) in _PLAIN:
        return value
    if hasattr(value, "as_json"):
        return jsonable(value.as_json())
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist() if value.dtype.kind in "iub" else jsonable(value.tolist())
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


def read_json(path: Path, *, schema_version: int | None = None, hint: str = REMAKE) -> dict[str, Any]:
    """Read a JSON object that edgenas wrote.

    Args:
        path: of the file.
        schema_version: the only one that is read; None reads any.
        hint: what to do about a file that cannot be used.

    Raises:
        RunFolderError: naming the file and what is wrong: missing, no regular file, too large, not JSON as `parse_json`
            reads it, not an object, another schema.
    """
    try:
        value = parse_json(read_regular(path, MAX_JSON_BYTES))
    except OutsideError as error:
        raise RunFolderError(f"{path} {error}") from error
    except ValueError as error:
        raise RunFolderError(f"{path} is not JSON: {error}", hint=hint) from error
    if not isinstance(value, dict):
        raise RunFolderError(f"{path} holds no JSON object", hint=hint)
    if schema_version is not None and value.get("schema_version") != schema_version:
        there = value.get("schema_version")
        newer = isinstance(there, int) and not isinstance(there, bool) and there > schema_version
        age = " (a newer edgenas wrote it)" if newer else ""
        raise RunFolderError(f"{path} has schema_version {there!r}; this edgenas reads {schema_version}{age}", hint=hint)
    return value


def write_sealed(path: Path, kind: str, value: Mapping[str, object]) -> None:
    """Write a JSON object atomically, with what it is as first key ``kind`` and the hash of its content as last, ``sha256``."""
    write_json(path, sealed(kind, jsonable(value)))


def read_sealed(path: Path, kind: str, *, schema_version: int, hint: str = REMAKE) -> dict[str, Any]:
    """Read what `write_sealed` wrote, without kind and hash.

    Raises:
        RunFolderError: as `read_json`; or because it is of another kind, or the content is not what the hash was made of.
    """
    try:
        return unsealed(read_json(path, schema_version=schema_version, hint=hint), kind)
    except DamagedFileError as error:
        raise RunFolderError(f"{path} {error}", hint=hint) from error


def append_jsonl(path: Path, value: Any) -> None:
    """Append one JSON line.

    Raises:
        RunFolderError: if the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(dump_json(value, indent=None) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise cannot_write(path, error) from error


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of a value's canonical JSON (sorted keys, no spaces)."""
    return canonical_sha256(jsonable(value))
