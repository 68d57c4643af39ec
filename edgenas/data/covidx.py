"""COVIDx: chest X-rays that text lists divide into train, val and test.

Source: Wang, Lin, Wong, "COVID-Net" (Scientific Reports 10, 2020, arXiv:2003.09871). A line reads ``PATIENT FILE LABEL [SOURCE]``,
parted by spaces, which patients and file names may hold too. The lists repeat files: many lines exist with and without a source.
CXR-2, CXR-3 and the lists B know two classes, negative and positive; some lists of three classes hold lines of these, too.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgenas.data.base import PARTS
from edgenas.data.files import EXTENSIONS, FileImages, read_text
from edgenas.data.folder import visible_entries
from edgenas.data.names import one_spelling
from edgenas.data.parts import part_of
from edgenas.data.problems import Problem
from edgenas.errors import DataError

CLASS_NAMES = ("covid-19", "normal", "pneumonia")
TWO_CLASS_NAMES = ("negative", "positive")
_WORDS = (*CLASS_NAMES, *TWO_CLASS_NAMES)
_SAME = ({"covid-19", "positive"},)  # of one file in two lists: no contradiction
_LATER_WORDS = re.compile(r"[^A-Za-z].*")
_HOW_TO_WRITE = "write covidx:DIR with train_split.txt and test_split.txt in DIR or DIR/labels, the images beside them"


@dataclass(frozen=True, slots=True)
class _Line:
    """What one line says; ``file`` is spelled as on disk where there is such a file."""

    part: str
    place: str  # list and number of the line, for messages
    patient: str
    file: str
    label: str
    source: str
    folder: Path | None  # that holds the file; None where none does


@dataclass(frozen=True, slots=True)
class _Images:
    """Folders of the images of one part, by file name; ``spelled`` finds it by its lower-case form."""

    folders: dict[str, Path]
    spelled: dict[str, str]


def open_covidx(argument: str | None) -> FileImages:
    """Read the lists of the folder ``argument``. Groups are source and patient; a source that a line omits is taken from others.

    Raises:
        DataError: if no list is there or a folder cannot be listed. What else is wrong is in ``problems``: missing lists and
            images, lines without a label or a file name, files with two labels.
    """
    root = Path("." if argument is None else argument)
    if not root.is_dir():
        raise DataError(f"{root} is no folder", hint=_HOW_TO_WRITE)
    lists, problems = _find_lists(root)
    if not lists:
        raise DataError(f"{root} holds no COVIDx lists", problems=problems, hint=_HOW_TO_WRITE)
    names = {folder: _file_names(folder) for folder in _image_folders(root)}
    listed: list[_Line] = []
    notes = []
    for part, file in lists.items():
        lines, num_lines, wrong = _read_list(part, file, _images_of(part, root, names))
        problems += wrong
        notes.append(f"{part}: {num_lines:,} lines, {len({line.file for line in lines}):,} distinct files")
        problems += _missing(file, lines, names)
        listed += lines
    problems += _label_problems(listed)
    notes += _disagreements(listed)
    unlisted = {name for files in names.values() for name in files} - {line.file for line in listed}
    if unlisted:
        notes.append(f"{len(unlisted):,} image file(s) are in no list, such as {min(unlisted)!r}")
    return _as_images(f"covidx:{argument}", listed, notes, problems)


def _find_lists(root: Path) -> tuple[dict[str, Path], list[str]]:
    """The list of every part, and what is wrong with them; ``val`` may be missing."""
    lists: dict[str, Path] = {}
    problems = []
    places = [root, root / "labels"]
    texts = [place / name for place in places for name in sorted(_file_names(place, (".txt",)))]
    for part in PARTS:
        exact = [file for file in texts if file.name == f"{part}_split.txt"]
        named = [file for file in texts if part_of(file.stem) == part]
        begun = [file for file in texts if part_of(_LATER_WORDS.sub("", file.stem)) == part]
        candidates = exact[:1] or named or begun
        if len(candidates) == 1:
            lists[part] = candidates[0]
        elif candidates:
            listed = ", ".join(str(file) for file in candidates)
            problems.append(f"several lists could be that of {part}: {listed}; name the right one {part}_split.txt")
        elif part != "val":
            problems.append(f"{root / f'{part}_split.txt'} is missing")
    return lists, problems


def _file_names(folder: Path, extensions: tuple[str, ...] = EXTENSIONS) -> set[str]:
    """Names with one of the extensions that are not hidden; none where there is no such folder.

    Raises:
        DataError: if the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.name.lower().endswith(extensions) and entry.name[0] != "."}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror or error}") from error


