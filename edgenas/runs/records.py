"""The records that every recipe yields."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from edgenas.errors import EdgeNASError


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of long work: ``done`` of ``total`` in the part called ``label``; ``fields`` are worth showing.

    ``unit`` is empty for things that are counted, ``s`` where a known time is waited for; an estimate is never shown as progress.
    """

    label: str
    done: int
    total: int
    fields: Mapping[str, object] = field(default_factory=dict)
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch of a training is done: ``epoch`` of ``epochs``.

    Attributes:
        label: what is trained.
        loss: mean over the epoch.
        select: accuracies on the select split, fractions, by what was judged; empty where nothing was.
        learning_rate: of its last step.
        seconds: of training, evaluation left out.
    """

    label: str
    epoch: int
    epochs: int
    loss: float
    select: Mapping[str, float]
    learning_rate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the user: a choice made for them, what is feasible; a warning or the heading of a part.

    Attributes:
        in_view: the outcome's screen says it too, so it is only listed among the warnings of ``--json``.
    """

    text: str
    is_warning: bool = False
    is_heading: bool = False
    in_view: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A net that a search has evaluated.

    Attributes:
        cost: what it takes, as predicted.
        top1: share of the images of select that it gets right.
        is_hand_designed: no search was needed to find it.
    """

    cost: float
    top1: float
    is_hand_designed: bool = False


@dataclass(frozen=True, slots=True)
class Front:
    """The nets that a search has evaluated since the record before; together they make a picture that grows.

    Attributes:
        label: of the search, the same in all its records.
        cost_name: with its unit, e.g. ``latency_ms``.
        limit: on the cost; None without one.
        nets: evaluated since the record before.
    """

    label: str
    cost_name: str
    limit: float | None
    nets: tuple[Found, ...]


Shown = TypeVar("Shown", covariant=True)


@dataclass(frozen=True, slots=True)
class Picture(Generic[Shown]):
    """Something to be drawn into files by `report`.

    Attributes:
        shows: what.
        paths: where it goes.
        is_extra: that it cannot be drawn is a warning, whatever the reason: the work that it shows is done.
    """

    shows: Shown
    paths: tuple[Path, ...]
    is_extra: bool = False


Result = TypeVar("Result", covariant=True)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Result]):
    """What a command found out and wrote; the last record of every recipe.

    Attributes:
        result: a record whose JSON is what the contract lays down for the command.
        outputs: name to path, inside the run folder or absolute.
        failure: set when the command did its work but the answer is no (a gate failed); the CLI exits with its code.
    """

    result: Result
    outputs: Mapping[str, Path] = field(default_factory=dict)
    failure: EdgeNASError | None = None


Record = Progress | Epoch | Front | Note | Picture[Any] | Outcome[Any]


def quietly(records: Iterator[Record]) -> Generator[Record, None, Outcome[Any]]:
    """Pass everything on but the outcome, and return that: a recipe as a part of another one."""
    outcome: Outcome[Any] | None = None
    try:
        for record in records:
            if isinstance(record, Outcome):
                outcome = record
            else:
                yield record
    finally:
        if isinstance(records, Generator):
            records.close()  # an interrupted part saves its state
    assert outcome is not None
    return outcome
