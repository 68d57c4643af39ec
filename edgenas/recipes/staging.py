"""What an export has written and answered so far, kept until the artefact folder stands, so that the same command goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.deploy.contracts import ExportedFile
from edgenas.errors import RunFolderError
from edgenas.runs import RunFolder, atomic_path, cannot_write, read_sealed, sha256_file, sha256_json, write_sealed

SCHEMA_VERSION = 1  # 1: first
_LISTING = "files.json"


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
        folder = run.export / f".{name}-{sha256_json(identity)[:16]}.parts"
        try:
            run.export.mkdir(parents=True, exist_ok=True)
            for other in run.export.glob(f".{name}-*.parts"):
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
        written = list(write(folder))
        write_sealed(
            folder / _LISTING, "staged files", {"schema_version": SCHEMA_VERSION, "files": [_plain(file) for file in written]}
        )
        return written

    def array(self, name: str, make: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """What ``make`` gives, or gave in an interrupted call."""
        path, listing = self.folder / f"{name}.npy", self.folder / f"{name}.json"
        try:
            if read_sealed(listing, "staged answers", schema_version=SCHEMA_VERSION)["file"] == sha256_file(path):
                kept: NDArray[np.float32] = np.load(path, allow_pickle=False)
                return kept
        except (RunFolderError, OSError, KeyError, ValueError):  # not finished, or changed since: it is computed again
            pass
        values = make()
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, values)
        write_sealed(listing, "staged answers", {"schema_version": SCHEMA_VERSION, "file": sha256_file(path)})
        return values

    def remove(self) -> None:
        """Forget everything: the artefact stands."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _listed(self, folder: Path) -> list[ExportedFile]:
        listing = read_sealed(folder / _LISTING, "staged files", schema_version=SCHEMA_VERSION)
        try:
            return [_read(folder, entry) for entry in listing["files"]]
        except (KeyError, TypeError, OSError) as error:
            raise RunFolderError(f"{folder} is not whole: {error}") from error


def _plain(file: ExportedFile) -> dict[str, Any]:
    """A written file as JSON, with the hashes that show later whether it is still the same."""
    emulation = file.emulation
    return {
        **asdict(file),
        "path": file.path.name,
        "sha256": sha256_file(file.path),
        "emulation": None if emulation is None else {"path": emulation.name, "sha256": sha256_file(emulation)},
    }


def _read(folder: Path, entry: Mapping[str, Any]) -> ExportedFile:
    path = _same(folder, entry)
    emulation = None if entry["emulation"] is None else _same(folder, entry["emulation"])
    return ExportedFile(
        path,
        entry["kind"],
        entry["runtime"],
        entry["precision"],
        entry["batch_size"],
        tuple(entry["targets"]),
        emulation,
        dict(entry["notes"]),
    )


def _same(folder: Path, entry: Mapping[str, Any]) -> Path:
    path: Path = folder / entry["path"]
    if sha256_file(path) != entry["sha256"]:
        raise RunFolderError(f"{path} was changed")
    return path
