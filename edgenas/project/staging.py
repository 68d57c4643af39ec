"""What an export has written and answered so far, kept until the artefact folder stands, so that the same command goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import ExportedFile
from edgenas.errors import EdgeNASError, RunFolderError
from edgenas.records import HashedFile, StagedArray, StagedFile, StagedFiles
from edgenas.runs import RunFolder, atomic_path, cannot_write, sha256_file, sha256_json

_LISTING = "files.json"
_DIGITS = 16  # of a hash, in a folder's name


@dataclass(frozen=True, slots=True)
class Staging:
    """A folder of finished steps of one export; a step that is not whole counts as not done.

    Attributes:
        folder: named after everything that its files depend on.
    """

    folder: Path

    @classmethod
    def open(cls, run: RunFolder, name: str, identity: Mapping[str, Any]) -> Staging:
        """The staging of an export called ``name``; what belongs to another export of that name is removed.

        Raises:
            RunFolderError: if it cannot be made.
        """
        folder = run.export / f".{name}-{sha256_json(identity)[:_DIGITS]}.parts"
        try:
            run.export.mkdir(parents=True, exist_ok=True)
            for other in run.export.glob(f".{name}-{'?' * _DIGITS}.parts"):
                if other != folder:
                    shutil.rmtree(other, ignore_errors=True)
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error
        return cls(folder)

    def files(self, step: str, write: Callable[[Path], Sequence[ExportedFile]]) -> list[ExportedFile]:
        """What ``write`` writes into the folder it is given, or wrote there in an interrupted call."""
        folder = self.folder / step
        try:
            return self._listed(folder)
        except RunFolderError:  # not finished, or changed since: it is written again
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            written = list(write(folder))
        except EdgeNASError:  # the same command would end alike: nothing of it is kept
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                self.folder.rmdir()  # if nothing else is in it
            raise
        StagedFiles(files=tuple(_staged(file) for file in written)).write(folder / _LISTING)
        return written

    def array(self, name: str, make: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """What ``make`` gives, or gave in an interrupted call."""
        path, listing = self.folder / f"{name}.npy", self.folder / f"{name}.json"
        try:
            if StagedArray.read(listing).file == sha256_file(path):
                kept: NDArray[np.float32] = np.load(path, allow_pickle=False)
                return kept
        except (RunFolderError, OSError, ValueError):  # not finished, or changed since: it is computed again
            pass
        values = make()
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, values)
        StagedArray(file=sha256_file(path)).write(listing)
        return values

    def remove(self) -> None:
        """Forget everything: the artefact stands."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _listed(self, folder: Path) -> list[ExportedFile]:
        listing = StagedFiles.read(folder / _LISTING)
        try:
            return [_exported(folder, file) for file in listing.files]
        except OSError as error:
            raise RunFolderError(f"{folder} is not whole: {error}") from error


def _staged(file: ExportedFile) -> StagedFile:
    """A written file with the hashes that show later whether it is still the same."""
    return StagedFile(
        path=file.path.name,
        kind=file.kind,
        runtime=file.runtime,
        precision=file.precision,
        batch_size=file.batch_size,
        targets=tuple(file.targets),
        emulation=None if file.emulation is None else _hashed(file.emulation),
        notes=file.notes,
        sha256=sha256_file(file.path),
        parts=tuple(map(_hashed, file.parts)) or None,
    )


def _hashed(path: Path) -> HashedFile:
    return HashedFile(path=path.name, sha256=sha256_file(path))


def _exported(folder: Path, file: StagedFile) -> ExportedFile:
    """A written file as it was, if it still is.

    Raises:
        RunFolderError: if it was changed.
    """
    path = _same(folder, HashedFile(path=file.path, sha256=file.sha256))
    emulation = None if file.emulation is None else _same(folder, file.emulation)
    parts = tuple(_same(folder, part) for part in file.parts or ())
    return ExportedFile(
        *(path, file.kind, file.runtime, file.precision, file.batch_size, file.targets, emulation, dict(file.notes), parts)
    )


def _same(folder: Path, file: HashedFile) -> Path:
    path = folder / file.path
    if sha256_file(path) != file.sha256:
        raise RunFolderError(f"{path} was changed")
    return path
