"""What an OpenVINO model's description (``.xml``) says of itself, read without OpenVINO and without trust.

The file may be a stranger's: it is read as a stream, declarations (which could define entities) are refused, and depth and
number of elements are bounded.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from edgenas.errors import ArtefactError

METADATA = "edgenas"  # the section of rt_info that holds `ExportSpec.metadata`
AROUND = "int8_around"  # in that section of an int8 file: in which of `FLOATS_AROUND` everything else was judged
FLOATS_AROUND = ("f32", "bf16")
MAX_DEPTH, MAX_ELEMENTS = 64, 10_000_000
MAX_TYPES, MAX_NUMBERS = 32, 1 << 48  # of elements, OpenVINO has 25; in one constant
_SIZE = re.compile("[0-9]{1,15}")
_FLOATS = ("f64", "f32", "f16", "bf16")
_QUANTIZED = ("i8", "u8", "i4", "u4")


@dataclass(slots=True)
class IrFacts:
    """Constants by type, layers that quantise, and the texts that edgenas put in.

    Attributes:
        numbers: how many numbers the constants of each element type hold.
        num_quantizers: layers that round to a few levels.
        metadata: texts by name.
    """

    numbers: Counter[str] = field(default_factory=Counter)
    num_quantizers: int = 0
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def around(self) -> str:
        """What an int8 file computes in beside integers: float32, unless it says otherwise."""
        said = self.metadata.get(AROUND, "f32")
        return said if said in FLOATS_AROUND else "f32"

    @property
    def is_quantized(self) -> bool:
        """Whether it computes in whole numbers somewhere."""
        return self.num_quantizers > 0 or any(self.numbers[name] for name in _QUANTIZED)

    @property
    def is_float32(self) -> bool:
        """Whether every number that is no index is float32."""
        stored = {name for name in _FLOATS if self.numbers[name]}
        return stored == {"f32"} and not self.is_quantized

    @property
    def words(self) -> str:
        """How many numbers of each type there are."""
        stored = ", ".join(f"{count:,} {name}" for name, count in sorted(self.numbers.items())) or "nothing"
        return f"it stores {stored}" + (f" and has {self.num_quantizers} quantising layers" if self.num_quantizers else "")


def read_ir(data: bytes) -> IrFacts:
    """The facts of a model's description.

    Raises:
        ArtefactError: if it is no such file, or holds what none has.
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.EntityDeclHandler = reader.refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError) as error:
        raise ArtefactError(f"it is no description of an OpenVINO model: {error}") from error
    if reader.root != "net":
        raise ArtefactError("it is no description of an OpenVINO model: it has no net")
    return reader.facts


class _Reader:
    def __init__(self) -> None:
        self.facts = IrFacts()
        self.root = ""
        self._path: list[str] = []
        self._layer = ""
        self._num = 0

    def refuse(self, *_: object) -> None:
        raise ValueError("it holds a declaration, which none does")

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._num += 1
        if self._num > MAX_ELEMENTS or len(self._path) >= MAX_DEPTH:
            raise ValueError(f"it has more than {MAX_ELEMENTS} elements or {MAX_DEPTH} levels")
        self.root = self.root or name
        if self._path[1:] == ["rt_info", METADATA]:
            self.facts.metadata[name] = attributes.get("value", "")
        self._path.append(name)
        if name == "layer":
            self._layer = attributes.get("type", "")
            self.facts.num_quantizers += self._layer in ("FakeQuantize", "FakeConvert")
        elif name == "data" and self._layer == "Const" and self._path[-2:-1] == ["layer"]:
            self._count(attributes.get("element_type", "no type")[:20], attributes.get("shape", ""))

    def _count(self, kind: str, shape: str) -> None:
        """Add a constant's numbers; a size below zero would take away those of another."""
        sizes = [size for size in shape.replace(" ", "").split(",") if size]
        if len(sizes) > 16 or not all(map(_SIZE.fullmatch, sizes)) or math.prod(map(int, sizes)) > MAX_NUMBERS:
            raise ValueError("a constant's shape cannot be")
        self.facts.numbers[kind] += math.prod(map(int, sizes))
        if len(self.facts.numbers) > MAX_TYPES:
            raise ValueError(f"its constants have more than {MAX_TYPES} types")

    def end(self, name: str) -> None:
        self._path.pop()
        if name == "layer":
            self._layer = ""
