"""What `train` reports, and what its probes found: teachers that were tried, ways to teach that were tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from edgenas.records.codec import OMITTED, JsonRecord, SealedRecord
from edgenas.records.metrics import MostFrequent
from edgenas.records.proportion import Proportion


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherResult(JsonRecord):
    """The run's teacher: its name, and its accuracy on select."""

    name: str | None
    select_top1: Proportion


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionFacts(JsonRecord):
    """Which weights of a larger net were taken.

    Attributes:
        asked: ``auto``, or the method that was set.
        method: leading, even or importance.
        select_loss: of a linear head on select, in nats, by method, and of ``drawn`` weights; empty where nothing was tried.
    """

    asked: str
    method: str
    select_loss: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class InitFacts(JsonRecord):
    """Where weights started.

    Attributes:
        source: as it was named.
        sha256: of its weights.
        notes: what a user should know, a sentence each.
        selection: of a larger net's weights; None where all were taken.
    """

    source: str
    sha256: str
    notes: tuple[str, ...] = ()
    selection: Annotated[SelectionFacts | None, OMITTED] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SupernetResult(SealedRecord):
    """The run's supernet.

    Attributes:
        epochs: that it was trained for.
        select_top1: accuracy on select of its ``smallest``, a ``random`` and its ``largest`` subnet.
        init: where its weights started; None for fresh ones.
        most_frequent: class of select, and what always answering it gives; None in results of before.
    """

    kind: ClassVar[str] = "supernet result"
    schema_version: ClassVar[int] = 1  # 1: first

    epochs: int
    select_top1: Mapping[str, Proportion]
    init: InitFacts | None = None
    most_frequent: Annotated[MostFrequent | None, OMITTED] = None

    @property
    def doubts(self) -> tuple[str, ...]:
        """That a subnet's accuracy is not shown to be above the most frequent class's, a sentence for each that it is true of."""
        if self.most_frequent is None:
            return ()
        said = (self.most_frequent.doubts(f"the {name} subnet on select", share) for name, share in self.select_top1.items())
        return tuple(text for text in said if text is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult(JsonRecord):
    """What `edgenas train` answers.

    Attributes:
        teacher: None where labels alone teach.
        supernet: None where just the teacher was asked for.
        most_frequent: class of select, and what always answering it gives; None in results of before.
    """

    teacher: TeacherResult | None
    supernet: Annotated[SupernetResult | None, OMITTED] = None
    most_frequent: Annotated[MostFrequent | None, OMITTED] = None

    @property
    def doubts(self) -> tuple[str, ...]:
        """As `SupernetResult.doubts`, the teacher's before."""
        teacher = self.teacher
        said = self.most_frequent.doubts("the teacher on select", teacher.select_top1) if self.most_frequent and teacher else None
        return (*(() if said is None else (said,)), *(self.supernet.doubts if self.supernet is not None else ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherChoice(JsonRecord):
    """A teacher by its name, and the file of its trained weights where it was given one."""

    name: str
    checkpoint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedTeacher(JsonRecord):
    """A teacher that was tried shortly.

    Attributes:
        select_top1: accuracy on select.
        epochs: of its training, 0 for a checkpoint.
        seconds: of its training, 0 for a checkpoint; None where no log says.
    """

    name: str
    checkpoint: str | None
    params: int
    select_top1: Proportion
    epochs: int = 0
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherProbe(SealedRecord):
    """Which teacher is the best of a few that were tried.

    Attributes:
        identity: everything that the answer depends on.
        rows: one a teacher.
        chosen: the best on select.
    """

    kind: ClassVar[str] = "teacher probe"
    schema_version: ClassVar[int] = 1  # 1: first

    identity: Mapping[str, Any]
    rows: tuple[TriedTeacher, ...]
    chosen: TeacherChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedLesson(JsonRecord):
    """A way to teach that was tried shortly.

    Attributes:
        kd_weight: share of the distillation in the loss, 0 for labels alone.
        temperature: of soft targets.
        flip: whether every other image was mirrored.
        select_top1: the student's accuracy on select, a fraction.
        epochs: of its training.
        seconds: of its training; None where no log says.
    """

    kd_weight: float
    temperature: float
    flip: bool = False
    select_top1: float
    epochs: int = 0
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TeachingProbe(SealedRecord):
    """How nets are to be taught, as a short probe found.

    Attributes:
        words: the answer with its reason.
        rows: one a lesson.
        teacher_sha256: of the teacher's weights; None without one.
        identity: everything else that the answer depends on; None in files of an earlier version.
        settled: settings that were not asked for, because they were set.
        kd_weight, temperature, flip: the answer.
    """

    kind: ClassVar[str] = "teaching probe"
    schema_version: ClassVar[int] = 1  # 1: first

    words: str
    rows: tuple[TriedLesson, ...]
    teacher_sha256: str | None = None
    identity: Annotated[Mapping[str, Any] | None, OMITTED] = None
    settled: tuple[str, ...] = ()
    kd_weight: float
    temperature: float
    flip: bool = False
