"""Files with a hash of what they say, written beside their place and moved there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class DamagedFileError(Exception):
    """What is wrong with a file's content, in words that follow its name."""


def canonical_sha256(value: Any) -> str:
    """Hex SHA-256 of a value's JSON with sorted keys and no spaces.

    Raises:
        ValueError: for text that is no Unicode, and for numbers beyond JSON.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON-ready object with what it is as first key, ``kind``, and the hash of its content as last, ``sha256``."""
    plain = {"kind": kind, **value}
    return {**plain, "sha256": canonical_sha256(plain)}


def unsealed(value: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """What was `sealed`, without kind and hash.

    Raises:
        DamagedFileError: if it is of another kind, or not what the hash was made of.
    """
    content = dict(value)
    stored = content.pop("sha256", None)
    try:
        is_intact = stored == canonical_sha256(content)
    except ValueError:
        is_intact = False
    if not is_intact:
        raise DamagedFileError("was edited or damaged: it does not match its sha256")
    own_kind = content.pop("kind", None)
    if own_kind != kind:
        raise DamagedFileError(f"is a file of kind {own_kind!r}, not {kind!r}")
    return content


def write_beside(path: Path, text: str) -> None:
    """Write UTF-8 text beside its place, sync it and move it there.

    Raises:
        OSError: if it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.edgenas.tmp")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
