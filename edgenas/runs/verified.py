"""Which artefacts `edgenas verify` has passed, so that nobody is sent to verify them again: hashes of their manifests."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from edgenas.errors import EdgeNASError
from edgenas.runs.files import read_sealed, sha256_file, write_sealed
from edgenas.runs.folder import RunFolder

_KIND, _FILE, _VERSION = "list of verified artefacts", "verified.json", 1  # 1: first
_MANIFEST = "manifest.json"
_KEPT = 100  # the latest


def keep_verified(run: RunFolder, artefact: Path) -> None:
    """Write down that an artefact has passed: in the run folder that it lies in, else in ``run``, where that is one.

    What cannot be written is left: it is a convenience.
    """
    around = RunFolder(artefact.resolve().parent.parent)
    folder = around if around.config.is_file() else run
    if not folder.config.is_file():
        return
    with suppress(EdgeNASError, OSError):
        sha256 = sha256_file(artefact / _MANIFEST)
        hashes = [each for each in _hashes(folder) if each != sha256]
        write_sealed(folder.path / _FILE, _KIND, {"schema_version": _VERSION, "manifests": [*hashes, sha256][-_KEPT:]})


def is_verified(run: RunFolder, artefact: Path) -> bool:
    """Whether this very artefact has passed, as far as the run folder knows."""
    with suppress(EdgeNASError, OSError):
        return sha256_file(artefact / _MANIFEST) in _hashes(run)
    return False


def _hashes(run: RunFolder) -> list[str]:
    """What is written down; nothing of a damaged list, which the next one replaces."""
    path = run.path / _FILE
    with suppress(EdgeNASError):
        stored = read_sealed(path, _KIND, schema_version=_VERSION).get("manifests", []) if path.is_file() else []
        return [str(each) for each in stored] if isinstance(stored, list) else []
    return []
