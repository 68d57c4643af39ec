"""Which columns of a CSV file hold the path, the label and what else is known, by their names or as somebody says."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from edgenas.data.files import is_file
from edgenas.errors import DataError
from edgenas.registries import choices

NEEDED = ("path", "label")
MEANINGS = (*NEEDED, "patient", "site", "split")
# what columns are called elsewhere and in other languages, without case, spaces, points and dashes; the exact word goes first
_OTHER: Mapping[str, str] = {
    "path": "filename filepath file files fname image img picture photo imagepath imagefile imagefilename imagename imgpath "
    "imgname imagefilepath imageid imgid imageindex idcode "
    "datei dateiname dateipfad bild bilddatei bildname pfad fichier nomfichier chemin archivo ruta imagen arquivo caminho imagem "
    "immagine percorso bestand bestandsnaam afbeelding plik fil filnavn",
    "label": "labels class classname classid category target diagnosis dx finding findinglabels disease groundtruth "
    "befund diagnose klasse kategorie étiquette etiquette classe diagnostic étiqueta etiqueta clase diagnóstico diagnostico "
    "categoría categoria rótulo rotulo etichetta diagnosi klas etykieta klasa diagnos",
    "patient": "patientid patientnumber subject subjectid pid personid participant participantid "
    "patientin patientennummer patientnr patienten patientenid paziente paciente pacienteid idpaciente idpatient pacjent pasient",
    "site": "siteid hospital hospitalid institution center centre centerid "
    "klinik krankenhaus standort zentrum hôpital hopital clinique sitio clínica clinica centro ospedale ziekenhuis szpital",
    "split": "part partition subset set aufteilung teilmenge teil partición particion parte",
}
OTHER_NAMES = {meaning: frozenset(names.split()) for meaning, names in _OTHER.items()}
_DELIMITERS = ",;\t"


@dataclass(frozen=True, slots=True)
class Header:
    """What the first line says.

    Attributes:
        line: its number.
        width: cells.
        columns: position by meaning.
        notes: columns that were understood by another name, and those without a meaning.
        delimiter: parts the cells.
    """

    line: int
    width: int
    columns: Mapping[str, int]
    notes: tuple[str, ...]
    delimiter: str


def asked_columns(argument: str) -> tuple[Path, dict[str, str]]:
    """The file, and the names of columns by their meaning, of ``FILE?path=COLUMN&label=COLUMN``.

    Raises:
        DataError: naming every meaning that there is not.
    """
    if is_file(Path(argument)):
        return Path(argument), {}
    file, mark, query = argument.partition("?")
    if not mark:
        return Path(file), {}
    pairs = parse_qsl(query, keep_blank_values=True)
    asked = dict(pairs)
    problems = [f"{name!r} is no meaning of a column; {choices(name, MEANINGS)}" for name in asked if name not in MEANINGS]
    problems += [f"{name} names no column" for name, column in asked.items() if name in MEANINGS and not column]
    if problems or len(asked) < len(pairs) or not asked:
        hint = "write csv:FILE?path=COLUMN&label=COLUMN, with patient, site and split where there are such columns"
        raise DataError(f"{argument!r} does not say which columns hold what", problems=problems, hint=hint)
    return Path(file), asked


def read_header(file: Path, text: str, asked: Mapping[str, str], *, hint: str) -> Header:
    """Find the first line, how its cells are parted, and what its columns mean.

    The delimiter is the one that parts the line into the most columns with a meaning, else into the most columns.

    Args:
        file: for messages.
        text: of the file.
        asked: names of columns by meaning; the others are found by name.
        hint: how such a file is written.

    Raises:
        DataError: for an empty file, or naming every column that is missing, there several times, or may be meant in several ways.
    """
    lines = io.StringIO(text, newline="").readlines()
    number = next((number for number, line in enumerate(lines, 1) if line.strip()), None)
    if number is None:
        raise DataError(f"{file} is empty", hint=hint)
    parted = {mark: _cells(lines[number - 1], mark) for mark in _DELIMITERS}
    delimiter = max(_DELIMITERS, key=lambda mark: (_num_meanings(parted[mark], asked), len(parted[mark])))
    cells = parted[delimiter]
    columns, problems, notes = _meanings(cells, asked)
    if problems:
        listed = ", ".join(cell or "(no name)" for cell in cells)
        problems = sorted(f"line {number}: {problem}" for problem in problems)
        how = f"its columns are: {listed}; csv:{file}?path=COLUMN&label=COLUMN says which hold what; {hint}"
        raise DataError(f"{file} cannot be read as a table of images", problems=problems, hint=how)
    unknown = [cell or "(no name)" for position, cell in enumerate(cells) if position not in columns.values()]
    notes += [f"column(s) without a meaning here: {', '.join(unknown)}"] if unknown else []
    return Header(number, len(cells), columns, tuple(notes), delimiter)


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
    except (csv.Error, StopIteration):
        return []


def _key(name: str) -> str:
    """A column's name without case, spaces, points and dashes."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(char for char in folded if char.isalnum())


def _num_meanings(cells: list[str], asked: Mapping[str, str]) -> int:
    return len(_meanings(cells, asked)[0])


def _meanings(cells: list[str], asked: Mapping[str, str]) -> tuple[dict[str, int], list[str], list[str]]:
    """Positions by meaning, what is wrong, and what was understood by another name."""
    keys = [_key(cell) for cell in cells]
    columns: dict[str, int] = {}
    problems: list[str] = []
    notes: list[str] = []
    for meaning in MEANINGS:
        name = asked.get(meaning, meaning)
        places = [at for at, cell in enumerate(cells) if cell == name] if meaning in asked else []
        places = places or [at for at, key in enumerate(keys) if key and key == _key(name)]
        if not places and meaning not in asked:
            places = [at for at, key in enumerate(keys) if key in OTHER_NAMES[meaning] and at not in columns.values()]
            if len(places) == 1:
                notes.append(f"column {cells[places[0]]!r} is read as {meaning}")
        if len(places) == 1:
            columns[meaning] = places[0]
        elif len({keys[at] for at in places}) > 1:
            listed = ", ".join(repr(cells[at]) for at in places)
            problems.append(f"column {meaning!r} may be any of {listed}")
        elif places:
            problems.append(f"column {name!r} is there {len(places)} times")
        elif meaning in NEEDED or meaning in asked:
            problems.append(f"column {name!r} is missing")
    return columns, problems, notes
