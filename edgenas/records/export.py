"""What `edgenas export` answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from edgenas.records.acceptance import AcceptanceFacts
from edgenas.records.bench import BenchResult
from edgenas.records.codec import FLAT, OMITTED, JsonRecord
from edgenas.records.manifest import ModelFile, Parity, Verdict
from edgenas.records.metrics import SplitMetrics
from edgenas.records.precision import Repair


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedModel(JsonRecord):
    """A file as `edgenas export` answers it."""

    file: Annotated[ModelFile, FLAT]
    parity: Parity


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult(JsonRecord):
    """What `edgenas export` answers.

    Attributes:
        artifact: folder, relative to the run folder where it lies in it.
        weights: ``inherited``, ``finetuned`` or ``scratch``.
        net: ``searched``, ``baseline`` or a rival's name.
        files: with their parity, paths as the folder's.
        metrics: of the source on test.
        word: the verdict in a word for people.
        repair: what had to stay float32 in a reduced precision; None where that was not looked at.
        acceptance: the plan that judged.
        artifacts: every artefact, the first too, where several were asked for.
        bench: all artefacts of the run, timed in turn, where that was asked for.
        only_timed: nothing was written, for that was all that was asked for.
    """

    artifact: str
    verdict: Verdict
    weights: str
    net: str
    files: tuple[ExportedModel, ...]
    metrics: Annotated[SplitMetrics | None, OMITTED] = None
    word: Annotated[str | None, OMITTED] = None
    acceptance: Annotated[AcceptanceFacts | None, OMITTED] = None
    artifacts: Annotated[tuple[ExportResult, ...] | None, OMITTED] = None
    repair: Annotated[Repair | None, OMITTED] = None
    bench: Annotated[BenchResult | None, OMITTED] = None
    only_timed: Annotated[bool | None, OMITTED] = None
