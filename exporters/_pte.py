"""What an ExecuTorch file says of itself: its parts, and the types of its tensors in the program and in what XNNPACK runs of it.

Read with ExecuTorch's own schemas. A file of unknown origin is read in a process of its own.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from edgenas.errors import ArtefactError, EdgeNASError, MissingBackendError
from edgenas.runs.outside import MAX_JSON_BYTES, parse_json, read_regular

from ._native import log_kept, quiet
from ._probe import first_line

XNNPACK = "XnnpackBackend"  # the delegate
LOGGERS = ("torch", "torchao", "executorch", "root")
_TYPES = {"FLOAT": "float32", "HALF": "float16", "BFLOAT16": "bfloat16", "DOUBLE": "float64"}
_NOT_FINITE = re.compile(rb"(?<=[\s:,\[])-?(?:inf|nan)(?=[\s,\]}])")  # bounds of clamps; flatc writes them so, JSON has none
_DATATYPES = {"xnn_datatype_fp32": "float32", "xnn_datatype_pfp32": "float32", "xnn_datatype_fp16": "float16"}
_INDICES = {"int64", "int32", "bool"}
_INT8_WEIGHTS = {"qint8", "qcint8"}
_INT8 = {*_INT8_WEIGHTS, "qdint8", "qint32", "qcint32", "int8"}  # biases are of 32 bits


@dataclass(frozen=True, slots=True)
class PteTypes:
    """Tensors by type, as ``float32``, ``int64``, ``qint8``.

    Attributes:
        program: those that ExecuTorch's own operators read and write.
        delegated: those of the subgraphs that XNNPACK runs.
        num_subgraphs: of these.
        others: names of other delegates, whose insides are not read.
    """

    program: Counter[str]
    delegated: Counter[str]
    num_subgraphs: int
    others: tuple[str, ...]

    @property
    def is_float32(self) -> bool:
        """Whether every number is float32: besides there are but indices and truth values."""
        kinds = set(self.program) | set(self.delegated)
        return "float32" in kinds and kinds <= {"float32", *_INDICES} and not self.others

    @property
    def is_float16(self) -> bool:
        """Whether XNNPACK computes in float16: images, logits and weights of convolutions are float32, all else is float16."""
        kinds = set(self.program) | set(self.delegated)
        return "float16" in self.delegated and kinds <= {"float16", "float32", *_INDICES} and not self.others

    @property
    def is_int8(self) -> bool:
        """Whether XNNPACK has weights of 8 bits, and everything else is of 8 bits too or float32."""
        kinds = set(self.program) | set(self.delegated)
        is_known = kinds <= {"float32", *_INDICES, *_INT8} and not self.others
        return is_known and bool(_INT8_WEIGHTS & set(self.delegated))

    @property
    def words(self) -> str:
        """How many tensors of each type."""
        both = self.program + self.delegated
        unread = f"; {', '.join(self.others)} cannot be read" if self.others else ""
        return ", ".join(f"{count} {name}" for name, count in sorted(both.items())) + unread


@dataclass(frozen=True, slots=True)
class Pte:
    """A program, and the graphs that XNNPACK runs of it, by ExecuTorch's schemas.

    Attributes:
        program: an ``executorch.exir.schema.Program``.
        graphs: of each plan, by the index of its delegate; JSON objects as of an ``XNNGraph``.
    """

    program: Any
    graphs: tuple[dict[int, dict[str, Any]], ...]


def types_of(data: bytes) -> PteTypes:
    """The types in an ExecuTorch file.

    Raises:
        MissingBackendError: without ExecuTorch.
        ArtefactError: if it cannot be read.
    """
    opened = read_pte(data)
    tensors: Counter[str] = Counter()
    delegated: Counter[str] = Counter()
    others = set()
    for plan, graphs in zip(opened.program.execution_plan, opened.graphs, strict=True):
        for value in plan.values:
            kind = getattr(value.val, "scalar_type", None)
            if kind is not None:
                tensors[type_name(kind.name)] += 1
        delegated.update(datatype(value) for graph in graphs.values() for value in graph["xvalues"])
        others |= {delegate.id for delegate in plan.delegates} - {XNNPACK}
    return PteTypes(tensors, delegated, sum(map(len, opened.graphs)), tuple(sorted(others)))


def read_pte(data: bytes) -> Pte:
    """The parts of an ExecuTorch file.

    Raises:
        MissingBackendError: without ExecuTorch.
        ArtefactError: if it cannot be read.
    """
    import_schemas()
    from executorch.exir._serialize._program import deserialize_pte_binary

    try:
        with log_kept():
            file = deserialize_pte_binary(data)
            program = getattr(file, "program", file)
            return Pte(program, _graphs(program))
    except EdgeNASError:
        raise
    except Exception as error:  # whatever a damaged file makes of the reader
        raise ArtefactError(f"it is no ExecuTorch file that can be read: {first_line(error)}") from error


def import_schemas() -> None:
    """Import ExecuTorch's schemas, which takes seconds.

    Raises:
        MissingBackendError: without ExecuTorch.
    """
    import torch  # noqa: F401 - sets up its loggers, which are muted next

    try:
        with quiet(*LOGGERS):
            import_module("executorch.exir._serialize._program")
            import_module("executorch.backends.xnnpack.serialization.xnnpack_graph_serialize")
    except ImportError as error:
        raise MissingBackendError("ExecuTorch is not installed", hint="pip install 'edgenas[executorch]'") from error


def type_name(name: str) -> str:
    """A type of the program, ``FLOAT`` or ``LONG``, as PyTorch calls it."""
    names = {"LONG": "int64", "INT": "int32", "SHORT": "int16", "CHAR": "int8", "BYTE": "uint8"}
    return _TYPES.get(name, names.get(name, name.lower()))


def datatype(value: Mapping[str, Any]) -> str:
    """The type of a value of XNNPACK's."""
    inner = value["xvalue_union"]
    kind = str(inner.get("tensor_value", inner)["datatype"])
    return _DATATYPES.get(kind, kind.removeprefix("xnn_datatype_"))


