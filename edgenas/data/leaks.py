"""What lies in more than one published part: by file, by picture, by patient, nearly; and leaving it out.

Shapes: N images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import scipy
from numpy.typing import NDArray

from edgenas.data.base import PARTS, ImageSource
from edgenas.data.near import NearPair


@dataclass(frozen=True, slots=True)
class Overlap:
    """What two published parts share.

    Attributes:
        first, second: the parts, in the order train, val, test.
        files: images of ``second`` whose file is listed in ``first`` too, by id.
        pictures: other images of ``second`` that show just what one of ``first`` does, with that one's id.
        patients: groups with images in both, with their counts there.
        beyond: how many of these patients share neither a file nor a picture.
        near: further images of ``second`` that nearly show what one of ``first`` does, with that one's id.
    """

    first: str
    second: str
    files: tuple[str, ...]
    pictures: tuple[tuple[str, str], ...]
    patients: tuple[tuple[str, int, int], ...]
    beyond: int
    near: tuple[tuple[str, str], ...] = ()

    @property
    def is_certain(self) -> bool:
        """Whether anything is shared for sure: what is only nearly the same may be something else."""
        return bool(self.files or self.pictures or self.patients)

    def __str__(self) -> str:
        named = [f"{len(self.files)} files"] if self.files else []
        named += [f"{len(self.pictures)} further pictures"] if self.pictures else []
        if self.patients:
            rest = f", {self.beyond} of them with neither" if named else ""
            named.append(f"{len(self.patients)} patients{rest}")
        named += [f"{len(self.near)} near-duplicates"] if self.near else []
        return f"{self.first} and {self.second} share {' and '.join(named)}"

    @property
    def lines(self) -> list[str]:
        """One line for everything that is shared."""
        lines = [f"{name} is in {self.first} too: the same file" for name in self.files]
        lines += [f"{name} shows the same as {other} of {self.first}" for name, other in self.pictures]
        lines += [f"{name} is nearly the same as {other} of {self.first}" for name, other in self.near]
        for group, here, there in self.patients:
            lines.append(f"patient {group} has {here} image(s) in {self.first} and {there} in {self.second}")
        return lines


def find_overlaps(source: ImageSource, shown: Sequence[str], near: Sequence[NearPair] = ()) -> list[Overlap]:
    """What published parts share, for every two of them that share anything.

    Args:
        source: with or without published parts.
        shown: hash of every image's picture, empty where unknown.
        near: pictures that are nearly the same.
    """
    if source.published_split is None:
        return []
    parts_N = np.array(source.published_split)
    keys = source.file_keys if source.file_keys is not None else source.ids
    leaks = [
        replace(
            _between(source, keys, shown, parts_N, first, second),
            near=tuple(_near_between(source, shown, near, parts_N, first, second)),
        )
        for first, second in combinations(PARTS, 2)
    ]
    return [overlap for overlap in leaks if overlap.is_certain or overlap.near]


def _near_between(
    source: ImageSource, shown: Sequence[str], near: Sequence[NearPair], parts_N: NDArray[np.str_], first: str, second: str
) -> Iterator[tuple[str, str]]:
    """Every image of ``second``, once, with one of ``first``; equal pictures of either are those of its pair."""
    here, there = _by_picture(shown, parts_N == first), _by_picture(shown, parts_N == second)
    told = set()
    for pair in near:
        for one, other in ((pair.first, pair.second), (pair.second, pair.first)):
            for position in there.get(shown[other], ()):
                if shown[one] in here and shown[other] not in here and position not in told:
                    told.add(position)
                    yield source.ids[position], source.ids[here[shown[one]][0]]


def _by_picture(shown: Sequence[str], wanted_N: NDArray[np.bool_]) -> dict[str, list[int]]:
    """Positions of the wanted images by picture."""
    result: dict[str, list[int]] = {}
    for position in np.flatnonzero(wanted_N).tolist():
        result.setdefault(shown[position], []).append(position)
    return result


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


def linked(source: ImageSource, shown: Sequence[str], near: Sequence[NearPair] = ()) -> NDArray[np.int64]:
    """Number of the cluster of every image, shape (N,).

    A cluster shares file, picture (or nearly) or patient, also by way of others.
    """
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
    rows.append(np.array([pair.first for pair in near], dtype=np.int64))
    columns.append(np.array([pair.second for pair in near], dtype=np.int64) - num)
    edges = (np.concatenate(rows), np.concatenate(columns) + num)
    graph = scipy.sparse.coo_array((np.ones(len(edges[0]), dtype=np.int8), edges), shape=(num + width, num + width))
    _, labels = scipy.sparse.csgraph.connected_components(graph, directed=False)
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


def contradictions(source: ImageSource, shown: Sequence[str], near: Sequence[NearPair] = ()) -> list[tuple[str, str]]:
    """Every picture that has several labels: the id of one of its images, and a line that says it."""
    labels: dict[str, dict[int, str]] = {}
    for position, picture in enumerate(shown):
        if picture:
            labels.setdefault(picture, {}).setdefault(int(source.labels_N[position]), source.ids[position])
    contradicting = [
        (next(iter(names.values())), "the same picture is " + " and ".join(_labelled(source, *item) for item in names.items()))
        for names in labels.values()
        if len(names) > 1
    ]
    for pair in near:
        one, other = (int(source.labels_N[position]) for position in (pair.first, pair.second))
        if one != other:
            names = _labelled(source, one, source.ids[pair.first]), _labelled(source, other, source.ids[pair.second])
            contradicting.append((source.ids[pair.first], f"nearly the same picture is {names[0]} and {names[1]}"))
    return contradicting


def _labelled(source: ImageSource, label: int, name: str) -> str:
    return f"{name} ({source.class_names[label]})"
