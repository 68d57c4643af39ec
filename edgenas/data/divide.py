"""From a source as it is found to splits that cannot leak: every problem at once, nothing left out that was not asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from edgenas.data.allocate import ValAs
from edgenas.data.base import ImageSource
from edgenas.data.inspect import Inspection
from edgenas.data.leaks import Overlap, contradictions, find_overlaps, images_to_drop, linked
from edgenas.data.near import NearDuplicates, NearPair, find_near
from edgenas.data.problems import Problem, odd_of
from edgenas.data.splits import DEFAULT_FRACTIONS, Splits, fingerprint_of, make_splits
from edgenas.data.subset import without
from edgenas.errors import DataError
from edgenas.fields import Count, CountOrZero, require_allowed

_NAMED = 3  # examples in a warning


@dataclass(frozen=True, slots=True)
class Division:
    """How data are to be divided.

    Attributes:
        fractions: share of every split, summing to 1, where the data bring none.
        seed: of the shuffle.
        skip_bad_images: leave out images that cannot be decoded instead of refusing the data.
        drop_overlap: published parts that give way where parts overlap.
        map_label: how the source's labels were renamed, to be stored beside the splits.
        near_duplicates: keep images that are nearly the same in one split.
        select_per_class, val_as: as in `make_splits`.
        max_per_class: images of every class that were drawn before (`draw_per_class`), of what is not published as test; None for
            all of them.
    """

    fractions: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_FRACTIONS))
    seed: CountOrZero = 0
    skip_bad_images: bool = False
    drop_overlap: tuple[Literal["train", "val"], ...] = ()
    map_label: Mapping[str, str] = field(default_factory=dict)
    near_duplicates: bool = True
    select_per_class: Count | None = None
    val_as: ValAs = "select"
    max_per_class: Count | None = None

    def __post_init__(self) -> None:
        require_allowed(self)

    @property
    def options(self) -> dict[str, object]:
        """What is stored beside seed and fractions."""
        return {
            "skip_bad_images": self.skip_bad_images,
            "drop_overlap": list(self.drop_overlap),
            "map_label": dict(self.map_label),
            "near_duplicates": self.near_duplicates,
            "select_per_class": self.select_per_class,
            "val_as": self.val_as,
            "max_per_class": self.max_per_class,
        }


@dataclass(frozen=True, slots=True)
class Divided:
    """Splits of a source without what was left out.

    Attributes:
        source: without the excluded images.
        warnings: what was left out and what looks wrong, a line each.
        problems: everything odd, one image or name each.
    """

    source: ImageSource
    splits: Splits
    warnings: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What images show: a hash of every picture, and pairs that are nearly the same."""

    shown: Sequence[str]
    near: Sequence[NearPair]

    def only(self, kept: Sequence[int]) -> _Seen:
        """The same of some images; a pair whose image goes is one of another image that shows just the same."""
        shown = [self.shown[position] for position in kept]
        place = {picture: at for at, picture in reversed(list(enumerate(shown)))}
        pairs = ((place.get(self.shown[pair.first]), place.get(self.shown[pair.second]), pair.difference) for pair in self.near)
        left = [NearPair(min(one, two), max(one, two), diff) for one, two, diff in pairs if one is not None and two is not None]
        return _Seen(shown, left)


def divide(
    source: ImageSource,
    found: Inspection,
    how: Division,
    *,
    left_out: Mapping[str, str] = MappingProxyType({}),
    near: NearDuplicates | None = None,
) -> Divided:
    """Check everything, leave out what may be, and divide the rest.

    Images of one file, one patient, one picture or nearly one picture stay in one split.

    Args:
        source: as `scan_source` gives it.
        found: by looking at every image of it.
        how: seed, shares and what may be left out.
        left_out: the reason by id of every image that ``source`` lacks already.
        near: pictures of ``source`` that are nearly the same; None looks for them, where ``how`` asks for it.

    Raises:
        DataError: listing every problem: of the layout, images that cannot be decoded, overlapping parts, classes with too few
            images; and what leaves it out.
    """
    facts, problems, hints = [], list(source.problems), []
    if source.problems:
        facts.append(f"{len(source.problems)} problem(s) of layout")
    broken = {source.ids[position]: reason for position, reason in found.broken.items()}
    if broken and not how.skip_bad_images:
        facts.append(f"{len(broken)} image(s) cannot be used")
        problems += broken.values()
        hints.append("--skip-bad-images leaves the bad images out")
    good = without(source, broken)
    near = near if near is not None else _look_for_near(source, found, how)
    seen = _Seen(found.shown, near.pairs).only([p for p in range(len(found.shown)) if p not in found.broken])
    dropped, overlaps = _without_overlaps(good, seen, how)
    certain = any(overlap.is_certain for overlap in overlaps)
    if certain:
        facts.append("published parts overlap: " + "; ".join(map(str, overlaps)))
        problems += [line for overlap in overlaps for line in overlap.lines]
        hints.append(_drop_hint(good, seen, how))
    kept = without(good, dropped)
    excluded = {**broken, **dropped}
    kept_seen = seen.only([p for p, name in enumerate(good.ids) if name not in dropped])
    splits = None
    if not certain:  # else every class count would change
        try:
            splits = _split(kept, kept_seen, how)
        except DataError as error:
            facts.append(error.message)
            empty = tuple(f"class {name!r} has 0 images" for name in kept.class_names) if source.problems else ()
            problems += [line for line in error.problems if not line.startswith(empty)]
            hints += [error.hint] if error.hint else []
            if how.max_per_class is not None:
                hints.append(f"data.max_per_class is {how.max_per_class}; a larger one draws more")
            if kept_seen.near:
                hints.append(f"{near}; --set data.near_duplicates=false lets them part")
    if facts or splits is None:
        raise DataError(f"{source.name} cannot be used: {', '.join(facts)}", problems=problems, hint="; ".join(hints))
    contents = [content for name, content in zip(source.ids, found.contents, strict=True) if name not in excluded]
    splits = replace(splits, fingerprint=fingerprint_of(kept, contents), excluded={**left_out, **excluded}, options=how.options)
    several = contradictions(good, seen.shown, seen.near)
    warnings = _warnings(broken, dropped, [line for _, line in several])
    if kept_seen.near:
        warnings.append(_near_warning(kept, kept_seen, near, overlaps))
    rows = [Problem(name, reason, "left out") for name, reason in excluded.items()]
    rows += [Problem(name, line, "kept, with all labels") for name, line in several]
    return Divided(kept, splits, tuple(warnings), (*odd_of(source), *rows, *_alike(kept, kept_seen)))


