"""Architectures that the user gives: by name, or in a file that holds one or many."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path
from typing import Any

import numpy as np

from edgenas.errors import ArchError
from edgenas.records import Arch
from edgenas.runs.outside import MissingFileError, OutsideError, parse_json, read_regular
from edgenas.spaces import Genes, SearchSpace
from edgenas.spaces.named import Reported, find_named, unknown_name
from edgenas.spaces.reported import host

MAX_BYTES = 64 * 2**20
MAX_SHOWN = 60  # characters of what a file holds, in a message


@dataclass(frozen=True, slots=True)
class Given:
    """Architectures of a space, in the order given.

    Attributes:
        genes_AG: canonical rows of ``space``.
        space: that was asked for, or the same with more options where a named architecture lies outside of it.
        name: of a named one, as the user wrote it; None where they come from a file.
        reported: what the source of a named one says of it.
    """

    genes_AG: Genes
    space: SearchSpace
    name: str | None = None
    reported: Reported | None = None


def read_given(space: SearchSpace, text: str) -> Given:
    """What ``--arch`` means: a name of ``space``, else a file. A file that is called like a name is written ``./NAME``.

    Raises:
        ArchError: if it is neither, or naming every gene of every architecture that is not in ``space``.
    """
    named = find_named(space, text)
    if named is not None:
        hosting = host(space, named)
        return Given(hosting.from_json(named.arch), hosting, text, named.reported)
    try:
        content = read_regular(Path(text), MAX_BYTES)
    except MissingFileError as error:
        raise unknown_name(space, text) from error
    except OutsideError as error:
        raise ArchError(f"{text} {error}", hint="give a file or a name") from error
    return Given(_rows(space, parse_archs(content, text), text), space)


def read_one(space: SearchSpace, text: str) -> Arch:
    """As `read_given`, where just one net of the space is meant; readable.

    Raises:
        ArchError: if there are several, or it is a named one outside of the space, too.
    """
    given = read_given(space, text)
    if len(given.genes_AG) != 1:
        raise ArchError(f"{text} holds {len(given.genes_AG)} architectures", hint="give a file with one")
    arch = given.space.to_json(given.genes_AG[0])
    if given.space != space:
        try:
            space.from_json(arch)
        except ArchError as error:
            hint = "`edgenas count` counts it; no supernet has its weights"
            raise ArchError(f"{text} was published outside of {space.name}", problems=error.problems, hint=hint) from error
    return arch


def parse_archs(content: bytes, name: str) -> list[Arch]:
    """The objects in a file's content: one JSON object, a JSON list of them, or one a line.

    Raises:
        ArchError: saying what else it is.
    """
    if len(content) > MAX_BYTES:
        raise ArchError(f"{name} is larger than {MAX_BYTES // 2**20} MB: no list of architectures")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ArchError(f"{name} is not JSON: it is no UTF-8 text (byte {error.start})") from error
    try:
        values = _parse(text)
    except RecursionError as error:
        raise ArchError(f"{name} is nested too deep for an architecture") from error
    except ValueError as error:
        raise ArchError(f"{name} is not JSON: {error}") from error
    hint = 'write one JSON object, a list of them or one a line, as in {"pool_size": 7, ...}'
    if not values:
        raise ArchError(f"{name} holds no architecture", hint=hint)
    problems = [f"entry {number} is {_shown(value)}" for number, value in enumerate(values, 1) if not isinstance(value, Mapping)]
    if problems:
        raise ArchError(f"{name} holds something that is no architecture", problems=problems, hint=hint)
    return values


def _parse(text: str) -> list[Any]:
    """The values of a list, of lines, or the only one."""
    if not text.strip():
        return []
    try:
        value = parse_json(text)
    except JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
        return [_parse_line(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return value if isinstance(value, list) else [value]


def _parse_line(number: int, line: str) -> Any:
    try:
        return parse_json(line)
    except JSONDecodeError as error:
        raise ValueError(f"line {number}: {error.msg} (column {error.colno})") from error


def _shown(value: Any) -> str:
    text = reprlib.repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _rows(space: SearchSpace, archs: Sequence[Arch], name: str) -> Genes:
    """One row each; every problem of every architecture is named with its position."""
    rows: list[Genes] = []
    problems: list[str] = []
    for number, arch in enumerate(archs, 1):
        try:
            rows.append(space.from_json(arch))
        except ArchError as error:
            if len(archs) == 1:
                raise
            problems += [f"architecture {number}: {problem}" for problem in error.problems or (error.message,)]
    if problems:
        num = len(archs) - len(rows)
        raise ArchError(f"{num} of {len(archs)} architectures in {name} are none of {space.name}", problems=problems)
    return np.concatenate(rows)