def _image_folders(root: Path) -> list[Path]:
    return [root, root / "images", root / "data", *_part_folders(root).values()]


def _part_folders(root: Path) -> dict[str, Path]:
    """The folder of every part, whatever it is called; where none is there, one of the part's name."""
    try:
        names = [entry.name for entry in visible_entries(root) if entry.is_dir()]
    except OSError as error:
        raise DataError(f"{root} cannot be listed: {error.strerror or error}") from error
    called = {part: name for name in reversed(names) if (part := part_of(name)) is not None}
    called |= {part: part for part in PARTS if part in names}
    return {part: root / called.get(part, part) for part in PARTS}


def _images_of(part: str, root: Path, names: dict[Path, set[str]]) -> _Images:
    """Where to find the images of one part: its own folder first, those of the other parts last."""
    own = _part_folders(root)[part]
    order = [own, *(folder for folder in _image_folders(root) if folder != own)]
    folders = {name: folder for folder in reversed(order) for name in names[folder]}
    return _Images(folders, {name.lower(): name for name in sorted(folders, reverse=True)})


def _read_list(part: str, file: Path, images: _Images) -> tuple[list[_Line], int, list[str]]:
    """Lines that name a label and a file, the number of lines that are not blank, and what is wrong with the others."""
    try:
        texts = read_text(file).splitlines()
    except DataError as error:
        return [], 0, [str(error)]
    lines, problems = [], []
    num_lines = 0
    for number, text in enumerate(texts, 1):
        words = text.split()
        if words:
            num_lines += 1
            line = _read_line(part, f"{file.name} line {number}", words, text, images)
            if isinstance(line, _Line):
                lines.append(line)
            else:
                problems.append(f"{file.name} line {number}: {line}")
    if not lines:
        what = f"none of its {num_lines:,} lines holds a file name and one of {', '.join(_WORDS)}"
        return [], num_lines, [f"{file}: {what}" if num_lines else f"{file} is empty"]
    return lines, num_lines, problems


def _read_line(part: str, place: str, words: list[str], text: str, images: _Images) -> _Line | str:
    """The last word that is a class is the label. Returns what is wrong, if anything is."""
    labels = [word.lower() for word in words]
    position = next((at for at in range(len(words) - 1, 0, -1) if labels[at] in _WORDS), 0)
    source = " ".join(words[position + 1 :])
    shown = " ".join(words)[:120]
    if position == 0 or source.lower().endswith(EXTENSIONS):
        return f"has no label behind a file name ({', '.join(_WORDS)}): {shown!r}"
    if position == 1:
        return f"has no file name behind the patient: {shown!r}"
    named = text.rsplit(None, len(words) - position)[0]
    likely = 2 if position > 2 and words[1].isdigit() else 1
    for cut in (likely, *(number for number in range(1, position) if number != likely)):
        file = _find(named.split(None, cut)[cut], images)
        if file is not None:
            break
    else:
        cut, file = likely, named.split(None, likely)[likely]
    patient = " ".join(words[:cut])
    return _Line(part, place, patient, file, labels[position], source, images.folders.get(file))


def _find(name: str, images: _Images) -> str | None:
    """The name as it is on disk."""
    return name if name in images.folders else images.spelled.get(name.lower())


