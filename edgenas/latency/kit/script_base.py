"""Files of a kit: its plan, and nets put together from graphs and shared weights; and what its scripts say."""

from __future__ import annotations

import array
import hashlib
import json
import random
import struct
import sys
import time
from pathlib import Path
from typing import Any

from edgenas.portable.outside import OutsideError, parse_json, read_regular
from edgenas.portable.sealing import DamagedFileError, canonical_sha256, unsealed

VARINT_RAW = 0x4A  # field 9 of TensorProto, raw_data
FIELD_INITIALIZER = 0x2A  # field 5 of GraphProto
FIELD_GRAPH = 0x3A  # field 7 of ModelProto
MAX_PLAN_BYTES, MAX_PART_BYTES = 64 << 20, 256 << 20


class KitError(Exception):
    """What the user can fix, in one line."""


class Weights:
    """Numbers in [0.01, 0.05) that stand for the weights of every net; made on the device, so that they need no room in the kit."""

    def __init__(self, num: int) -> None:
        draw = random.Random(0).random  # the same numbers with every version of Python
        self.singles = array.array("f", (0.01 + 0.04 * draw() for _ in range(num)))
        if sys.byteorder != "little":
            self.singles.byteswap()
        self.integers: bytes | None = None  # made when they are asked for

    def sha256(self) -> str:
        """Hex SHA-256 of the little-endian single-precision numbers."""
        return hashlib.sha256(self.singles.tobytes()).hexdigest()

    def bytes_of(self, kind: str, start: int, num: int) -> bytes:
        """Some of them: ``f4`` single, ``f2`` half precision, ``i1`` integers from 25 to 127."""
        if kind == "i1":
            if self.integers is None:
                singles = array.array("f", self.singles)
                if sys.byteorder != "little":
                    singles.byteswap()
                self.integers = bytes(int(2540 * single) for single in singles)
            return self.integers[start : start + num]
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


def read_plan(path: Path) -> dict[str, Any]:
    """What a kit's plan says, without kind and hash.

    Raises:
        KitError: if it is missing or damaged.
    """
    try:
        return unsealed(parse_json(read_regular(path, MAX_PLAN_BYTES)), "edgenas kit")
    except DamagedFileError as error:
        raise KitError(f"{path} {error}; unpack the kit again") from error
    except OutsideError as error:
        raise KitError(f"{path} {error}; unpack the kit again") from error
    except (ValueError, TypeError) as error:
        raise KitError(f"{path} cannot be used: {error}; unpack the kit again") from error


class Kit:
    """An unpacked kit: its plan, and nets put together when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        content = read_plan(folder / "plan.json")
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
        """The shape of the input of a net."""
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
        sizes = {"constant": 1, "f4": 4, "f2": 2, "i1": 1}
        return sum(sizes[kind] * num for _, kind, _, num in self._parts(net)["tensors"])

    def _parts(self, net: int) -> dict[str, Any]:
        return dict(self._graphs["nets"][self.plan["nets"][net]])

    def _read(self, name: str) -> bytes:
        try:
            return read_regular(self.folder / name, MAX_PART_BYTES)
        except OutsideError as error:
            raise KitError(f"{name} {error}; unpack the kit again") from error


class Screen:
    """Progress with the time left, on stderr; where that is no terminal, a line every some seconds."""

    def __init__(self, every_s: float = 30.0) -> None:
        self.every_s = every_s
        self.label, self.start, self.first, self.shown = "", 0.0, 0, 0.0

    def __call__(self, label: str, done: int, total: int) -> None:
        """Show a step, at most once a second and at the end of a part."""
        now = time.monotonic()
        if label != self.label:
            self.label, self.start, self.first, self.shown = label, now, done, now
        is_terminal = sys.stderr.isatty()
        if done < total and now - self.shown < (1 if is_terminal else self.every_s):
            return
        self.shown = now
        left = (now - self.start) / max(done - self.first, 1) * (total - done)
        text = f"{label}: {done}/{total}" + (f", {left / 60:.1f} min left" if done > self.first and done < total else "")
        sys.stderr.write(f"\r{text:<60}" if is_terminal else f"{text}\n")
        if is_terminal and done >= total:
            sys.stderr.write("\n")
        sys.stderr.flush()


def say(text: str) -> None:
    """A line for the user."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def now() -> str:
    """UTC, in ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
