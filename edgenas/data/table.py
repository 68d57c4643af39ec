"""Images that a CSV file lists: a path and a label a row, maybe the patient, the site and the published part."""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgenas.data.dicom_headers import with_headers
from edgenas.data.files import FileImages, is_plain, read_text, why_no_file
from edgenas.data.folder import PART_NAMES
from edgenas.errors import DataError

NEEDED = ("path", "label")
ALLOWED = ("patient", "site", "split")
_DELIMITERS = ",;\t"
_HOW_TO_WRITE = "the first line names the columns path, label and, where known, patient, site, split; cells with commas need quotes"


@dataclass(frozen=True, slots=True)
class _Row:
    """One image as listed; ``part`` is empty where the table has no split column."""

    line: int
    path: str
    label: str
    patient: str
    site: str
    part: str


@dataclass(frozen=True, slots=True)
class _Header:
    """Position of every known column, the others' names, and how cells are parted."""

    line: int
    width: int
    columns: dict[str, int]
    unknown: tuple[str, ...]
    delimiter: str


def open_table(argument: str | None) -> FileImages:
    """Read the CSV file ``argument``, in UTF-8, cells parted by commas, semicolons or tabs. Classes are the labels, sorted.

    Raises:
        DataError: if the file is no such text, has no rows or lacks the columns ``path`` and ``label``. What is wrong in rows is
            in ``problems``, with line numbers.
    """
    file = Path(argument or "")
    text = read_text(file)
    header = _read_header(file, text)
    problems: list[str] = []
    rows = list(_read_rows(file, text, header, problems))
    if not rows and not problems:
        raise DataError(f"{file} lists no images below its header", hint=_HOW_TO_WRITE)
    class_names = sorted({row.label for row in rows})
    if len(class_names) < 2:
        problems.append(f"{file} has {len(class_names)} class(es); at least 2 are needed")
    rows = _drop_repeated(rows, problems)
    rows, missing = _drop_missing(file.parent, rows)
    return _as_images(f"csv:{argument}", file.parent, header, class_names, rows, [*problems, *missing])


def _as_images(
    name: str, folder: Path, header: _Header, class_names: list[str], rows: list[_Row], problems: list[str]
) -> FileImages:
    paths = tuple(row.path for row in rows)
    several = len(set(paths)) < len(paths)
    ids = tuple(f"{row.part}/{row.path}" for row in rows) if several else paths
    patients = tuple(row.patient or id_ for row, id_ in zip(rows, ids, strict=True))
    index = {label: position for position, label in enumerate(class_names)}
    notes = [f"column(s) without a meaning here: {', '.join(header.unknown)}"] if header.unknown else []
    images = FileImages(
        name=name,
        class_names=tuple(class_names),
        ids=ids,
        paths=tuple(folder / path for path in paths),
        labels_N=np.array([index[row.label] for row in rows], dtype=np.int64),
        groups=patients if "patient" in header.columns else None,
        sites=tuple(row.site or "unknown" for row in rows) if "site" in header.columns else None,
        published_split=tuple(row.part for row in rows) if "split" in header.columns else None,
        file_keys=paths if several else None,
        notes=(*notes, *_case_notes(class_names)),
        problems=tuple(problems),
    )
    return with_headers(images)


def _case_notes(class_names: list[str]) -> list[str]:
    spelled: dict[str, list[str]] = {}
    for name in class_names:
        spelled.setdefault(name.casefold(), []).append(repr(name))
    return [f"labels that differ only in case are different classes: {', '.join(names)}" for names in spelled.values() if names[1:]]


