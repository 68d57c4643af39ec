"""What an export that is not done has written, with the hashes that show whether it is still the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from edgenas.records.codec import OMITTED, JsonRecord, SealedRecord
from edgenas.records.manifest import FileKind, Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class HashedFile(JsonRecord):
    """A file by its name, with its hash."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedFile(JsonRecord):
    """A written file; see `edgenas.deploy.contracts.ExportedFile`."""

    path: str
    kind: FileKind
    runtime: str
    precision: Precision
    batch_size: int | None
    targets: tuple[str, ...]
    emulation: HashedFile | None
    notes: Mapping[str, Any]
    sha256: str
    parts: Annotated[tuple[HashedFile, ...] | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedFiles(SealedRecord):
    """What one step of an export has written."""

    kind: ClassVar[str] = "staged files"
    schema_version: ClassVar[int] = 1  # 1: first

    files: tuple[StagedFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedArray(SealedRecord):
    """The hash of a file of answers."""

    kind: ClassVar[str] = "staged answers"
    schema_version: ClassVar[int] = 1  # 1: first

    file: str
