"""The bill of materials of an artefact, CycloneDX 1.6: its files, what runs them, what made them, where weights and data come from.

Written by hand: the format is a plain JSON object, and a library for it would be one more package in every bill. Its tests hold it
to the published schema. It says nothing but what is known: a package without an SPDX expression has no licence here.
The same artefact has the same bill: its serial number is made of the manifest's content, its time is the day of the export.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import metadata as package_metadata
from typing import Any

from edgenas.records import FileIdentity, Manifest, ModelFile
from edgenas.runs import sha256_json

SBOM = "sbom.cdx.json"
SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
_NAMESPACE = uuid.UUID("6f6b6e0b-8a3e-5b0c-9c58-0d1b6d7a4f11")  # of serial numbers
_NET = "net"  # reference of the net among the components
_RUNS = {  # by the start of a runtime's name, packages of which one is needed
    "onnxruntime-cuda": ("onnxruntime-gpu",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "openvino": ("openvino",),
    "executorch": ("executorch",),
    "tensorrt-rtx": ("tensorrt-rtx",),
    "tensorrt": ("tensorrt",),
}
_BESIDE = ("numpy", "pillow")  # what `example.py` needs to read images


@dataclass(frozen=True, slots=True)
class Ancestor:
    """Something that the weights come from.

    Attributes:
        role: e.g. ``teacher``.
        name: as it was chosen.
        licence: that its publisher names for published weights of that name; None where that is unknown.
        sha256: of its weights; None where that is unknown.
    """

    role: str
    name: str
    licence: str | None = None
    sha256: str | None = None

    @property
    def ref(self) -> str:
        """What it is called in a bill: nets of one name are told apart by their weights."""
        return f"{self.role}:{self.name}" + ("" if self.sha256 is None else f"@{self.sha256[:12]}")


def sbom(manifest: Manifest, ancestors: Sequence[Ancestor] = ()) -> dict[str, Any]:
    """The bill of an artefact.

    Args:
        manifest: of the artefact, support files apart.
        ancestors: of its weights.
    """
    needed = {name: None for file in manifest.files for name in packages_of(file.runtime)}
    libraries = [_library(name, "required") for name in needed]
    made = [name for name in manifest.versions if name not in ("python", "edgenas", *needed)]
    libraries += [_library(name, "excluded", manifest.versions[name]) for name in made]
    files = [part for file in manifest.files for part in _files(file)]
    serial = uuid.uuid5(_NAMESPACE, sha256_json(manifest.as_json()))
    return {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            **({} if manifest.created_on is None else {"timestamp": f"{manifest.created_on}T00:00:00Z"}),
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{"type": "application", "name": "edgenas", "version": manifest.created_by.split()[-1]}]},
            "component": _net(manifest, ancestors),
        },
        "components": [*files, _data(manifest), *(_ancestor(each) for each in ancestors), *libraries],
        "dependencies": list(_dependencies(manifest, files, ancestors)),
    }


def packages_of(runtime: str) -> tuple[str, ...]:
    """Python packages that files of a runtime need; of a package's own runtime nothing is known but what reads images."""
    choices = next((packages for start, packages in _RUNS.items() if runtime.startswith(start)), ())
    there = next((name for name in choices if _installed(name) is not None), None)
    return (*([there or choices[0]] if choices else []), *_BESIDE)


def _net(manifest: Manifest, ancestors: Sequence[Ancestor]) -> dict[str, Any]:
    facts, top1 = manifest.architecture, manifest.metrics.metrics.top1
    described = {
        "task": "image classification",
        "architectureFamily": facts.space,
        "modelArchitecture": json.dumps(facts.arch, sort_keys=True),
        "datasets": [{"ref": _data_ref(manifest)}],
        "inputs": [{"format": f"{manifest.input.dtype} {manifest.input.layout} {_shape(manifest.input.shape)}"}],
        "outputs": [{"format": f"{manifest.output.dtype} {_shape(manifest.output.shape)}"}],
    }
    measured: dict[str, Any] = {"type": "top-1", "value": f"{top1.value:.6f}", "slice": manifest.metrics.split}
    measured |= {"confidenceInterval": {"lowerBound": f"{top1.low:.6f}", "upperBound": f"{top1.high:.6f}"}}
    figures = {"quantitativeAnalysis": {"performanceMetrics": [measured]}} if top1.n else {}
    said = {"weights": manifest.weights.origin, "status": manifest.status, "parameters": facts.params, "macs": facts.macs}
    return {
        "type": "machine-learning-model",
        "bom-ref": _NET,
        "name": f"image classifier, {len(manifest.classes)} classes",
        **({"version": manifest.weights.sha256[:12]} if manifest.weights.sha256 else {}),
        "hashes": _hashes(manifest.weights.sha256),
        **({"pedigree": {"ancestors": [_as_ancestor(each) for each in ancestors]}} if ancestors else {}),
        "modelCard": {"modelParameters": described, **figures},
        "properties": _properties(said),
    }


