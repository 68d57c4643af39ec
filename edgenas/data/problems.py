"""What is odd about images: one list of what was seen and of what was done about it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from edgenas.escaping import csv_cell
from edgenas.runs import write_text

COLUMNS = ("path", "what", "done")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something odd.

    Attributes:
        path: of the image, as its source names it; of a file or folder; or the name of a class or column.
        what: was seen.
        done: about it.
    """

    path: str
    what: str
    done: str


@runtime_checkable
class ReportsOdd(Protocol):
    """A data source that tells what is odd about it; sources need not."""

    @property
    def odd(self) -> tuple[Problem, ...]:
        """What was seen while names and labels were read."""
        ...


def odd_of(source: object) -> tuple[Problem, ...]:
    """What a source tells of itself; nothing where it tells nothing."""
    return source.odd if isinstance(source, ReportsOdd) else ()


def problems_as_csv(problems: Iterable[Problem]) -> str:
    """A table in the problems' order, each once, with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([csv_cell(cell) for cell in (each.path, each.what, each.done)] for each in dict.fromkeys(problems))
    return text.getvalue()


def save_problems(path: Path, problems: Iterable[Problem]) -> None:
    """Write the table atomically, in UTF-8.

    Raises:
        RunFolderError: if it cannot be written.
    """
    write_text(path, problems_as_csv(problems))