def _graphs(program: Any) -> tuple[dict[int, dict[str, Any]], ...]:
    """XNNPACK's graphs of each plan by delegate."""
    wanted = [
        (number, index, bytes(program.backend_delegate_data[delegate.processed.index].data))
        for number, plan in enumerate(program.execution_plan)
        for index, delegate in enumerate(plan.delegates)
        if delegate.id == XNNPACK
    ]
    found: tuple[dict[int, dict[str, Any]], ...] = tuple({} for _ in program.execution_plan)
    for (number, index, _), graph in zip(wanted, _read([blob for *_, blob in wanted]), strict=True):
        found[number][index] = graph
    return found


def _read(blobs: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    """Each blob as its schema has it, by the compiler of flatbuffers that ExecuTorch brings."""
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader, _get_schema_bytes
    from executorch.exir._serialize._flatbuffer import _run_flatc

    if not blobs:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        schema = folder / "schema.fbs"
        schema.write_bytes(_get_schema_bytes())
        paths = []
        for number, blob in enumerate(blobs):
            header = XNNHeader.from_bytes(blob[: XNNHeader.EXPECTED_LENGTH])
            if not header.is_valid():
                raise ArtefactError("a subgraph of XNNPACK in it has no header")
            paths.append(folder / f"graph-{number}.bin")
            paths[-1].write_bytes(blob[header.flatbuffer_offset : header.flatbuffer_offset + header.flatbuffer_size])
        flags = ["--json", "--strict-json", "--defaults-json", "--raw-binary", "-o", name, str(schema), "--"]
        _run_flatc([*flags, *map(str, paths)])
        for path in paths:
            text = read_regular(path.with_suffix(".json"), MAX_JSON_BYTES)
            graph: dict[str, Any] = parse_json(_NOT_FINITE.sub(b"null", text))
            yield graph
