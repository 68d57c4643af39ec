"""What a file says of itself, held against the manifest: kinds of files whose runtime can read them without running them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgenas.deploy.contracts import FileFacts, Runtime
from edgenas.deploy.metadata import contradictions, metadata
from edgenas.errors import EdgeNASError, MissingBackendError
from edgenas.records import Check, Manifest, ModelFile


def check_facts(path: Path, manifest: Manifest, file: ModelFile, runtime: Runtime) -> list[Check]:
    """Precision and metadata of a file, as its runtime reads them off it; nothing for runtimes that cannot."""
    read: Callable[[Path], FileFacts] | None = getattr(runtime, "facts", None)
    if read is None or file.kind not in ("openvino", "executorch"):
        return []
    try:
        facts = read(path)
    except MissingBackendError as error:
        return [Check(file.path, "precision", "not_run", error.message)]
    except EdgeNASError as error:
        return [Check(file.path, "precision", "failed", error.message)]
    is_right = file.precision in facts.precisions
    words = f"{facts.words}, the manifest says {file.precision}"
    checks = [Check(file.path, "precision", "passed" if is_right else "failed", words)]
    expected = metadata(manifest.classes, manifest.preprocessing, manifest.positive, manifest.threshold, manifest.refer)
    if wrong := contradictions(facts.metadata, expected):
        checks.append(Check(file.path, "metadata", "failed", f"what it says of {', '.join(wrong)} is not what the manifest says"))
    return checks