def _files(file: ModelFile) -> Iterator[dict[str, Any]]:
    batch = "any" if file.batch_size is None else file.batch_size
    said = {"kind": file.kind, "runtime": file.runtime, "precision": file.precision, "batch_size": batch}
    said |= {"targets": ",".join(file.targets)} if file.targets else {}
    yield _file(file, said)
    for part in file.parts or ():
        yield _file(part, {"part_of": file.path})
    if file.emulation is not None:
        yield _file(file.emulation, {"emulates": file.path})


def _file(file: ModelFile | FileIdentity, said: Mapping[str, Any]) -> dict[str, Any]:
    size = {"size_bytes": file.size_bytes}
    hashes, properties = _hashes(file.sha256), _properties({**said, **size})
    return {"type": "file", "bom-ref": f"file:{file.path}", "name": file.path, "hashes": hashes, "properties": properties}


def _data(manifest: Manifest) -> dict[str, Any]:
    counts = {f"images.{name}": count for name, count in manifest.data.splits.items()}
    return {
        "type": "data",
        "bom-ref": _data_ref(manifest),
        "name": manifest.data.source,
        **({"version": manifest.data.fingerprint[:12]} if manifest.data.fingerprint else {}),
        "data": [{"type": "dataset", "name": manifest.data.source}],
        "properties": _properties({"fingerprint": manifest.data.fingerprint, **counts}),
    }


def _data_ref(manifest: Manifest) -> str:
    return f"data:{manifest.data.fingerprint[:12]}"


def _as_ancestor(ancestor: Ancestor) -> dict[str, Any]:
    return {"type": "machine-learning-model", "name": ancestor.name}


def _ancestor(ancestor: Ancestor) -> dict[str, Any]:
    known = {} if ancestor.licence is None else {"licence-of-published-weights": ancestor.licence}
    return {
        "type": "machine-learning-model",
        "bom-ref": ancestor.ref,
        "name": ancestor.name,
        "scope": "excluded",
        **({} if ancestor.sha256 is None else {"hashes": _hashes(ancestor.sha256)}),
        "properties": _properties({"role": ancestor.role, **known}),
    }


def _library(name: str, scope: str, version: str | None = None) -> dict[str, Any]:
    """A Python package; ``required`` to run the artefact, or ``excluded``: it had a part in making it."""
    found = _installed(name)
    known = version if version is not None else None if found is None else found["Version"]
    licence = None if found is None else found.get("License-Expression")
    purl = f"pkg:pypi/{name}" + ("" if known is None else f"@{known}")
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        **({} if known is None else {"version": known}),
        "scope": scope,
        **({} if licence is None else {"licenses": [{"expression": licence}]}),
        "purl": purl,
    }


def _installed(name: str) -> Any | None:
    try:
        return package_metadata(name)
    except PackageNotFoundError:
        return None


def _dependencies(
    manifest: Manifest, files: Sequence[Mapping[str, Any]], ancestors: Sequence[Ancestor]
) -> Iterator[dict[str, Any]]:
    """What each component stands on: the net on files and data, a file on what runs it."""
    beside = [_data_ref(manifest), *(each.ref for each in ancestors)]
    yield {"ref": _NET, "dependsOn": [*(file["bom-ref"] for file in files), *beside]}
    for file in manifest.files:
        needed = [_library(name, "required")["bom-ref"] for name in packages_of(file.runtime)]
        yield {"ref": f"file:{file.path}", "dependsOn": needed}


def _hashes(sha256: str) -> list[dict[str, str]]:
    """The hash as an SBOM lists it; nothing where it is none, as in what was made by hand."""
    is_hash = len(sha256) == 64 and set(sha256) <= set("0123456789abcdef")
    return [{"alg": "SHA-256", "content": sha256}] if is_hash else []


def _properties(said: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"name": f"edgenas:{name}", "value": str(value)} for name, value in said.items()]


def _shape(shape: Sequence[int | None]) -> str:
    return "x".join("N" if size is None else str(size) for size in shape)
