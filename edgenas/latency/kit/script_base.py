"""Files of a kit: sealed JSON, a journal that survives a kill, nets put together from graphs and shared weights."""

from __future__ import annotations

import array
import hashlib
import json
import os
import random
import struct
import sys
from pathlib import Path
from typing import Any

VARINT_RAW = 0x4A  # field 9 of TensorProto, raw_data
FIELD_INITIALIZER = 0x2A  # field 5 of GraphProto
FIELD_GRAPH = 0x3A  # field 7 of ModelProto


class KitError(Exception):
    """What the user can mend, in one line."""


def canonical_sha256(value: Any) -> str:
    """Hex SHA-256 of a value's JSON with sorted keys and no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_sealed(path: Path, kind: str, value: dict[str, Any]) -> None:
    """Write JSON beside its place, synced and moved, with its kind first and the hash of its content last."""
    plain: dict[str, Any] = {"kind": kind, **value}
    plain["sha256"] = canonical_sha256(plain)
    beside = Path(f"{path}.{os.getpid()}.tmp")
    with beside.open("w", encoding="utf-8") as file:
        file.write(json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def read_sealed(path: Path, kind: str) -> dict[str, Any]:
    """Read what `write_sealed` wrote.

    Raises:
        KitError: if it is missing, damaged or of another kind.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        stored = value.pop("sha256")
        if value["kind"] != kind or stored != canonical_sha256(value):
            raise ValueError("it does not match its hash")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise KitError(f"{path} cannot be used: {error}; unpack the kit again") from error
    return dict(value)


class Journal:
    """One JSON line a measurement, each with a hash; a last line that a kill left unfinished is cut off."""

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path = path
        self.found: dict[str, Any] = {}
        header = f"{self._sealed({'identity': identity})}\n".encode()
        self.file = path.open("ab")
        try:
            if not alone(self.file):
                raise KitError(f"another measure.py is at work on {path}")
            lines = path.read_bytes().split(b"\n")[:-1]
            if lines and lines[0] + b"\n" != header:
                raise KitError(f"{path} was made with another kit, device or runtime: delete it to start again")
            for number, line in enumerate(lines[1:], 2):
                key, value = self._parsed(line, number)
                self.found[key] = value
        except BaseException:
            self.file.close()
            raise
        self.file.truncate(sum(len(line) + 1 for line in lines))
        if not lines:
            self.file.write(header)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def recall(self, key: str) -> Any:
        """What was recorded under a key, None for nothing."""
        return self.found.get(key)

    def record(self, key: str, value: Any) -> None:
        """Keep a value; on the disk before this returns."""
        self.found[key] = value
        self.file.write(f"{self._sealed({'key': key, 'value': value})}\n".encode())
        self.file.flush()
        os.fsync(self.file.fileno())

    @staticmethod
    def _sealed(value: Any) -> str:
        return f"{canonical_sha256(value)[:16]} {json.dumps(value, ensure_ascii=False, allow_nan=False)}"

    def _parsed(self, line: bytes, number: int) -> tuple[str, Any]:
        try:
            text = line.decode()
            value = json.loads(text[17:])
            if canonical_sha256(value)[:16] != text[:16]:
                raise ValueError("it does not match its hash")
            return value["key"], value["value"]
        except (ValueError, KeyError, TypeError) as error:
            raise KitError(f"{self.path} line {number} is damaged ({error}): delete the file to start again") from error


def alone(file: Any) -> bool:
    """Lock a file until it is closed, by a kill too; whether nobody else had."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class Weights:
    """Numbers in [0.01, 0.05) that stand for the weights of every net; made on the device, so that they need no room in the kit."""

    def __init__(self, num: int) -> None:
        draw = random.Random(0).random  # the same numbers with every version of Python
        self.singles = array.array("f", (0.01 + 0.04 * draw() for _ in range(num)))
        if sys.byteorder != "little":
            self.singles.byteswap()

    def sha256(self) -> str:
        """Of the little-endian single-precision numbers."""
        return hashlib.sha256(self.singles.tobytes()).hexdigest()

    def bytes_of(self, kind: str, start: int, num: int) -> bytes:
        """Some of them: ``f4`` single, ``f2`` half precision."""
        part = self.singles[start : start + num]
        if kind == "f4":
            return part.tobytes()
        if sys.byteorder != "little":
            part.byteswap()
        return struct.pack(f"<{num}e", *part)


def varint(value: int) -> bytes:
    """A number as protocol buffers write it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(tag: int, data: bytes) -> bytes:
    """A length-delimited field."""
    return bytes([tag]) + varint(len(data)) + data


def unpacked(data: bytes) -> bytes:
    """What was compressed with xz.

    Raises:
        KitError: where this Python cannot.
    """
    try:
        import lzma
    except ImportError as error:
        raise KitError("this Python was built without lzma; on Debian take the system's python3") from error
    return lzma.decompress(data)


class Kit:
    """An unpacked kit: its plan, and nets put together when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        content = read_sealed(folder / "plan.json", "edgenas kit")
        self.plan: dict[str, Any] = content["plan"]
        self.sha256 = canonical_sha256(self.plan)
        self._content = content
        self._weights: Weights | None = None
        self._constants = self._pieces = b""
        self._graphs: dict[str, Any] = {}

    def prepare(self) -> None:
        """Check every file and make the weights.

        Raises:
            KitError: naming the first file that is missing or damaged.
        """
        for name, sha256 in self._content["files"].items():
            if hashlib.sha256(self._read(name)).hexdigest() != sha256:
                raise KitError(f"{name} is damaged; unpack the kit again")
        self._constants = self._read("constants.bin")
        head, _, self._pieces = unpacked(self._read("graphs.xz")).partition(b"\n")
        self._graphs = json.loads(head.decode())
        self._weights = Weights(self._content["weights"]["num"])
        if self._weights.sha256() != self._content["weights"]["sha256"]:
            raise KitError("this Python makes other random numbers than the kit was made with; please report it")

    def shape_of(self, net: int) -> list[int]:
        """Of the input of a net."""
        return list(self._parts(net)["input"])

    def model(self, net: int) -> bytes:
        """The ONNX file of a net: pieces of its graph, then its weights, as messages that protocol buffers merge."""
        assert self._weights is not None
        parts = self._parts(net)
        places = [self._graphs["pieces"][name] for name in parts["pieces"]]
        out = [self._pieces[start : start + num] for start, num in places]
        for head, kind, start, num in parts["tensors"]:
            data = self._constants[start : start + num] if kind == "constant" else self._weights.bytes_of(kind, start, num)
            tensor = bytes.fromhex(head) + field(VARINT_RAW, data)
            out.append(field(FIELD_GRAPH, field(FIELD_INITIALIZER, tensor)))
        return b"".join(out)

    def num_bytes(self, net: int) -> int:
        """About the size of the ONNX file of a net."""
        sizes = {"constant": 1, "f4": 4, "f2": 2}
        return sum(sizes[kind] * num for _, kind, _, num in self._parts(net)["tensors"])

    def _parts(self, net: int) -> dict[str, Any]:
        return dict(self._graphs["nets"][self.plan["nets"][net]])

    def _read(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise KitError(f"{name} cannot be read: {error.strerror}; unpack the kit again") from error
