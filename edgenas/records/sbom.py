"""A bill of materials as CycloneDX 1.6 lays it down, as far as an artefact has one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from edgenas.records.codec import OMITTED, Called, JsonRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class BomHash(JsonRecord):
    """A hash of a component."""

    alg: Literal["SHA-256"] = "SHA-256"
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BomProperty(JsonRecord):
    """A fact that the format has no word for, by a name that begins with ``edgenas:``."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BomLicence(JsonRecord):
    """A licence as an SPDX expression."""

    expression: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BomNamed(JsonRecord):
    """A component, or a set of data, that is only named."""

    type: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BomPedigree(JsonRecord):
    """What a net comes from."""

    ancestors: tuple[BomNamed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BomReference(JsonRecord):
    """Another component, by its reference."""

    ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BomFormat(JsonRecord):
    """What a net reads or writes, in a word."""

    format: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BomParameters(JsonRecord):
    """What a net is."""

    task: str
    architecture_family: Annotated[str, Called("architectureFamily")]
    model_architecture: Annotated[str, Called("modelArchitecture")]
    datasets: tuple[BomReference, ...]
    inputs: tuple[BomFormat, ...]
    outputs: tuple[BomFormat, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BomInterval(JsonRecord):
    """The ends of an interval, as texts."""

    lower_bound: Annotated[str, Called("lowerBound")]
    upper_bound: Annotated[str, Called("upperBound")]


@dataclass(frozen=True, slots=True, kw_only=True)
class BomMetric(JsonRecord):
    """A figure of a net, as text, with the images that it is of."""

    type: str
    value: str
    slice: str
    confidence_interval: Annotated[BomInterval, Called("confidenceInterval")]


@dataclass(frozen=True, slots=True, kw_only=True)
class BomAnalysis(JsonRecord):
    """What was measured of a net."""

    performance_metrics: Annotated[tuple[BomMetric, ...], Called("performanceMetrics")]


@dataclass(frozen=True, slots=True, kw_only=True)
class BomModelCard(JsonRecord):
    """What a net is and what was measured of it; nothing where it was never judged."""

    model_parameters: Annotated[BomParameters, Called("modelParameters")]
    quantitative_analysis: Annotated[BomAnalysis | None, Called("quantitativeAnalysis"), OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BomComponent(JsonRecord):
    """A net, a file, a set of data or a library; a key that is None is not written.

    Attributes:
        scope: ``required`` to run the artefact, or ``excluded``: it had a part in making it.
        purl: address of a package.
    """

    type: str
    bom_ref: Annotated[str, Called("bom-ref")]
    name: str
    version: Annotated[str | None, OMITTED] = None
    scope: Annotated[Literal["required", "excluded"] | None, OMITTED] = None
    hashes: Annotated[tuple[BomHash, ...] | None, OMITTED] = None
    licenses: Annotated[tuple[BomLicence, ...] | None, OMITTED] = None
    purl: Annotated[str | None, OMITTED] = None
    pedigree: Annotated[BomPedigree | None, OMITTED] = None
    data: Annotated[tuple[BomNamed, ...] | None, OMITTED] = None
    model_card: Annotated[BomModelCard | None, Called("modelCard"), OMITTED] = None
    properties: Annotated[tuple[BomProperty, ...] | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BomDependency(JsonRecord):
    """What a component stands on, by references."""

    ref: str
    depends_on: Annotated[tuple[str, ...], Called("dependsOn")]


@dataclass(frozen=True, slots=True, kw_only=True)
class BomTool(JsonRecord):
    """A program that made the bill."""

    type: Literal["application"] = "application"
    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BomTools(JsonRecord):
    """The programs that made the bill."""

    components: tuple[BomTool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BomPhase(JsonRecord):
    """When in a product's life the bill was made."""

    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BomMetadata(JsonRecord):
    """What the bill is of, when and by what it was made.

    Attributes:
        timestamp: of the export's day; None where that is not known.
    """

    timestamp: Annotated[str | None, OMITTED] = None
    lifecycles: tuple[BomPhase, ...]
    tools: BomTools
    component: BomComponent


@dataclass(frozen=True, slots=True, kw_only=True)
class Bom(JsonRecord):
    """The bill of an artefact.

    Attributes:
        serial_number: made of the manifest's content, so that the same artefact has the same bill.
    """

    schema: Annotated[str, Called("$schema")]
    bom_format: Annotated[Literal["CycloneDX"], Called("bomFormat")] = "CycloneDX"
    spec_version: Annotated[Literal["1.6"], Called("specVersion")] = "1.6"
    serial_number: Annotated[str, Called("serialNumber")]
    version: int = 1
    metadata: BomMetadata
    components: tuple[BomComponent, ...]
    dependencies: tuple[BomDependency, ...]
