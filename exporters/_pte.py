"""What an ExecuTorch file says of itself: the types of its tensors, in the program and in what XNNPACK runs of it.

Read with ExecuTorch's own schemas. A file of unknown origin is read in a process of its own.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgenas.errors import ArtefactError, EdgeNASError, MissingBackendError
from edgenas.runs.outside import MAX_JSON_BYTES, parse_json, read_regular

from ._native import log_kept, quiet
from ._probe import first_line

LOGGERS = ("torch", "torchao", "executorch", "root")
_TYPES = {"FLOAT": "float32", "HALF": "float16", "BFLOAT16": "bfloat16", "DOUBLE": "float64"}
_NOT_FINITE = re.compile(rb"(?<=[\s:,\[])-?(?:inf|nan)(?=[\s,\]}])")  # bounds of clamps; flatc writes them so, JSON has none
_DATATYPES = {"xnn_datatype_fp32": "float32", "xnn_datatype_pfp32": "float32", "xnn_datatype_fp16": "float16"}


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
        return "float32" in kinds and kinds <= {"float32", "int64", "int32", "bool"} and not self.others

    @property
    def words(self) -> str:
        """How many tensors of each type."""
        both = self.program + self.delegated
        unread = f"; {', '.join(self.others)} cannot be read" if self.others else ""
        return ", ".join(f"{count} {name}" for name, count in sorted(both.items())) + unread


def types_of(data: bytes) -> PteTypes:
    """The types in an ExecuTorch file.

    Raises:
        MissingBackendError: without ExecuTorch.
        ArtefactError: if it cannot be read.
    """
    import torch  # noqa: F401 - sets up its loggers, which are muted next

    try:
        with quiet(*LOGGERS):
            from executorch.exir._serialize._program import deserialize_pte_binary
    except ImportError as error:
        raise MissingBackendError("ExecuTorch is not installed", hint="pip install 'edgenas[executorch]'") from error
    try:
        with log_kept():
            file = deserialize_pte_binary(data)
            program = getattr(file, "program", file)
            return _types(program)
    except EdgeNASError:
        raise
    except Exception as error:  # whatever a damaged file makes of the reader
        raise ArtefactError(f"it is no ExecuTorch file that can be read: {first_line(error)}") from error


def _types(program: Any) -> PteTypes:
    tensors: Counter[str] = Counter()
    blobs, others = [], set()
    for plan in program.execution_plan:
        for value in plan.values:
            kind = getattr(value.val, "scalar_type", None)
            if kind is not None:
                tensors[_TYPES.get(kind.name, _word(kind.name))] += 1
        for delegate in plan.delegates:
            if delegate.id == "XnnpackBackend":
                blobs.append(bytes(program.backend_delegate_data[delegate.processed.index].data))
            else:
                others.add(delegate.id)
    return PteTypes(tensors, _delegated(blobs), len(blobs), tuple(sorted(others)))


def _word(name: str) -> str:
    return {"LONG": "int64", "INT": "int32", "SHORT": "int16", "CHAR": "int8", "BYTE": "uint8"}.get(name, name.lower())


def _delegated(blobs: list[bytes]) -> Counter[str]:
    """Types of the values of XNNPACK's graphs."""
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader, _get_schema_bytes
    from executorch.exir._serialize._flatbuffer import _run_flatc

    found: Counter[str] = Counter()
    if not blobs:
        return found
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
            graph = parse_json(_NOT_FINITE.sub(b"null", text))
            for value in graph["xvalues"]:
                inner = value["xvalue_union"]
                kind = str(inner.get("tensor_value", inner)["datatype"])
                found[_DATATYPES.get(kind, kind.removeprefix("xnn_datatype_"))] += 1
    return found
