"""Whether XNNPACK multiplies integers in an ExecuTorch file, read in a moment: without ExecuTorch's compiler.

`edgenas.exporters._pte` reads more and takes seconds to import what it needs. A graph of XNNPACK begins with a header of its own
and is a flatbuffer whose fields keep their places in all versions of the schema.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edgenas.errors import ArtefactError

_HEADER = re.compile(rb"XH00")  # four bytes into it; the length of the header, then offset and size of the flatbuffer follow
_GRAPH = b"XN01"  # four bytes into the flatbuffer
_VALUES, _KIND = 8, 4  # places of `XNNGraph.xvalues` and of the kind of `XValue.xvalue_union` in their tables
_QUANTISED = 2  # of the kinds of values
_MAX_VALUES = 1 << 20


@dataclass(frozen=True, slots=True)
class XnnpackValues:
    """Values of the graphs that XNNPACK runs: how many there are, and how many are quantised."""

    num: int
    num_quantised: int


def xnnpack_values(data: bytes) -> XnnpackValues:
    """Count the values of XNNPACK's graphs in a program.

    Raises:
        ArtefactError: if a graph cannot be read.
    """
    kinds: list[int] = []
    try:
        for graph in _graphs(data):
            kinds += _kinds(graph)
    except (struct.error, IndexError, ValueError) as error:
        raise ArtefactError(f"a subgraph of XNNPACK in it cannot be read: {error}") from error
    return XnnpackValues(len(kinds), sum(kind == _QUANTISED for kind in kinds))


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


def _kinds(graph: memoryview) -> Iterator[int]:
    """Numbers of the kinds of a graph's values."""
    from flatbuffers.table import Table

    root = Table(graph, struct.unpack_from("<I", graph, 0)[0])
    place = root.Offset(_VALUES)
    if not place:
        return
    num, start = root.VectorLen(place), root.Vector(place)
    if num > _MAX_VALUES:
        raise ValueError(f"it has {num} values")
    for position in range(num):
        value = Table(graph, root.Indirect(start + 4 * position))
        kind = value.Offset(_KIND)
        yield graph[value.Pos + kind] if kind else 0
