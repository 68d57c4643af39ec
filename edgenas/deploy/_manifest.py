"""`manifest.json` of an artefact folder: its schema and how it is read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, get_args

from edgenas.deploy._plausible import implausible
from edgenas.errors import ArtefactError, RunFolderError
from edgenas.records import MANIFEST_SCHEMA, FileKind, Manifest, Precision
from edgenas.runs import read_json, sha256_json

MANIFEST = "manifest.json"
MAX_SIDE, MAX_SAMPLES, MAX_BATCH, MAX_LISTED, MAX_NAME = 8192, 1024, 4096, 64, 255
MAX_GOLDEN_BYTES, MAX_BATCH_BYTES = 64 << 20, 256 << 20
MAX_ERROR = 0.1  # of the largest golden logit; what an export writes is no more
MAX_INT8_ERROR = 0.5  # of noise, which int8 was not calibrated on

_OBJECT, _LIST, _TEXT, _NUMBER = (dict,), (list,), (str,), (int, float)
_NULL = (type(None),)
_REQUIRED: dict[str, tuple[type, ...]] = {
    "status": _TEXT,
    "verdict": _TEXT,
    "input": _OBJECT,
    "output": _OBJECT,
    "preprocessing": _OBJECT,
    "classes": _LIST,
    "positive": (*_TEXT, *_NULL),
    "threshold": (*_NUMBER, *_NULL),
    "architecture": _OBJECT,
    "weights": _OBJECT,
    "data": _OBJECT,
    "metrics": _OBJECT,
    "latency": (*_OBJECT, *_NULL),
    "versions": _OBJECT,
    "golden": _OBJECT,
    "files": _LIST,
    "support_files": _LIST,
}
_SUPPORT: dict[str, tuple[type, ...]] = {"path": _TEXT, "size_bytes": (int,), "sha256": _TEXT}
_FILE: dict[str, tuple[type, ...]] = _SUPPORT | {
    "kind": _TEXT,
    "runtime": _TEXT,
    "precision": _TEXT,
    "batch_size": (int, *_NULL),
    "targets": _LIST,
    "emulation": (*_OBJECT, *_NULL),
    "notes": _OBJECT,
}
_GOLDEN: dict[str, tuple[type, ...]] = {"path": _TEXT, "seed": (int,), "num_samples": (int,), "max_error": _OBJECT}
_CHOICES = {"kind": get_args(FileKind), "precision": get_args(Precision)}


def load_manifest(folder: Path) -> Manifest:
    """Read and check the manifest of an artefact folder; the files it lists are not opened.

    Raises:
        ArtefactError: naming all problems: not an artefact, another schema, missing keys, wrong types, paths that leave it.
    """
    path = folder / MANIFEST
    if not folder.is_dir() or not (path.exists() or path.is_symlink()):
        raise ArtefactError(f"{folder} is no artefact folder: it has no {MANIFEST}", hint="edgenas export makes one")
    try:
        manifest = read_json(path, schema_version=MANIFEST_SCHEMA)
    except RunFolderError as error:
        raise ArtefactError(error.message, hint="edgenas export makes it again") from error
    stored = manifest.pop("sha256", None)
    problems = _wrong(manifest, _REQUIRED, "")
    if manifest.get("files") == []:
        problems.append("files is empty")
    for group, schema in (("files", _FILE), ("support_files", _SUPPORT)):
        entries = manifest.get(group)
        for position, entry in enumerate(entries if isinstance(entries, list) else []):
            problems += _wrong_file(entry, schema, f"{group}[{position}]", folder)
    golden = manifest.get("golden")
    if isinstance(golden, dict):
        problems += _wrong(golden, _GOLDEN, "golden.") or _outside(golden["path"], "golden", folder)
    problems += _wrong_classes(manifest.get("classes"), manifest.get("positive"))
    if problems:
        raise ArtefactError(f"{path} is not valid", problems=problems)
    if stored != sha256_json(manifest):
        raise ArtefactError(f"{path} was edited or damaged: it does not match its sha256", hint="edgenas export makes it again")
    try:
        read = Manifest.from_json(manifest)
    except RunFolderError as error:
        raise ArtefactError(f"{path} is not valid", problems=error.problems) from error
    if absurd := [*_absurd(read), *implausible(read)]:
        raise ArtefactError(f"{path} is not valid", problems=absurd)
    return read


def _absurd(manifest: Manifest) -> Iterator[str]:
    """What no export says, though its type is right: numbers that would pass any model, or fill any memory."""
    if manifest.status not in ("accepted", "rejected", "unproven"):
        yield f"status is {manifest.status!r:.40}"
    if manifest.threshold is not None and not 0 <= manifest.threshold <= 1:
        yield f"threshold is {manifest.threshold!r:.40}, expected a share in [0, 1]"
    if manifest.refer is not None and not 0 <= manifest.refer[0] <= manifest.refer[1] <= 1:
        yield f"decision.refer is {list(manifest.refer)!r:.60}, expected two shares, the lower one first"
    shape = manifest.input.shape[1:]
    if len(shape) != 3 or not all(size is not None and 1 <= size <= MAX_SIDE for size in shape):
        yield f"input.shape is {list(manifest.input.shape)!r:.60}, expected [null, channels, height, width] up to {MAX_SIDE}"
        return
    golden, image_bytes = manifest.golden, 4 * math.prod(size or 1 for size in shape)
    if not 1 <= golden.num_samples <= MAX_SAMPLES or golden.num_samples * image_bytes > MAX_GOLDEN_BYTES:
        yield f"golden.num_samples is {golden.num_samples!r:.40}, expected 1 to {MAX_SAMPLES} images of {MAX_GOLDEN_BYTES >> 20} MB"
    if golden.path not in {file.path for file in manifest.support_files}:
        yield f"golden.path {golden.path!r} is not among support_files"
    for name, limit in golden.max_error.items():
        most = MAX_INT8_ERROR if name == "int8" else MAX_ERROR
        if not 0 <= limit <= most:
            yield f"golden.max_error.{name:.20} is {limit!r:.40}, expected at most {most:g}"
    plan = manifest.acceptance
    if plan is not None and plan.path not in {file.path for file in manifest.support_files}:
        yield f"acceptance.path {plan.path!r} is not among support_files"
    num_parts = sum(len(file.parts or ()) for file in manifest.files)
    if len(manifest.files) + num_parts + len(manifest.support_files) > MAX_LISTED:
        yield f"more than {MAX_LISTED} files are listed"
    for file in manifest.files:
        size = file.batch_size
        if size is not None and (not 1 <= size <= MAX_BATCH or size * image_bytes > MAX_BATCH_BYTES):
            yield f"{file.path}: batch_size is {size!r:.40}, expected 1 to {MAX_BATCH} and {MAX_BATCH_BYTES >> 20} MB"
        if file.precision not in golden.max_error:
            yield f"golden.max_error has no {file.precision}"


def _wrong(value: Any, schema: dict[str, tuple[type, ...]], where: str) -> list[str]:
    problems = []
    for key, kinds in schema.items():
        if key not in value:
            problems.append(f"{where}{key} is missing")
        elif not isinstance(value[key], kinds) or (isinstance(value[key], bool) and bool not in kinds):
            names = " or ".join(kind.__name__ for kind in kinds)
            problems.append(f"{where}{key} is {type(value[key]).__name__}, expected {names}")
    return problems


def _wrong_file(entry: Any, schema: dict[str, tuple[type, ...]], where: str, folder: Path) -> list[str]:
    if not isinstance(entry, dict):
        return [f"{where} is no object"]
    problems = _wrong(entry, schema, f"{where}.")
    if problems:
        return problems
    for key, allowed in _CHOICES.items():
        if key in schema and entry[key] not in allowed:
            problems.append(f"{where}.{key} is {entry[key]!r}, expected {' or '.join(allowed)}")
    problems += _outside(entry["path"], where, folder)
    if entry.get("emulation") is not None:
        problems += _wrong_file(entry["emulation"], _SUPPORT, f"{where}.emulation", folder)
    parts = entry.get("parts")
    if parts is not None and not isinstance(parts, list):
        return [*problems, f"{where}.parts is {type(parts).__name__}, expected list"]
    for position, part in enumerate(parts or []):
        problems += _wrong_file(part, _SUPPORT, f"{where}.parts[{position}]", folder)
    return problems


def _outside(name: str, where: str, folder: Path) -> list[str]:
    """A path must be relative, without "..", and lead nowhere else through links."""
    path = PurePosixPath(name)
    inside = bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\\" not in name
    inside = inside and name.isprintable() and len(name) <= MAX_NAME
    with suppress(OSError, RuntimeError, ValueError):  # RuntimeError: links in a circle
        if inside and (folder / path).resolve().is_relative_to(folder.resolve()):
            return []
    return [f"{where}.path {name!r} leaves the folder"]


def _wrong_classes(classes: object, positive: object) -> list[str]:
    """Classes must be two or more names, each once, and the positive one among them."""
    if not isinstance(classes, list):
        return []
    if len(classes) < 2 or not all(isinstance(name, str) for name in classes) or len(set(classes)) != len(classes):
        return [f"classes {classes!r} are not two or more different names"]
    if positive not in (None, *classes):
        return [f"positive {positive!r} is not among the classes"]
    return []
