"""What images show alike, and how that is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgenas.data.base import ImageSource
from edgenas.data.leaks import Overlap
from edgenas.data.near import NearDuplicates, NearPair
from edgenas.data.problems import Problem
from edgenas.percents import percent

_NAMED = 3  # examples in a warning


@dataclass(frozen=True, slots=True)
class SeenImages:
    """What images show: a hash of every picture, and pairs that are nearly the same."""

    shown: Sequence[str]
    near: Sequence[NearPair]

    def only(self, kept: Sequence[int]) -> SeenImages:
        """The same of some images; a pair whose image goes is one of another image that shows just the same."""
        shown = [self.shown[position] for position in kept]
        place = {picture: at for at, picture in reversed(list(enumerate(shown)))}
        pairs = ((place.get(self.shown[pair.first]), place.get(self.shown[pair.second]), pair.difference) for pair in self.near)
        left = [NearPair(min(one, two), max(one, two), diff) for one, two, diff in pairs if one is not None and two is not None]
        return SeenImages(shown, left)


def near_warning(source: ImageSource, seen: SeenImages, near: NearDuplicates, overlaps: Sequence[Overlap]) -> str:
    """What is nearly the same, and whether it lies in one split."""
    ids = source.ids
    line = f"{replace(near, pairs=tuple(seen.near))}"
    torn = [overlap for overlap in overlaps if overlap.near]
    if torn:
        shared = "; ".join(map(str, torn))
        return f"{line}: {shared}; --drop-overlap train takes them out of train, those of one part stay in one split"
    examples = [f"{ids[pair.first]} and {ids[pair.second]}" for pair in seen.near]
    return f"{line}, kept in one split: {some(examples)}"


def alike(source: ImageSource, seen: SeenImages) -> list[Problem]:
    """Images that show what another one shows, wholly or nearly, and where they went."""
    ids, parts, rows = source.ids, source.published_split, []
    first: dict[str, int] = {}
    for position, picture in enumerate(seen.shown):
        earlier = first.setdefault(picture, position)
        if picture and earlier != position:
            rows.append(Problem(ids[position], f"shows the same as {ids[earlier]}", "kept in one split"))
    for pair in seen.near:
        apart = parts is not None and parts[pair.first] != parts[pair.second]
        done = "kept in both published parts" if apart else "kept in one split"
        rows.append(
            Problem(ids[pair.second], f"is nearly the same as {ids[pair.first]} (differs by {percent(pair.difference)})", done)
        )
    return rows


def joined_patients(source: ImageSource, seen: SeenImages) -> str:
    """Which patients stay in one split together because they share a picture, wholly or nearly; empty where none do."""
    groups, parts = source.groups, source.published_split
    if groups is None:
        return ""
    first: dict[str, int] = {}
    pairs = [(first.setdefault(picture, at), at) for at, picture in enumerate(seen.shown) if picture]
    pairs += [(pair.first, pair.second) for pair in seen.near]
    together = [(one, two) for one, two in pairs if groups[one] != groups[two] and (parts is None or parts[one] == parts[two])]
    names = [f"{one} and {two}" for one, two in dict.fromkeys(tuple(sorted((groups[a], groups[b]))) for a, b in together)]
    if not names:
        return ""
    return f"patients that share a picture, wholly or nearly, stay in one split together: {some(names)}"


def some(names: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = f"; {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return "; ".join(names[:_NAMED]) + more