def _look_for_near(source: ImageSource, found: Inspection, how: Division) -> NearDuplicates:
    if not how.near_duplicates:
        return NearDuplicates()
    *_, near = find_near(found.sketches_ND, source.labels_N, found.shown)
    assert isinstance(near, NearDuplicates)
    return near


def _without_overlaps(source: ImageSource, seen: _Seen, how: Division) -> tuple[dict[str, str], list[Overlap]]:
    """Ids to drop with reasons, and what would still overlap."""
    overlaps = find_overlaps(source, seen.shown, seen.near)
    if not overlaps or not how.drop_overlap:
        return {}, overlaps
    gone = images_to_drop(source, linked(source, seen.shown, seen.near), how.drop_overlap)
    dropped = {source.ids[position]: reason for position, reason in gone.items()}
    left = seen.only([position for position in range(len(seen.shown)) if position not in gone])
    return dropped, find_overlaps(without(source, dropped), left.shown, left.near)


def _drop_hint(source: ImageSource, seen: _Seen, how: Division) -> str:
    """The option that would mend it, with its price."""
    parts: tuple[Literal["train", "val"], ...] = ("train",) if "train" not in how.drop_overlap else ("train", "val")
    gone = images_to_drop(source, linked(source, seen.shown, seen.near), parts)
    flags = " ".join(f"--drop-overlap {part}" for part in parts)
    keeps = "val and test" if parts == ("train",) else "test"
    return f"{flags} keeps {keeps} and leaves out {len(gone)} image(s) that overlap, with all others of their patients"


def _split(source: ImageSource, seen: _Seen, how: Division) -> Splits:
    parts = source.published_split
    within = [pair for pair in seen.near if parts is None or parts[pair.first] == parts[pair.second]]
    clusters_N = linked(source, seen.shown, within)
    apart = len(clusters_N) == len(np.unique(clusters_N))
    return make_splits(
        source.labels_N,
        None if apart else [str(cluster) for cluster in clusters_N.tolist()],
        fractions=how.fractions,
        seed=how.seed,
        published=source.published_split,
        class_names=source.class_names,
        select_per_class=how.select_per_class,
        val_as=how.val_as,
    )


def _warnings(broken: Mapping[str, str], dropped: Mapping[str, str], contradicting: Sequence[str]) -> list[str]:
    lines = []
    if broken:
        lines.append(f"left out {len(broken)} image(s) that cannot be used: {_some(list(broken.values()))}")
    if dropped:
        lines.append(f"left out {len(dropped)} image(s) that overlap other parts: {_some(list(dropped))}")
    if contradicting:
        lines.append(f"{len(contradicting)} picture(s) have several labels: {_some(contradicting)}")
    return lines


def _near_warning(source: ImageSource, seen: _Seen, near: NearDuplicates, overlaps: Sequence[Overlap]) -> str:
    """What is nearly the same, and whether it lies in one split."""
    ids = source.ids
    line = f"{replace(near, pairs=tuple(seen.near))}"
    torn = [overlap for overlap in overlaps if overlap.near]
    if torn:
        shared = "; ".join(map(str, torn))
        return f"{line}: {shared}; --drop-overlap train takes them out of train, those of one part stay in one split"
    examples = [f"{ids[pair.first]} and {ids[pair.second]}" for pair in seen.near]
    return f"{line}, kept in one split: {_some(examples)}"


def _alike(source: ImageSource, seen: _Seen) -> list[Problem]:
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
        rows.append(Problem(ids[pair.second], f"is nearly the same as {ids[pair.first]} (differs by {pair.difference:.1%})", done))
    return rows


def _some(names: Sequence[str]) -> str:
    more = f"; {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return "; ".join(names[:_NAMED]) + more