def _read_header(file: Path, text: str) -> _Header:
    """The delimiter is the one that parts the first line into the most known columns.

    Raises:
        DataError: for an empty file, or naming every missing and repeated column.
    """
    lines = io.StringIO(text, newline="").readlines()
    number = next((number for number, line in enumerate(lines, 1) if line.strip()), None)
    if number is None:
        raise DataError(f"{file} is empty", hint=_HOW_TO_WRITE)
    known = {*NEEDED, *ALLOWED}
    parted = {mark: _cells(lines[number - 1], mark) for mark in _DELIMITERS}
    delimiter = max(_DELIMITERS, key=lambda mark: len(known & set(parted[mark])))
    names = parted[delimiter]
    problems = [f"line {number}: column {name!r} is missing" for name in NEEDED if name not in names]
    problems += [f"line {number}: column {name!r} is there {names.count(name)} times" for name in known if names.count(name) > 1]
    if problems:
        raise DataError(f"{file} cannot be read as a table of images", problems=sorted(problems), hint=_HOW_TO_WRITE)
    columns = {name: position for position, name in enumerate(names) if name in known}
    return _Header(number, len(names), columns, tuple(name or "(no name)" for name in names if name not in known), delimiter)


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip().lower() for cell in next(csv.reader([line], delimiter=delimiter))]
    except csv.Error:
        return []


def _read_rows(file: Path, text: str, header: _Header, problems: list[str]) -> Iterator[_Row]:
    """Rows that are whole; ``problems`` takes the others.

    Raises:
        DataError: for a cell that is longer than Python's csv reads.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=header.delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            if "field limit" in str(error):
                limit = f"a cell of more than {csv.field_size_limit():,} characters"
                raise DataError(f"{file} has {limit} from line {line} on; is a quote not closed?") from error
            problems.append(f"line {line}: is malformed: {error}")
            continue
        if line <= header.line or not any(cells):
            continue
        if len(cells) != header.width:
            problems.append(f"line {line}: has {len(cells)} cells, the header {header.width}")
            continue
        row, found = _read_row(line, cells, header)
        problems += found
        if row is not None:
            yield row


def _read_row(line: int, cells: list[str], header: _Header) -> tuple[_Row | None, list[str]]:
    value = {name: cells[position] for name, position in header.columns.items()}
    problems = [f"line {line}: {name} is empty" for name in NEEDED if not value[name]]
    problems += [
        f"line {line}: {name} holds a control character or line break" for name, cell in value.items() if not is_plain(cell)
    ]
    part = PART_NAMES.get(value.get("split", "train").lower())
    if part is None:
        problems.append(f"line {line}: split is {value['split']!r}; allowed are {', '.join(PART_NAMES)}")
    if problems or part is None:
        return None, problems
    path = posixpath.normpath(value["path"])
    patient, site = value.get("patient", ""), value.get("site", "")
    return _Row(line, path, value["label"], patient, site, part if "split" in header.columns else ""), []


def _drop_repeated(rows: list[_Row], problems: list[str]) -> list[_Row]:
    """The first row of every path in every part; the others are problems, and so is a path with two labels anywhere."""
    first: dict[str, _Row] = {}
    seen: dict[tuple[str, str], int] = {}
    kept = []
    for row in rows:
        earlier = first.setdefault(row.path, row)
        if earlier.label != row.label:
            both = f"{earlier.label!r} in line {earlier.line}"
            problems.append(f"line {row.line}: {row.path} is labelled {row.label!r} here and {both}")
        elif (row.part, row.path) in seen:
            where = f" in {row.part}" if row.part else ""
            problems.append(f"line {row.line}: {row.path} is listed again{where}, first in line {seen[row.part, row.path]}")
        else:
            kept.append(row)
        seen.setdefault((row.part, row.path), row.line)
    return kept


def _drop_missing(folder: Path, rows: list[_Row]) -> tuple[list[_Row], list[str]]:
    """Rows whose file is there; a problem for each of the others, or one for all where no file is there."""
    reasons = [why_no_file(folder / row.path) for row in rows]
    there = [row for row, reason in zip(rows, reasons, strict=True) if not reason]
    if rows and not there:
        example = f"line {rows[0].line}: {folder / rows[0].path} {reasons[0]}"
        return there, [f"none of the {len(rows):,} files is there, such as {example}; paths are relative to {folder}"]
    absent = [(row, reason) for row, reason in zip(rows, reasons, strict=True) if reason]
    return there, [f"line {row.line}: {folder / row.path} {reason}" for row, reason in absent]