def _missing(file: Path, lines: list[_Line], names: dict[Path, set[str]]) -> list[str]:
    """One problem a missing image, or one for all if none is there."""
    absent = {line.file: line for line in reversed(lines) if line.folder is None}
    present = {line.file for line in lines if line.folder is not None}
    looked = ", ".join(str(folder) for folder, files in names.items() if files)
    if absent and not present:
        searched = looked if looked else f"{next(iter(names))} and its folders images, data, {', '.join(PARTS)}"
        return [f"{file}: none of its {len(absent):,} images is in {searched}"]
    return [f"{line.place}: {line.file} is in none of {looked}" for line in reversed(absent.values())]


def _label_problems(listed: list[_Line]) -> list[str]:
    first: dict[str, _Line] = {}
    problems = []
    for line in listed:
        earlier = first.setdefault(line.file, line)
        if earlier.label != line.label and {earlier.label, line.label} not in _SAME:
            problems.append(f"{line.place}: {line.file} is {line.label} here and {earlier.label} in {earlier.place}")
    return problems


def _disagreements(listed: list[_Line]) -> list[str]:
    """Notes on files with several patients or several sources; the first one counts."""
    notes = []
    for what, pairs in (
        ("patients", {(line.file, line.patient) for line in listed}),
        ("sources", {(line.file, line.source) for line in listed if line.source}),
    ):
        several = [name for name, num in Counter(name for name, _ in pairs).items() if num > 1]
        if several:
            notes.append(f"{len(several):,} file(s) are listed with several {what}, such as {min(several)}; the first counts")
    return notes


def _as_images(name: str, listed: list[_Line], notes: list[str], problems: list[str]) -> FileImages:
    """Images in the order of their first lines, one for every file of every part."""
    sources: dict[str, str] = {}
    patients: dict[str, str] = {}
    first: dict[tuple[str, str], tuple[_Line, Path]] = {}
    for line in listed:
        patients.setdefault(line.file, line.patient)
        if line.source:
            sources.setdefault(line.file, line.source)
        if line.folder is not None:
            first.setdefault((line.part, line.file), (line, line.folder / line.file))
    lines = [line for line, _ in first.values()]
    classes, unclear = _classes(listed)
    groups, several = one_spelling(
        [f"{sources[line.file]}/{patients[line.file]}" if line.file in sources else patients[line.file] for line in lines]
    )
    odd = tuple(Problem(f"patient {each.names[0]}", f"is written {' and '.join(each.names)}", "one patient") for each in several)
    return FileImages(
        name=name,
        class_names=classes,
        ids=tuple(f"{line.part}/{line.file}" for line in lines),
        paths=tuple(path for _, path in first.values()),
        labels_N=np.array([classes.index(line.label) for line in lines], dtype=np.int64),
        groups=tuple(groups),
        sites=tuple(one_spelling([sources.get(line.file, "unknown") for line in lines])[0]),
        published_split=tuple(line.part for line in lines),
        file_keys=tuple(line.file for line in lines),
        notes=tuple(notes),
        problems=tuple(problems),
        default_positive="positive" if classes == TWO_CLASS_NAMES else "covid-19",
        odd=odd,
        unclear=unclear,
    )


def _classes(listed: list[_Line]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The classes of the lists: three, or two; where lists mix both, all that occur, and why some of them are not clear."""
    counts = Counter(line.label for line in listed)
    two = [name for name in TWO_CLASS_NAMES if name in counts]
    if not two or not any(name in counts for name in CLASS_NAMES):
        return (TWO_CLASS_NAMES if two else CLASS_NAMES), {}
    places = {line.label: line.place for line in reversed(listed)}
    why = {"positive": "covid-19 or a class of its own", "negative": "normal, pneumonia or a class of its own"}
    unclear = {
        name: f"label {name!r} of {counts[name]:,} line(s), such as {places[name]}, "
        f"stands among {', '.join(CLASS_NAMES)}: {why[name]}"
        for name in two
    }
    return (*CLASS_NAMES, *two), unclear
