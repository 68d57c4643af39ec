"""In which precision XNNPACK computes an ExecuTorch file, read in a moment: without ExecuTorch's compiler.

`edgenas.exporters._pte` reads more and takes seconds to import what it needs. A graph of XNNPACK begins with a header of its own
and is a flatbuffer whose fields keep their places in all versions of the schema.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edgenas.errors import ArtefactError
from edgenas.records import Precision

_HEADER = re.compile(rb"XH00")  # four bytes into it; the length of the header, then offset and size of the flatbuffer follow
_GRAPH = b"XN01"  # four bytes into the flatbuffer
_VALUES, _KIND, _VALUE = 8, 4, 6  # places in their tables of `XNNGraph.xvalues`, of a value's kind and of the value itself
_FIRST = 4  # place of the data type of a value, and of the plain value in a quantised one
_QUANTISED, _HALF = 2, 2  # among the kinds of values; among their data types
_MAX_VALUES = 1 << 20


@dataclass(frozen=True, slots=True)
class XnnpackValues:
    """Values of the graphs that XNNPACK runs.

    Attributes:
        num: how many there are.
        num_quantised: that are integers which stand for floats.
        num_half: that are float16.
    """

    num: int
    num_quantised: int
    num_half: int

    @property
    def precision(self) -> Precision:
        """The lowest that is computed in."""
        return "int8" if self.num_quantised else "fp16" if self.num_half else "fp32"


def xnnpack_values(data: bytes) -> XnnpackValues:
    """Count the values of XNNPACK's graphs in a program.

    Raises:
        ArtefactError: if a graph cannot be read.
    """
    kinds: list[tuple[int, int]] = []
    try:
        for graph in _graphs(data):
            kinds += _kinds(graph)
    except (struct.error, IndexError, ValueError) as error:
        raise ArtefactError(f"a subgraph of XNNPACK in it cannot be read: {error}") from error
    quantised = sum(kind == _QUANTISED for kind, _ in kinds)
    return XnnpackValues(len(kinds), quantised, sum(kind != _QUANTISED and number == _HALF for kind, number in kinds))


def _graphs(data: bytes) -> Iterator[memoryview]:
    """Flatbuffers of XNNPACK in a program; constants of a net may hold the header's letters by chance."""
    for found in _HEADER.finditer(data):
        start = found.start() - 4
        if start < 0 or len(data) < start + 18:
            continue
        offset, size = struct.unpack_from("<II", data, start + 10)
        graph = memoryview(data)[start + offset : start + offset + size]
        if bytes(graph[4:8]) == _GRAPH:
            yield graph


def _kinds(graph: memoryview) -> Iterator[tuple[int, int]]:
    """Numbers of the kind and of the data type of a graph's values; the second only of those that are not quantised."""
    from flatbuffers.table import Table

    root = Table(graph, struct.unpack_from("<I", graph, 0)[0])
    place = root.Offset(_VALUES)
    if not place:
        return
    num, start = root.VectorLen(place), root.Vector(place)
    if num > _MAX_VALUES:
        raise ValueError(f"it has {num} values")
    for position in range(num):
        union = Table(graph, root.Indirect(start + 4 * position))
        kind, value = union.Offset(_KIND), union.Offset(_VALUE)
        if not kind or not value:
            raise ValueError("a value is missing")
        tensor = Table(graph, union.Indirect(union.Pos + value))
        number = tensor.Offset(_FIRST)
        yield graph[union.Pos + kind], struct.unpack_from("<h", graph, tensor.Pos + number)[0] if number else 0
