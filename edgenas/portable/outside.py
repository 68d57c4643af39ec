"""Reading what others wrote: regular files of a limited size, and JSON that means one thing only.

Everything is refused in words that follow the file's name. What a hash of the content cannot tell apart never gets as far as the
hash: a key given twice, a number beyond what a float holds, text that is no Unicode.
"""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any

MAX_DEPTH = 64  # objects and lists within each other
MAX_DIGITS = 300  # of a whole number, so that it is a finite float, too
_CHUNK = 1 << 20


class OutsideError(Exception):
    """What is wrong with a file, in words that follow its name."""


class MissingFileError(OutsideError):
    """There is no such file."""


def read_regular(path: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file; nothing else is waited for.

    Raises:
        MissingFileError: if it is not there.
        OutsideError: if it is a folder, pipe, device or socket, larger than ``max_bytes``, or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        raise MissingFileError("does not exist") from error
    except (OSError, ValueError) as error:  # ValueError: a name with NUL in it
        if _is_special(path):  # a socket cannot even be opened
            raise OutsideError("is no regular file but a pipe, device or socket") from error
        raise OutsideError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        return _limited(descriptor, max_bytes)
    except OSError as error:
        raise OutsideError(f"cannot be read: {error.strerror or error}") from error
    finally:
        os.close(descriptor)


def _limited(descriptor: int, max_bytes: int) -> bytes:
    status = os.fstat(descriptor)
    _require_kind(status.st_mode)
    too_large = f"is larger than {size_words(max_bytes)}, which nothing of its kind is"
    if status.st_size > max_bytes:
        raise OutsideError(too_large)
    parts: list[bytes] = []
    length = 0
    while length <= max_bytes:  # files of /proc have no size and may not end
        part = os.read(descriptor, min(_CHUNK, max_bytes + 1 - length))
        if not part:
            return b"".join(parts)
        parts.append(part)
        length += len(part)
    raise OutsideError(too_large)


def _require_kind(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise OutsideError("cannot be read: Is a directory")
    if not stat.S_ISREG(mode):
        raise OutsideError("is no regular file but a pipe, device or socket")


def _is_special(path: Path) -> bool:
    """Whether something is there that is neither file nor folder."""
    try:
        mode = path.stat().st_mode
        return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
    except (OSError, ValueError):
        return False


def require_regular(path: Path, max_bytes: int) -> int:
    """Check that a file that a library opens by its name is regular and not too large; return its size in bytes.

    Raises:
        MissingFileError, OutsideError: as `read_regular`.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise MissingFileError("does not exist") from error
    except (OSError, ValueError) as error:
        raise OutsideError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    _require_kind(status.st_mode)
    if status.st_size > max_bytes:
        raise OutsideError(f"is larger than {size_words(max_bytes)}, which nothing of its kind is")
    return status.st_size


def size_words(num_bytes: int) -> str:
    """A limit for reading: ``64 MB``, below that ``64 kB``."""
    return f"{num_bytes >> 20} MB" if num_bytes >> 20 else f"{num_bytes >> 10} kB"


def utf8(data: bytes) -> str:
    """Text of bytes.

    Raises:
        ValueError: naming the first byte that is not UTF-8.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8 text (byte {error.start})") from error


def parse_json(text: str | bytes) -> Any:
    """The one value of a JSON text.

    Raises:
        ValueError: for what is no JSON, and for JSON that could mean two things or cannot be kept: a key given twice, NaN,
            Infinity, a number beyond a float, more than 300 digits, more than 64 levels, lone surrogates, bytes that are not UTF-8.
    """
    try:
        value = json.loads(
            utf8(text) if isinstance(text, bytes) else text,
            parse_constant=_refuse_constant,
            parse_int=_whole,
            object_pairs_hook=_without_doubles,
        )
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels") from error
    require_plain(value)
    return value


def require_plain(value: Any) -> None:
    """Check what a parser of JSON or TOML made.

    Raises:
        ValueError: naming what cannot be kept: too deep, no finite number, too many digits, no Unicode.
    """
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                for name in each:
                    _require_text(name)
                below.extend(each.values())
            elif isinstance(each, list):
                below.extend(each)
            elif isinstance(each, str):
                _require_text(each)
            elif isinstance(each, float) and not math.isfinite(each):
                raise ValueError(f"{each} is no number that can be kept")
            elif isinstance(each, int) and abs(each) >= 10**MAX_DIGITS:
                raise ValueError(f"a number has more than {MAX_DIGITS} digits")
        if not below:
            return
        level = below
    raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")


def _require_text(text: Any) -> None:
    if isinstance(text, str) and not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(f"the text {ascii(text)[:60]} holds half a character (a lone surrogate)") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number has more than {MAX_DIGITS} digits")
    return int(text)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen = set()
        double = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value] # add gives None
        raise ValueError(f"{ascii(double)[:60]} is given twice in one object")
    return result
