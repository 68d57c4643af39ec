"""What commands answer that is read by no other: init, doctor, info, spaces, recipes and count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from edgenas.records.codec import FLAT, OMITTED, Arch, JsonRecord
from edgenas.records.looks import LookResult


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFacts(JsonRecord):
    """The images that nets are for."""

    num_classes: int
    in_channels: int
    image_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceSize(JsonRecord):
    """A space by its name, and how many nets it has."""

    name: str
    num_subnets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InitResult(JsonRecord):
    """What `edgenas init` answers.

    Attributes:
        data: the source.
        num_images: that were divided.
        num_excluded: left out because of what was found in them.
        num_not_drawn: left out because fewer were asked for.
        notes: what the source says of itself.
        positive: class that must not be missed; None without one.
        splits: images by split and class.
        fingerprint: of the data.
        provable: sentences on what the images can prove, and on what is kept together.
        preprocessing: from a decoded image to what nets read, as in the manifest.
        num_problems: rows of the list of everything odd; None in answers of before.
        num_patients, num_sites: None where the data do not name them.
        look: at spaces; None where no latency of this device is limited.
    """

    data: str
    num_images: int
    num_excluded: int
    num_not_drawn: int
    notes: tuple[str, ...]
    classes: tuple[str, ...]
    positive: str | None
    space: SpaceSize
    task: TaskFacts
    splits: Mapping[str, Mapping[str, int]]
    fingerprint: str
    provable: tuple[str, ...]
    preprocessing: Annotated[Mapping[str, Any] | None, OMITTED] = None
    num_problems: Annotated[int | None, OMITTED] = None
    num_patients: Annotated[int | None, OMITTED] = None
    num_sites: Annotated[int | None, OMITTED] = None
    look: Annotated[LookResult | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRow(JsonRecord):
    """A runtime or a format as it was tried.

    Attributes:
        works: whether it gave what it must.
        reason: what was tried and seen, one line.
        fix: the one command that fixes it, empty when it works or nothing can be done.
        version: of the package, empty when it is missing.
        device: what it ran on.
        measures: False of a runtime that `edgenas profile` cannot time nets with: it loads files of its own format alone.
    """

    name: str
    works: bool
    reason: str
    fix: str
    version: str
    device: str
    measures: Annotated[bool | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorResult(JsonRecord):
    """What `edgenas doctor` answers."""

    runtimes: tuple[ProbeRow, ...]
    formats: tuple[ProbeRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFacts(JsonRecord):
    """A stage of a run folder.

    Attributes:
        state: ``there``, ``missing``, ``not needed``, ``outdated`` or ``unusable``.
        made: date and time; None where it is missing.
        command: that makes it; empty where nothing is to be done.
    """

    name: str
    state: str
    made: str | None
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderFacts(JsonRecord):
    """How fast training images come when nothing is trained; see `edgenas.data.batches.LoaderRate`."""

    images_per_second: float
    workers: int
    cached: bool
    num_images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoResult(JsonRecord):
    """What `edgenas info` answers.

    Attributes:
        loader: None where it was not measured.
        settings: in force, by table.
        versions: of the packages at work.
        exports: verdict of every artefact folder of the run, in its own word, by the folder's name.
        doubts: that nothing shows that a net of the run has learned, a sentence each.
    """

    run: str
    space: SpaceSize
    stages: tuple[StageFacts, ...]
    loader: LoaderFacts | None
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    exports: Annotated[Mapping[str, str] | None, OMITTED] = None
    doubts: Annotated[tuple[str, ...] | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceFacts(JsonRecord):
    """A choice of a space.

    Attributes:
        options: as they are read.
        active_when: None where it always exists.
    """

    name: str
    options: tuple[Any, ...]
    active_when: ConditionFacts | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionFacts(JsonRecord):
    """That another choice has one of some values."""

    choice: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedFacts(JsonRecord):
    """What a publication says of a net; see `edgenas.spaces.reported.Reported`."""

    source: str
    top1: float | None
    dataset: str | None
    params: int | None
    macs: int | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFacts(JsonRecord):
    """A named architecture, with what its publication says of it."""

    name: str
    arch: Arch
    reported: ReportedFacts | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeFacts(JsonRecord):
    """Parameters and multiply-accumulates."""

    params: int
    macs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceDescription(JsonRecord):
    """A space.

    Attributes:
        smallest, largest: of every cost on its own: no single net has them all where choices trade off.
        purpose: what it is for, a line; None where nobody says.
        needs_images: training images below which `edgenas init` does not take it by itself; None where it always may.
        choices, named: where just one space was asked for.
    """

    name: str
    family: str
    num_subnets: int
    num_genes: int
    task: TaskFacts
    smallest: SizeFacts
    largest: SizeFacts
    purpose: Annotated[str | None, OMITTED] = None
    needs_images: Annotated[int | None, OMITTED] = None
    choices: Annotated[tuple[ChoiceFacts, ...] | None, OMITTED] = None
    named: Annotated[tuple[NamedFacts, ...] | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpacesResult(JsonRecord):
    """What `edgenas spaces` answers."""

    spaces: tuple[SpaceDescription, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedSetting(JsonRecord):
    """One key of a recipe.

    Attributes:
        key: ``table.key``.
        value: that the recipe sets.
        default: without it.
        why: a few words on this value; empty where its meaning is enough.
        meaning: of the key.
    """

    key: str
    value: Any
    default: Any
    why: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeRow(JsonRecord):
    """One named recipe.

    Attributes:
        trains: teacher, supernet, retrain or all.
        suits: patterns of the spaces that it was made for; empty for any.
        settings: by table and key, as `edgenas.toml` has them.
        departures: where it differs from its source, a sentence each.
        explained: every key; None where all recipes are listed.
    """

    name: str
    title: str
    trains: str
    source: str
    suits: str
    settings: Mapping[str, Mapping[str, Any]]
    departures: tuple[str, ...]
    explained: tuple[ExplainedSetting, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipesResult(JsonRecord):
    """What `edgenas recipes` answers."""

    rows: tuple[RecipeRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRow(JsonRecord):
    """One setting.

    Attributes:
        key: ``table.key``.
        default: None where nothing is the default, or it must be given.
        value: in force.
        source: of the value: ``default``, ``file`` or ``flag``.
        allowed: in words.
        help: what it means.
        recipe: that the file names and the value comes from; None where it does not.
    """

    key: str
    default: Any
    value: Any
    source: Literal["default", "file", "flag"]
    allowed: str
    help: str
    recipe: Annotated[str | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsResult(JsonRecord):
    """What `edgenas settings` answers.

    Attributes:
        is_single: one setting was asked for.
    """

    rows: tuple[SettingRow, ...]
    is_single: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CountRow(JsonRecord):
    """What one architecture costs.

    Attributes:
        size: exact, by the cost models.
        reference_macs: as the paper's own counter has them.
        ancestor_macs: of the net that the space comes from; None without one.
        name: of a named architecture.
        reported: by its publication.
        built: of the net that was built, where that was asked for.
    """

    size: Annotated[SizeFacts, FLAT]
    reference_macs: int
    ancestor_macs: int | None
    arch: Arch
    name: str | None
    reported: ReportedFacts | None
    built: Annotated[SizeFacts | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CountResult(JsonRecord):
    """What `edgenas count` answers, one row an architecture, in order."""

    space: str
    task: TaskFacts
    rows: tuple[CountRow, ...]
