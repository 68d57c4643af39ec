"""`edgenas run`: what it keeps of the stages that are done, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from edgenas.records.codec import OMITTED, JsonRecord, SealedRecord
from edgenas.records.plan import Estimate

StageState = Literal["done", "kept", "failed", "not reached", "not needed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageKept(JsonRecord):
    """A stage as an earlier call left it.

    Attributes:
        identity: hash of the settings, the flags and the earlier results that it rests on.
        product_sha256: of the file that it left; None of a stage that leaves none.
        seconds: of all calls that worked on it.
        is_done: whether it came to its end.
        words: what it found, a line.
    """

    identity: str
    product_sha256: str | None
    seconds: float
    is_done: bool
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState(SealedRecord):
    """What `edgenas run` knows of its stages, and how long `plan` expects later ones to take."""

    kind: ClassVar[str] = "state of a run"
    schema_version: ClassVar[int] = 1  # 1: first

    stages: Mapping[str, StageKept] = field(default_factory=dict)
    estimates: Mapping[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow(JsonRecord):
    """One stage of a run.

    Attributes:
        state: ``done`` in this call, ``kept`` from before, ``failed``, ``not reached``, or ``not needed``.
        seconds: of all calls that worked on it; None where none did.
        estimate: of `plan`; None where there was none.
        words: what it found or why it failed, a line.
    """

    name: str
    state: StageState
    seconds: float | None = None
    estimate: Annotated[Estimate | None, OMITTED] = None
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult(JsonRecord):
    """What `edgenas run` answers.

    Attributes:
        stages: in order, those that were not reached among them.
        seconds: of this call.
        quick: a few steps of everything were asked for.
        results: what the stages of this call answered, as their own commands do, by stage.
    """

    stages: tuple[StageRow, ...]
    seconds: float
    quick: bool
    results: Mapping[str, Any]
