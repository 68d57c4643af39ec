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
from importlib.metadata import PackageMetadata, PackageNotFoundError
from importlib.metadata import metadata as package_metadata
from typing import Literal

from edgenas.records import (
    Bom,
    BomAnalysis,
    BomComponent,
    BomDependency,
    BomFormat,
    BomHash,
    BomInterval,
    BomLicence,
    BomMetadata,
    BomMetric,
    BomModelCard,
    BomNamed,
    BomParameters,
    BomPedigree,
    BomPhase,
    BomProperty,
    BomReference,
    BomTool,
    BomTools,
    FileIdentity,
    Manifest,
    ModelFile,
)
from edgenas.runs import sha256_json

SBOM = "sbom.cdx.json"
SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
_NAMESPACE = uuid.UUID("6f6b6e0b-8a3e-5b0c-9c58-0d1b6d7a4f11")  # of serial numbers
_NET = "net"  # reference of the net among the components
_LEARNED = "machine-learning-model"  # type of a component
_RUNS = {  # by the start of a runtime's name, packages of which one is needed
    "onnxruntime-cuda": ("onnxruntime-gpu",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "openvino": ("openvino",),
    "executorch": ("executorch",),
    "tensorrt-rtx": ("tensorrt-rtx",),
    "tensorrt": ("tensorrt",),
}
_TOO = {"executorch": ("torch",)}  # what a package needs without asking for it
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


def sbom(manifest: Manifest, ancestors: Sequence[Ancestor] = ()) -> Bom:
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
    edgenas = BomTool(name="edgenas", version=manifest.created_by.split()[-1])
    return Bom(
        schema=SCHEMA,
        serial_number=f"urn:uuid:{serial}",
        metadata=BomMetadata(
            timestamp=None if manifest.created_on is None else f"{manifest.created_on}T00:00:00Z",
            lifecycles=(BomPhase(phase="build"),),
            tools=BomTools(components=(edgenas,)),
            component=_net(manifest, ancestors),
        ),
        components=(*files, _data(manifest), *(_ancestor(each) for each in ancestors), *libraries),
        dependencies=tuple(_dependencies(manifest, files, ancestors)),
    )


def packages_of(runtime: str) -> tuple[str, ...]:
    """Python packages that files of a runtime need; of a package's own runtime nothing is known but what reads images."""
    choices = next((packages for start, packages in _RUNS.items() if runtime.startswith(start)), ())
    there = next((name for name in choices if _installed(name) is not None), None)
    main = () if not choices else (choices[0] if there is None else there,)
    return (*main, *(name for each in main for name in _TOO.get(each, ())), *_BESIDE)


def _net(manifest: Manifest, ancestors: Sequence[Ancestor]) -> BomComponent:
    facts, weights = manifest.architecture, manifest.weights
    said = {"weights": weights.origin, "status": manifest.status, "parameters": facts.params, "macs": facts.macs}
    return BomComponent(
        type=_LEARNED,
        bom_ref=_NET,
        name=f"image classifier, {len(manifest.classes)} classes",
        version=weights.sha256[:12] if weights.sha256 else None,
        hashes=_hashes(weights.sha256),
        pedigree=BomPedigree(ancestors=tuple(BomNamed(type=_LEARNED, name=each.name) for each in ancestors)) if ancestors else None,
        model_card=_card(manifest),
        properties=_properties(said),
    )


def _card(manifest: Manifest) -> BomModelCard:
    """What the net is, and its accuracy where it was judged."""
    facts, given, answer = manifest.architecture, manifest.input, manifest.output
    described = BomParameters(
        task="image classification",
        architecture_family=facts.space,
        model_architecture=json.dumps(facts.arch, sort_keys=True),
        datasets=(BomReference(ref=_data_ref(manifest)),),
        inputs=(BomFormat(format=f"{given.dtype} {given.layout} {_shape(given.shape)}"),),
        outputs=(BomFormat(format=f"{answer.dtype} {_shape(answer.shape)}"),),
    )
    top1 = manifest.metrics.metrics.top1
    interval = BomInterval(lower_bound=f"{top1.low:.6f}", upper_bound=f"{top1.high:.6f}")
    measured = BomMetric(type="top-1", value=f"{top1.value:.6f}", slice=manifest.metrics.split, confidence_interval=interval)
    figures = BomAnalysis(performance_metrics=(measured,)) if top1.n else None
    return BomModelCard(model_parameters=described, quantitative_analysis=figures)


def _files(file: ModelFile) -> Iterator[BomComponent]:
    batch = "any" if file.batch_size is None else file.batch_size
    said = {"kind": file.kind, "runtime": file.runtime, "precision": file.precision, "batch_size": batch}
    said |= {"targets": ",".join(file.targets)} if file.targets else {}
    yield _file(file, said)
    for part in file.parts or ():
        yield _file(part, {"part_of": file.path})
    if file.emulation is not None:
        yield _file(file.emulation, {"emulates": file.path})


def _file(file: ModelFile | FileIdentity, said: Mapping[str, object]) -> BomComponent:
    properties = _properties({**said, "size_bytes": file.size_bytes})
    return BomComponent(
        type="file", bom_ref=f"file:{file.path}", name=file.path, hashes=_hashes(file.sha256), properties=properties
    )


def _data(manifest: Manifest) -> BomComponent:
    data = manifest.data
    counts = {f"images.{name}": count for name, count in data.splits.items()}
    return BomComponent(
        type="data",
        bom_ref=_data_ref(manifest),
        name=data.source,
        version=data.fingerprint[:12] if data.fingerprint else None,
        data=(BomNamed(type="dataset", name=data.source),),
        properties=_properties({"fingerprint": data.fingerprint, **counts}),
    )


def _data_ref(manifest: Manifest) -> str:
    return f"data:{manifest.data.fingerprint[:12]}"


def _ancestor(ancestor: Ancestor) -> BomComponent:
    known = {} if ancestor.licence is None else {"licence-of-published-weights": ancestor.licence}
    return BomComponent(
        type=_LEARNED,
        bom_ref=ancestor.ref,
        name=ancestor.name,
        scope="excluded",
        hashes=None if ancestor.sha256 is None else _hashes(ancestor.sha256),
        properties=_properties({"role": ancestor.role, **known}),
    )


def _library(name: str, scope: Literal["required", "excluded"], version: str | None = None) -> BomComponent:
    """A Python package, of the version that is installed where none is given."""
    there = _installed(name)
    known = version if version is not None else None if there is None else str(there["Version"])
    licence = there["License-Expression"] if there is not None and "License-Expression" in there else None
    purl = f"pkg:pypi/{name}" + ("" if known is None else f"@{known}")
    licences = None if licence is None else (BomLicence(expression=licence),)
    return BomComponent(type="library", bom_ref=purl, name=name, version=known, scope=scope, licenses=licences, purl=purl)


def _installed(name: str) -> PackageMetadata | None:
    try:
        return package_metadata(name)
    except PackageNotFoundError:
        return None


def _dependencies(manifest: Manifest, files: Sequence[BomComponent], ancestors: Sequence[Ancestor]) -> Iterator[BomDependency]:
    """What each component stands on: the net on files and data, a file on what runs it."""
    beside = (_data_ref(manifest), *(each.ref for each in ancestors))
    yield BomDependency(ref=_NET, depends_on=(*(file.bom_ref for file in files), *beside))
    for file in manifest.files:
        needed = tuple(_library(name, "required").bom_ref for name in packages_of(file.runtime))
        yield BomDependency(ref=f"file:{file.path}", depends_on=needed)


def _hashes(sha256: str) -> tuple[BomHash, ...]:
    """The hash as an SBOM lists it; nothing where it is none, as in what was made by hand."""
    is_hash = len(sha256) == 64 and set(sha256) <= set("0123456789abcdef")
    return (BomHash(content=sha256),) if is_hash else ()


def _properties(said: Mapping[str, object]) -> tuple[BomProperty, ...]:
    return tuple(BomProperty(name=f"edgenas:{name}", value=str(value)) for name, value in said.items())


def _shape(shape: Sequence[int | None]) -> str:
    return "x".join("N" if size is None else str(size) for size in shape)
