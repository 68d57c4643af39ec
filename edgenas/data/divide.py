"""From a source as it is found to splits that cannot leak: every problem at once, nothing left out that was not asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from edgenas.data.alike import SeenImages, alike, joined_patients, near_warning, some
from edgenas.data.allocate import ValAs
from edgenas.data.base import ImageSource
from edgenas.data.inspect import Inspection
from edgenas.data.leaks import Overlap, contradictions, find_overlaps, images_to_drop, linked
from edgenas.data.near import NearDuplicates, find_near
from edgenas.data.problems import Problem, odd_of
from edgenas.data.splits import DEFAULT_FRACTIONS, Splits, fingerprint_of, make_splits
from edgenas.data.subset import without
from edgenas.errors import DataError
from edgenas.fields import Count, CountOrZero, require_allowed


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
        max_per_class: images of every class that are drawn before (`draw_per_class`), of what is not published as test; None for
            all of them. `divide` itself draws none.
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
        joined: which patients are kept together because they share pictures; empty where none are.
    """

    source: ImageSource
    splits: Splits
    warnings: tuple[str, ...]
    problems: tuple[Problem, ...]
    joined: str = ""


def divide(
    source: ImageSource,
    inspected: Inspection,
    how: Division,
    *,
    left_out: Mapping[str, str] = MappingProxyType({}),
    near: NearDuplicates | None = None,
) -> Divided:
    """Check everything, leave out what may be, and divide the rest.

    Images of one file, one patient, one picture or nearly one picture stay in one split.

    Args:
        source: as `scan_source` gives it.
        inspected: by looking at every image of it.
        how: seed, shares and what may be left out.
        left_out: the reason by id of every image that ``source`` lacks already.
        near: pictures of ``source`` that are nearly the same; None looks for them, where ``how`` asks for it.

    Raises:
        DataError: listing every problem: of the layout, images that cannot be decoded, overlapping parts, classes with too few
            images; and what leaves it out.
    """
    near = near if near is not None else _look_for_near(source, inspected, how)
    what = _sort_out(source, inspected, how, near)
    complaint = _complaint_of(source, what, how)
    splits = None
    if not what.is_torn:  # else every class count would change
        try:
            splits = _split(what.kept, what.kept_seen, how)
        except DataError as error:
            complaint.add(_about_classes(error, source, what, near, how))
    if complaint.facts or splits is None:
        text = f"{source.name} cannot be used: {', '.join(complaint.facts)}"
        raise DataError(text, problems=complaint.problems, hint="; ".join(complaint.hints))
    contents = [content for name, content in zip(source.ids, inspected.contents, strict=True) if name not in what.excluded]
    excluded = {**left_out, **what.excluded}
    splits = replace(splits, fingerprint=fingerprint_of(what.kept, contents), excluded=excluded, options=how.options)
    several = contradictions(what.good, what.seen.shown, what.seen.near)
    warnings = _warnings(what.broken, what.dropped, [line for _, line in several])
    if near.too_alike:
        alone = f"{near.too_alike:,} images would count as one"
        warnings.append(f"pictures are too alike to tell near-duplicates from others ({alone}): copies may be in several splits")
    if what.kept_seen.near:
        warnings.append(near_warning(what.kept, what.kept_seen, near, what.overlaps))
    rows = [Problem(name, reason, "left out") for name, reason in what.excluded.items()]
    rows += [Problem(name, line, "kept, with all labels") for name, line in several]
    problems = (*odd_of(source), *rows, *alike(what.kept, what.kept_seen))
    return Divided(what.kept, splits, tuple(warnings), problems, joined_patients(what.kept, what.kept_seen))


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Images that may be used, and the others.

    Attributes:
        good: the source without broken images.
        seen: what the good ones show.
        kept: the source without dropped ones either.
        kept_seen: what these show.
        broken, dropped: reasons by id.
        overlaps: of published parts that are left.
    """

    good: ImageSource
    seen: SeenImages
    kept: ImageSource
    kept_seen: SeenImages
    broken: Mapping[str, str]
    dropped: Mapping[str, str]
    overlaps: Sequence[Overlap]

    @property
    def excluded(self) -> dict[str, str]:
        """Reasons by id of whatever is left out."""
        return {**self.broken, **self.dropped}

    @property
    def is_torn(self) -> bool:
        """Whether published parts certainly share something."""
        return any(overlap.is_certain for overlap in self.overlaps)


@dataclass(frozen=True, slots=True)
class _Complaint:
    """What is wrong; lists that grow while data are looked at."""

    facts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    def add(self, other: _Complaint) -> None:
        """Append what is wrong elsewhere."""
        self.facts.extend(other.facts)
        self.problems.extend(other.problems)
        self.hints.extend(other.hints)


def _sort_out(source: ImageSource, inspected: Inspection, how: Division, near: NearDuplicates) -> _Sorted:
    broken = {source.ids[position]: reason for position, reason in inspected.broken.items()}
    good = without(source, broken)
    seen = SeenImages(inspected.shown, near.pairs).only([p for p in range(len(inspected.shown)) if p not in inspected.broken])
    dropped, overlaps = _without_overlaps(good, seen, how)
    kept_seen = seen.only([p for p, name in enumerate(good.ids) if name not in dropped])
    return _Sorted(good, seen, without(good, dropped), kept_seen, broken, dropped, overlaps)


def _complaint_of(source: ImageSource, what: _Sorted, how: Division) -> _Complaint:
    """What is wrong with layout, files and parts."""
    complaint = _Complaint(problems=list(source.problems))
    if source.problems:
        complaint.facts.append(f"{len(source.problems)} problem(s) of layout")
    if what.broken and not how.skip_bad_images:
        bad = _Complaint([f"{len(what.broken):,} image(s) cannot be used"], list(what.broken.values()))
        bad.hints.append("--skip-bad-images leaves the bad images out")
        complaint.add(bad)
    if what.is_torn:
        torn = _Complaint(["published parts overlap: " + "; ".join(map(str, what.overlaps))])
        torn.problems.extend(line for overlap in what.overlaps for line in overlap.lines)
        torn.hints.append(_drop_hint(what.good, what.seen, how))
        complaint.add(torn)
    return complaint


def _about_classes(error: DataError, source: ImageSource, what: _Sorted, near: NearDuplicates, how: Division) -> _Complaint:
    """That classes cannot be in every split, and what may help."""
    empty = tuple(f"class {name!r} has 0 images" for name in what.kept.class_names) if source.problems else ()
    hints = [error.hint] if error.hint else []
    if how.max_per_class is not None:
        hints.append(f"data.max_per_class is {how.max_per_class}; a larger one draws more")
    if what.kept_seen.near:
        hints.append(f"{near}; --set data.near_duplicates=false lets them part")
    return _Complaint([error.message], [line for line in error.problems if not line.startswith(empty)], hints)


def _look_for_near(source: ImageSource, inspected: Inspection, how: Division) -> NearDuplicates:
    if not how.near_duplicates:
        return NearDuplicates()
    *_, near = find_near(inspected.sketches_ND, source.labels_N, inspected.shown)
    assert isinstance(near, NearDuplicates)
    return near


def _without_overlaps(source: ImageSource, seen: SeenImages, how: Division) -> tuple[dict[str, str], list[Overlap]]:
    """Ids to drop with reasons, and what would still overlap."""
    overlaps = find_overlaps(source, seen.shown, seen.near)
    if not overlaps or not how.drop_overlap:
        return {}, overlaps
    gone = images_to_drop(source, linked(source, seen.shown, seen.near), how.drop_overlap)
    dropped = {source.ids[position]: reason for position, reason in gone.items()}
    left = seen.only([position for position in range(len(seen.shown)) if position not in gone])
    return dropped, find_overlaps(without(source, dropped), left.shown, left.near)


def _drop_hint(source: ImageSource, seen: SeenImages, how: Division) -> str:
    """The option that would fix it, with its price."""
    parts: tuple[Literal["train", "val"], ...] = ("train",) if "train" not in how.drop_overlap else ("train", "val")
    gone = images_to_drop(source, linked(source, seen.shown, seen.near), parts)
    flags = " ".join(f"--drop-overlap {part}" for part in parts)
    keeps = "val and test" if parts == ("train",) else "test"
    return f"{flags} keeps {keeps} and leaves out {len(gone):,} image(s) that overlap, with all others of their patients"


def _split(source: ImageSource, seen: SeenImages, how: Division) -> Splits:
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
        lines.append(f"left out {len(broken):,} image(s) that cannot be used: {some(list(broken.values()))}")
    if dropped:
        lines.append(f"left out {len(dropped):,} image(s) that overlap other parts: {some(list(dropped))}")
    if contradicting:
        lines.append(f"{len(contradicting):,} picture(s) have several labels: {some(contradicting)}")
    return lines
