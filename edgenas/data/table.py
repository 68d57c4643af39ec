"""Images that a CSV file lists: a path and a label a row, maybe the patient, the site and the published part."""

from __future__ import annotations

import csv
import io
import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgenas.data.columns import Header, asked_columns, read_header
from edgenas.data.dicom_headers import with_headers
from edgenas.data.files import FileImages, is_plain, read_text, why_no_file
from edgenas.data.lookup import Lookup, has_drive
from edgenas.data.names import is_missing, look, one_spelling
from edgenas.data.parts import ALLOWED, part_of
from edgenas.data.problems import Problem
from edgenas.errors import DataError

HOW_TO_WRITE = "the first line names the columns path, label and, where known, patient, site, split; cells with commas need quotes"


@dataclass(frozen=True, slots=True)
class _Row:
    """One image as listed; ``part`` is empty where the table has no split column."""

    line: int
    path: str
    label: str
    patient: str
    site: str
    part: str


def open_table(argument: str | None) -> FileImages:
    """Read the CSV file ``argument``, in UTF-8, cells parted by commas, semicolons or tabs. Classes are the labels, sorted.

    ``FILE?path=COLUMN&label=COLUMN`` says which columns hold what.

    Raises:
        DataError: if the file is no such text, has no rows or lacks the columns ``path`` and ``label``, naming those it has. What
            is wrong in rows is in ``problems``, with line numbers.
    """
    file, asked = asked_columns("" if argument is None else argument)
    text = read_text(file)
    header = read_header(file, text, asked, hint=HOW_TO_WRITE)
    problems: list[str] = []
    rows = list(_read_rows(file, text, header, problems))
    if not rows and not problems:
        raise DataError(f"{file} lists no images below its header", hint=HOW_TO_WRITE)
    class_names = sorted({row.label for row in rows})
    if len(class_names) < 2:
        problems.append(f"{file} has {len(class_names)} class(es); at least 2 are needed")
    rows, odd = _found(file.parent, rows)
    rows = _drop_repeated(rows, problems)
    rows, missing = _drop_missing(file.parent, rows)
    images = _as_images(f"csv:{argument}", file.parent, header, class_names, rows, [*problems, *missing])
    return replace(images, odd=(*images.odd, *odd), notes=(*images.notes, *_path_notes(odd)))


def _as_images(
    name: str, folder: Path, header: Header, class_names: list[str], rows: list[_Row], problems: list[str]
) -> FileImages:
    paths = tuple(row.path for row in rows)
    several = len(set(paths)) < len(paths)
    ids = tuple(f"{row.part}/{row.path}" for row in rows) if several else paths
    patients, patient_odd = _known([row.patient for row in rows], "patient")
    sites, site_odd = _known([row.site for row in rows], "site")
    index = {label: position for position, label in enumerate(class_names)}
    odd = (*patient_odd, *site_odd)
    images = FileImages(
        name=name,
        class_names=tuple(class_names),
        ids=ids,
        paths=tuple(folder / path for path in paths),
        labels_N=np.array([index[row.label] for row in rows], dtype=np.int64),
        groups=tuple(patient or id_ for patient, id_ in zip(patients, ids, strict=True)) if "patient" in header.columns else None,
        sites=tuple(site or "unknown" for site in sites) if "site" in header.columns else None,
        published_split=tuple(row.part for row in rows) if "split" in header.columns else None,
        file_keys=paths if several else None,
        notes=(*header.notes, *(f"{each.path} {each.what}: {each.done}" for each in odd)),
        problems=tuple(problems),
        odd=odd,
        unclear=_unclear(rows),
    )
    return with_headers(images)


def _known(names: list[str], what: str) -> tuple[list[str], list[Problem]]:
    """Names with one spelling each, empty where a cell holds a word for nothing, and what was made one."""
    given = [name for name in names if not is_missing(name)]
    spelled, several = one_spelling(given)
    again = iter(spelled)
    odd = [
        Problem(f"{what} {group.names[0]}", f"is written {' and '.join(map(repr, group.names))}", f"one {what}")
        for group in several
    ]
    words = Counter(name for name in names if name and is_missing(name))
    odd += [
        Problem(f"{what} {word}", f"is a missing value, in {num:,} row(s)", f"no {what} is known") for word, num in words.items()
    ]
    return ["" if is_missing(name) else next(again) for name in names], odd


def _unclear(rows: list[_Row]) -> Mapping[str, str]:
    """Labels that say that there is none, with the rows they are in."""
    lines: dict[str, list[int]] = {}
    for row in rows:
        if is_missing(row.label):
            lines.setdefault(row.label, []).append(row.line)
    return {
        label: f"label {label!r} is a missing value, in {len(numbers):,} row(s) such as line {numbers[0]}"
        for label, numbers in lines.items()
    }


def _found(folder: Path, rows: list[_Row]) -> tuple[list[_Row], list[Problem]]:
    """Rows with the paths of the files that are meant, and which of them are written otherwise."""
    lookup, rows_there, odd = Lookup(folder), [], []
    for row in rows:
        path, how = lookup.find(row.path)
        if how and path != row.path:
            odd.append(Problem(row.path, how, f"read as {path}"))
        rows_there.append(replace(row, path=path))
    return rows_there, odd


def _path_notes(odd: list[Problem]) -> list[str]:
    """A line for every way in which paths are written otherwise."""
    counts = Counter(each.what for each in odd)
    first = {each.what: each for each in reversed(odd)}
    return [f"{num:,} path(s) are {how}, such as {first[how].path}: {first[how].done}" for how, num in counts.items()]


def _read_rows(file: Path, text: str, header: Header, problems: list[str]) -> Iterator[_Row]:
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
        row, problems_there = _read_row(line, cells, header)
        problems += problems_there
        if row is not None:
            yield row


def _read_row(line: int, cells: list[str], header: Header) -> tuple[_Row | None, list[str]]:
    value = {name: cells[position] for name, position in header.columns.items()}
    problems = [f"line {line}: path is empty"] if not value["path"] else []
    if not value["path"] and not value["label"]:
        problems.append(f"line {line}: label is empty")
    problems += [
        f"line {line}: {name} holds a control character or line break" for name, cell in value.items() if not is_plain(cell)
    ]
    part = part_of(value.get("split", "train"))
    if part is None:
        problems.append(f"line {line}: split is {value['split']!r}; allowed are {ALLOWED}")
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
        if look(earlier.label) != look(row.label):
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
        drive = (
            "; paths with a drive of Windows lead nowhere here, write them relative to the table" if has_drive(rows[0].path) else ""
        )
        return there, [f"none of the {len(rows):,} files is there, such as {example}; paths are relative to {folder}{drive}"]
    absent = [(row, reason) for row, reason in zip(rows, reasons, strict=True) if reason]
    return there, [f"line {row.line}: {folder / row.path} {reason}" for row, reason in absent]
