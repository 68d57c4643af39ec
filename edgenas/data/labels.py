"""From labels as they are written to classes: renamed as asked, one class for one name, and never two that look alike.

Shapes: N images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgenas.data.base import ImageSource
from edgenas.data.clutter import clutter_in, is_clutter
from edgenas.data.files import FileImages
from edgenas.data.names import spellings, tidy
from edgenas.data.problems import Problem, odd_of
from edgenas.data.subset import without

_STORAGE = "is made by a storage system"


@dataclass(frozen=True, slots=True, eq=False)
class Relabelled:
    """The images of ``whole`` with other classes."""

    whole: ImageSource
    name: str
    class_names: tuple[str, ...]
    labels_N: NDArray[np.int64]
    ids: tuple[str, ...]
    groups: tuple[str, ...] | None
    sites: tuple[str, ...] | None
    published_split: tuple[str, ...] | None
    file_keys: tuple[str, ...] | None
    notes: tuple[str, ...]
    problems: tuple[str, ...]
    odd: tuple[Problem, ...]
    default_space: str
    default_image_px: int
    default_positive: str | None

    def path(self, index: int) -> Path | None:
        """As the whole source's."""
        return self.whole.path(index)

    def load(self, index: int) -> Image.Image:
        """As the whole source's."""
        return self.whole.load(index)

    def content(self, index: int) -> bytes:
        """As the whole source's."""
        return self.whole.content(index)


def settle(source: ImageSource, map_label: Mapping[str, str]) -> ImageSource:
    """The source with its classes renamed and made one where they are one; itself where nothing is to be done.

    Images below folders that storage systems made for themselves are left out first.

    Args:
        source: with labels as they are written.
        map_label: new name by old one. An empty new name leaves the images out; the old name again says that it is a class, where
            it looks like a missing value.

    Returns:
        A source whose ``problems`` also say which labels are not known, missing, or look alike and may be different.
    """
    odd: list[Problem] = []
    source = _without_clutter(source, odd)
    renamed, problems = _renamed(source, map_label)
    names = _merged(source, renamed, problems, odd)
    problems += _empty(source, names)
    gone = {index for index, name in enumerate(names) if name is None}
    if not problems and not odd and not gone and names == list(source.class_names):
        return source
    return _relabelled(source, names, (*source.problems, *problems), (*odd_of(source), *odd))


def _without_clutter(source: ImageSource, odd: list[Problem]) -> ImageSource:
    """Leave out images in folders that are no data, and classes that are such folders."""
    cluttered = {name: part for name in source.ids if (part := clutter_in(name)) is not None}
    for part, num in Counter(cluttered.values()).items():
        odd.append(Problem(part, f"{_STORAGE}; {num:,} image(s) are in it", "left out"))
    return without(source, cluttered)


def _renamed(source: ImageSource, map_label: Mapping[str, str]) -> tuple[list[str | None], list[str]]:
    """The name asked for of every class, None where it goes, and what is wrong."""
    asked = {tidy(old): tidy(new) for old, new in map_label.items()}
    wanted = {**asked, **{name: tidy(map_label[name]) for name in source.class_names if name in map_label}}
    known = {*source.class_names, *(tidy(name) for name in source.class_names)}
    problems = [
        f"map_label renames {old!r}, which is no label of the data; labels are {_listed(source.class_names)}"
        for old in asked
        if old not in known
    ]
    unclear = source.unclear if isinstance(source, FileImages) else {}
    names: list[str | None] = []
    counts_K = np.bincount(source.labels_N, minlength=len(source.class_names)).tolist()
    for name, num in zip(source.class_names, counts_K, strict=True):
        new = wanted.get(name, wanted.get(tidy(name), tidy(name)))
        if (num == 0 and is_clutter(name, folder=True)) or (not new and tidy(name) in asked):
            names.append(None)
            continue
        if name in unclear and tidy(name) not in asked:
            problems.append(f"{unclear[name]}; {_choices(tidy(name))}")
        names.append(new or name)
    return names, problems


def _choices(name: str) -> str:
    words = [f"--map-label '{name}=NAME' gives these images a class", f"--map-label '{name}=' leaves them out"]
    words += [f"--map-label '{name}={name}' says that it is a class"] if name else []
    return ", ".join(words)


def _merged(source: ImageSource, renamed: Sequence[str | None], problems: list[str], odd: list[Problem]) -> list[str | None]:
    """One name for every class; ``problems`` takes those that look alike and may be different."""
    one: dict[str, str] = {}
    for group in spellings(name for name in renamed if name is not None):
        if group.one is None:
            listed = " and ".join(repr(name) for name in group.names)
            example = f"--map-label '{group.names[1]}={group.names[0]}'"
            problems.append(f"labels {listed} look alike: say which is which, as with {example}")
        one |= {name: name if group.one is None else group.one for name in group.names}
    names = [None if name is None else one[name] for name in renamed]
    for now in dict.fromkeys(name for name in names if name is not None):
        before = [old for old, name in zip(source.class_names, names, strict=True) if name == now]
        if before != [now]:
            odd.append(Problem(now, f"is written {' and '.join(map(repr, before))}", "one class"))
    for old, name in zip(source.class_names, names, strict=True):
        if name is None and not is_clutter(old, folder=True):
            odd.append(Problem(old, "is left out by map_label", "left out"))
    return names


def _empty(source: ImageSource, names: Sequence[str | None]) -> list[str]:
    """What is to be said of labels that lack images, where no other label became one class with them."""
    if not isinstance(source, FileImages):
        return []
    now = dict(zip(source.class_names, names, strict=True))
    return [line for label, line in source.empty if now[label] is not None and names.count(now[label]) == 1]


def _relabelled(
    source: ImageSource, names: Sequence[str | None], problems: tuple[str, ...], odd: tuple[Problem, ...]
) -> ImageSource:
    """The source with these names; classes stay sorted where they were, else in their order."""
    gone = {position for position, name in enumerate(names) if name is None}
    kept = without(source, [name for name, label in zip(source.ids, source.labels_N.tolist(), strict=True) if label in gone])
    class_names = list(dict.fromkeys(name for name in names if name is not None))
    if list(source.class_names) == sorted(source.class_names):
        class_names.sort()
    index_of = {name: position for position, name in enumerate(class_names)}
    new_K = np.array([-1 if name is None else index_of[name] for name in names], dtype=np.int64)
    if len(class_names) < 2 <= len(source.class_names):
        problems = (*problems, f"{source.name} has {len(class_names)} class(es); at least 2 are needed")
    default = dict(zip(source.class_names, names, strict=True)).get(source.default_positive or "")
    return Relabelled(
        whole=kept,
        name=source.name,
        class_names=tuple(class_names),
        labels_N=new_K[kept.labels_N],
        ids=kept.ids,
        groups=kept.groups,
        sites=kept.sites,
        published_split=kept.published_split,
        file_keys=kept.file_keys,
        notes=(*source.notes, *_notes(odd[len(odd_of(source)) :])),
        problems=problems,
        odd=odd,
        default_space=source.default_space,
        default_image_px=source.default_image_px,
        default_positive=default,
    )


def _notes(odd: Sequence[Problem]) -> list[str]:
    """A line for every name, and one for all folders of storage systems."""
    folders = [each for each in odd if each.what.startswith(_STORAGE)]
    notes = [f"{each.path!r} {each.what}: {each.done}" for each in odd if not each.what.startswith(_STORAGE)]
    if folders:
        notes.append(f"images in {len(folders):,} folder(s) that storage systems made are left out, such as {folders[0].path}")
    return notes


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(map(repr, names[:10])) + more
