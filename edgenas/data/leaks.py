"""What lies in more than one published part: by file, by picture, by patient; and leaving it out.

Shapes: N images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from edgenas.data.base import PARTS, ImageSource


@dataclass(frozen=True, slots=True)
class Overlap:
    """What two published parts share.

    Attributes:
        first, second: the parts, in the order train, val, test.
        files: images of ``second`` whose file is listed in ``first`` too, by id.
        pictures: other images of ``second`` that show just what one of ``first`` does, with that one's id.
        patients: groups with images in both, with their counts there.
        beyond: how many of these patients share neither a file nor a picture.
    """

    first: str
    second: str
    files: tuple[str, ...]
    pictures: tuple[tuple[str, str], ...]
    patients: tuple[tuple[str, int, int], ...]
    beyond: int

    def __str__(self) -> str:
        named = [f"{len(self.files)} files"] if self.files else []
        named += [f"{len(self.pictures)} further pictures"] if self.pictures else []
        if self.patients:
            rest = f", {self.beyond} of them with neither" if named else ""
            named.append(f"{len(self.patients)} patients{rest}")
        return f"{self.first} and {self.second} share {' and '.join(named)}"

    @property
    def lines(self) -> list[str]:
        """One line for everything that is shared."""
        lines = [f"{name} is in {self.first} too: the same file" for name in self.files]
        lines += [f"{name} shows the same as {other} of {self.first}" for name, other in self.pictures]
        for group, here, there in self.patients:
            lines.append(f"patient {group} has {here} image(s) in {self.first} and {there} in {self.second}")
        return lines


def find_overlaps(source: ImageSource, shown: Sequence[str]) -> list[Overlap]:
    """What published parts share, for every two of them that share anything.

    Args:
        source: with or without published parts.
        shown: hash of every image's picture, empty where unknown.
    """
    if source.published_split is None:
        return []
    parts_N = np.array(source.published_split)
    keys = source.file_keys if source.file_keys is not None else source.ids
    leaks = [_between(source, keys, shown, parts_N, first, second) for first, second in combinations(PARTS, 2)]
    return [overlap for overlap in leaks if overlap.files or overlap.pictures or overlap.patients]


def _between(
    source: ImageSource, keys: Sequence[str], shown: Sequence[str], parts_N: NDArray[np.str_], first: str, second: str
) -> Overlap:
    here, there = np.flatnonzero(parts_N == first).tolist(), np.flatnonzero(parts_N == second).tolist()
    files_here = {keys[i] for i in here}
    pictures_here = {shown[i]: i for i in reversed(here) if shown[i]}
    same_file = [i for i in there if keys[i] in files_here]
    rest = [i for i in there if keys[i] not in files_here and shown[i] in pictures_here]
    patients: list[tuple[str, int, int]] = []
    beyond = 0
    if source.groups is not None:
        groups = source.groups
        counts_here, counts_there = _counts(groups, here), _counts(groups, there)
        both = [group for group in counts_here if group in counts_there]
        patients = [(group, counts_here[group], counts_there[group]) for group in both]
        explained = {groups[i] for i in (*same_file, *rest)}
        beyond = sum(group not in explained for group in both)
    ids = source.ids
    pictures = tuple((ids[i], ids[pictures_here[shown[i]]]) for i in rest)
    return Overlap(first, second, tuple(ids[i] for i in same_file), pictures, tuple(patients), beyond)


def _counts(groups: Sequence[str], positions: Sequence[int]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for position in positions:
        counts[groups[position]] = counts.get(groups[position], 0) + 1
    return counts


def linked(source: ImageSource, shown: Sequence[str]) -> NDArray[np.int64]:
    """Number of the cluster of every image, shape (N,): images that share file, picture or patient, also by way of others."""
    keys = source.file_keys if source.file_keys is not None else source.ids
    kinds: list[Sequence[str]] = [keys, [picture or f"unknown {i}" for i, picture in enumerate(shown)]]
    kinds += [source.groups] if source.groups is not None else []
    num = len(keys)
    rows, columns, width = [], [], 0
    for names in kinds:
        positions: dict[str, int] = {}
        columns.append(np.array([positions.setdefault(name, len(positions)) for name in names], dtype=np.int64) + width)
        rows.append(np.arange(num))
        width += len(positions)
    edges = (np.concatenate(rows), np.concatenate(columns) + num)
    graph = coo_array((np.ones(len(edges[0]), dtype=np.int8), edges), shape=(num + width, num + width))
    _, labels = connected_components(graph, directed=False)
    result: NDArray[np.int64] = labels[:num].astype(np.int64)
    return result


def images_to_drop(source: ImageSource, clusters_N: NDArray[np.int64], drop: Sequence[str]) -> dict[int, str]:
    """Which images must go so that no cluster lies in several parts, with the reason, by position.

    Args:
        source: with published parts.
        clusters_N: as `linked` gives them.
        drop: the parts that give way: ``val`` to test, ``train`` to what is left of val and to test.
    """
    assert source.published_split is not None
    parts_N = np.array(source.published_split)
    gone: dict[int, str] = {}
    for part, kept in (("val", ("test",)), ("train", ("val", "test"))):
        if part not in drop:
            continue
        stays_N = np.isin(parts_N, kept)
        stays_N[list(gone)] = False
        taken = set(clusters_N[stays_N].tolist())
        for position in np.flatnonzero(parts_N == part).tolist():
            if clusters_N[position] in taken:
                gone[position] = f"in {part}, linked to images of {' or '.join(kept)}"
    return gone


def contradictions(source: ImageSource, shown: Sequence[str]) -> list[str]:
    """A line for every picture that has several labels."""
    labels: dict[str, dict[int, str]] = {}
    for position, picture in enumerate(shown):
        if picture:
            labels.setdefault(picture, {}).setdefault(int(source.labels_N[position]), source.ids[position])
    return [
        "the same picture is " + " and ".join(f"{name} ({source.class_names[label]})" for label, name in found.items())
        for found in labels.values()
        if len(found) > 1
    ]
