"""The one reader of everything that comes from outside: settings, records, tables, manifests, lists and tensors.

`edgenas.portable.outside` holds what kits need as well. Whoever reads a file here says in the error of its own kind what is wrong:
the words of an `OutsideError` follow the file's name.
"""

from __future__ import annotations

import io
import tomllib
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.portable.outside import (
    MissingFileError,
    OutsideError,
    parse_json,
    read_regular,
    require_plain,
    require_regular,
    size_words,
    utf8,
)

__all__ = [
    "MAX_IMAGE_BYTES",
    "MAX_JSON_BYTES",
    "MAX_MODEL_BYTES",
    "MAX_TEXT_BYTES",
    "MAX_TOML_BYTES",
    "MAX_WEIGHTS_BYTES",
    "MissingFileError",
    "OutsideError",
    "parse_json",
    "parse_npz",
    "parse_toml",
    "read_regular",
    "require_plain",
    "require_regular",
    "size_words",
    "utf8",
]

MAX_TOML_BYTES = 256 << 10  # settings; a few kilobytes are usual
MAX_JSON_BYTES = 256 << 20  # the index of a million files, with room
MAX_TEXT_BYTES = 512 << 20  # lists and tables of images
MAX_IMAGE_BYTES = 1 << 30  # one image file
MAX_MODEL_BYTES = 2 << 30  # an ONNX file; protocol buffers end there
MAX_WEIGHTS_BYTES = 16 << 30  # a checkpoint with the state of its optimizer
MAX_KEY_PARTS = 16  # of a dotted TOML key
_INT64 = 1 << 63


def parse_toml(data: bytes | str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        ValueError: for what is no TOML, and for what cannot be kept: nan and inf, whole numbers beyond 64 bits, deep nesting.
    """
    text = utf8(data) if isinstance(data, bytes) else data
    if any(line.count(".") > MAX_KEY_PARTS and _is_dotted(line) for line in text.splitlines()):
        raise ValueError(f"a key has more than {MAX_KEY_PARTS} parts")
    try:
        tables = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    require_plain(tables)
    _require_int64(tables)
    return tables


def _is_dotted(line: str) -> bool:
    """Whether a line's key, as far as it is none in quotes, has many parts; a parser's time grows with their square."""
    return line.split("=")[0].split('"')[0].split("'")[0].count(".") > MAX_KEY_PARTS


def _require_int64(value: Any) -> None:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            _require_int64(each)
    elif isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise ValueError("a whole number has more than 64 bits")


def parse_npz(data: bytes, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
    """Arrays of float32 of an .npz file, whose names and shapes are known beforehand; nothing larger is unpacked.

    Raises:
        ValueError: naming what is different.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            if sorted(names) != sorted(f"{name}.npy" for name in shapes):
                raise ValueError(f"it holds {', '.join(names)[:80] or 'nothing'}, expected {', '.join(shapes)}")
            return {name: _member(archive, name, shape) for name, shape in shapes.items()}
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, RuntimeError, KeyError) as error:
        raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from error


def _member(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    num_bytes = 4 * int(np.prod(shape, dtype=np.int64))
    with archive.open(f"{name}.npy") as member:
        packed = io.BytesIO(member.read(num_bytes + (64 << 10)))  # a header has a few hundred bytes
    version = np.lib.format.read_magic(packed)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"{name} has an unknown version {version}")
    said, is_fortran, dtype = read(packed)
    if dtype != np.float32 or tuple(said) != shape or is_fortran:
        raise ValueError(f"{name} is {dtype} of shape {tuple(said)}, expected float32 of shape {shape}"[:200])
    rest = packed.read()
    if len(rest) != num_bytes:
        raise ValueError(f"{name} has {len(rest)} bytes, expected {num_bytes}")
    return np.frombuffer(rest, dtype="<f4").reshape(shape).astype(np.float32)
