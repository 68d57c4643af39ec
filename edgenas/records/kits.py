"""What goes to a device that times nets, or exported files in turn, and what comes back; the scripts there know the same JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from edgenas.records.codec import OMITTED, JsonRecord
from edgenas.records.commands import TaskFacts
from edgenas.records.manifest import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class SentFile(JsonRecord):
    """A file that a device is to time.

    Attributes:
        path: its name there.
        runtime: that runs it.
        precision: of the computation.
        shape: of the input.
        threads: None takes all usable cores of the device.
        golden: name there of an ``.npz`` with ``images`` that it is asked about, once.
    """

    path: str
    runtime: str
    precision: Precision
    shape: tuple[int, ...]
    threads: int | None
    golden: Annotated[str | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitFacts(JsonRecord):
    """How often files are visited and called; see `edgenas.latency.timing.TimingSettings`."""

    visits: int
    runs: int
    visit_ms: float
    warmup_ms: float
    reference_every: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnsPlan(JsonRecord):
    """Files that a device times in turn.

    Attributes:
        reference: what the others are compared with.
        seed: draws the order of every round.
    """

    reference: SentFile
    entrants: tuple[SentFile, ...]
    timing: VisitFacts
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedFile(JsonRecord):
    """What a file's live session said of itself there, and what it answered; for one that does not work there, the ``reason``.

    Attributes:
        answers: logits of each golden image; a number that is not finite is None.
    """

    info: Annotated[Mapping[str, Any] | None, OMITTED] = None
    answers: Annotated[tuple[tuple[float | None, ...], ...] | None, OMITTED] = None
    reason: Annotated[str | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnsResults(JsonRecord):
    """What a device brings back.

    Attributes:
        plan_sha256: of the plan that it was sent.
        tried: the reference, then the other files.
        seconds: that timing took.
        memory: what was measured, by its key.
    """

    plan_sha256: str
    tried: tuple[TriedFile, ...]
    seconds: float
    memory: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOrders(JsonRecord):
    """The order of every round of a kit's sessions, in places of the session's nets."""

    first: tuple[tuple[int, ...], ...]
    second: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KitShape(JsonRecord):
    """The nets of a kit's sessions, by their numbers, with the order of every round."""

    first: tuple[int, ...]
    second: tuple[int, ...]
    orders: SessionOrders


@dataclass(frozen=True, slots=True, kw_only=True)
class KitShapes(JsonRecord):
    """Everything that is timed without a budget, and what is timed of it at least."""

    full: KitShape
    thin: KitShape


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceChoices(JsonRecord):
    """A space by its name and the hash of its choices."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KitOrigin(JsonRecord):
    """What a kit is of, whatever else its version says.

    Attributes:
        schema_version: of the request.
        edgenas: the version that packed it.
        task: of its nets.
    """

    schema_version: int
    edgenas: str
    space: SpaceChoices
    task: TaskFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class KitSettings(JsonRecord):
    """How much a kit measures; see `edgenas.latency.nets.MeasuringSettings`."""

    timing: VisitFacts
    copies: int
    calibration_nets: int
    bound_nets: int
    validation_nets: int
    confidence: float
    seconds: float | None
    fps: float | None
    soak_seconds: float
    pause_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KitRequest(KitOrigin):
    """Everything that a kit's plan follows from.

    Attributes:
        runtime: that times its nets.
        threads: on a CPU; None takes all usable cores of the device.
        seed: draws nets and orders.
        rewrites: of the graphs.
    """

    runtime: str
    precision: str
    batch_size: int
    threads: int | None
    opset: int
    seed: int
    rewrites: Annotated[tuple[str, ...] | None, OMITTED] = None
    settings: KitSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class KitContent(JsonRecord):
    """What a kit's script is told to time.

    Attributes:
        request: everything that the rest follows from.
        nets: names of their files.
        reference: the number of the net that is returned to.
    """

    request: KitRequest
    nets: tuple[str, ...]
    reference: int
    shapes: KitShapes


@dataclass(frozen=True, slots=True, kw_only=True)
class KitResults(JsonRecord):
    """What a kit's script brings back.

    Attributes:
        request: of the kit; a `KitRequest` where this version packed it.
        plan_sha256: of the kit.
        seconds: the budget that was kept; None without one.
        complete: whether everything was measured.
        info: what the live runner said of itself.
        machine: facts about the device, and when it was measured.
        memory: what was measured, by its key.
    """

    request: Mapping[str, Any]
    plan_sha256: str
    seconds: float | None
    complete: bool = False
    info: Mapping[str, Any]
    machine: Mapping[str, Any]
    memory: Mapping[str, Any]
