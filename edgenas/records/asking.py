"""What is said between a process and the other one in which a stranger's model runs: one line of JSON each way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from edgenas.records.codec import OMITTED, JsonRecord
from edgenas.records.manifest import Precision


@dataclass(frozen=True, slots=True)
class RunnerInfo(JsonRecord):
    """What the live session says of itself; never what was asked for or compiled in.

    Attributes:
        device: name of the processor or GPU.
        device_kind: ``cpu`` or ``cuda``.
        runtime: the runtime's entry-point name.
        runtime_version: of the package that runs it.
        precision: of the computation.
        threads: intra-op threads on a CPU, None on a GPU.
        spinning: whether idle threads spin, None where there are none.
        details: graph mode, optimisation level and the like.
    """

    device: str
    device_kind: Literal["cpu", "cuda"]
    runtime: str
    runtime_version: str
    precision: Precision
    threads: int | None
    spinning: bool | None
    details: dict[str, str | int | float | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelQuestion(JsonRecord):
    """What the model is asked.

    Attributes:
        shape: of the images whose numbers follow; None where none do.
        info: True asks what the session says of itself.
    """

    shape: Annotated[tuple[int, ...] | None, OMITTED] = None
    info: Annotated[bool | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer(JsonRecord):
    """What comes of it.

    Attributes:
        shape: of the logits whose numbers follow; None where none do.
        info: of the session.
        layer: the first one with a result that is not finite, where that was asked; None without one.
        missing: package or device without which the runtime does not work.
        error: why the model does not run.
    """

    shape: Annotated[tuple[int, ...] | None, OMITTED] = None
    info: Annotated[RunnerInfo | None, OMITTED] = None
    layer: Annotated[str | None, OMITTED] = None
    missing: Annotated[str | None, OMITTED] = None
    error: Annotated[str | None, OMITTED] = None
