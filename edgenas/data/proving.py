"""What a division of images can prove, in words: how high a sensitivity, and what is kept together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from edgenas.data.base import ImageSource
from edgenas.percents import percent
from edgenas.stats import trials_to_prove, wilson

FLOORS = (0.90, 0.95, 0.99)  # of which the next that cannot be proven is named
MAX_SITES = 8  # named one by one


def what_can_be_proved(class_counts: Mapping[str, Mapping[str, int]], positive: str, split: str) -> str:
    """How high a sensitivity a split proves where none of its positives is missed, and what the next floor needs.

    For example ``44 images of crack in test prove a sensitivity of at most 92 %; 95 % needs 73, about 130 more``. More images are
    counted as if the split went on to get the share of the positives that it has.

    Args:
        class_counts: images by split and class.
        positive: class that must not be missed.
        split: of which is told.
    """
    num = class_counts[split][positive]
    if num == 0:
        said = f"no image of {positive} is in {split}, which proves no sensitivity"
    else:
        images, prove = ("image", "proves") if num == 1 else ("images", "prove")
        said = f"{num:,} {images} of {positive} in {split} {prove} a sensitivity of at most {percent(wilson(num, num).low)}"
    floor = next((floor for floor in FLOORS if trials_to_prove(floor) > num), None)
    if floor is None:
        return said
    needed = trials_to_prove(floor)
    total = sum(counts[positive] for counts in class_counts.values())
    more = f", about {_two_digits((needed - num) * total / num):,} more" if num else ""
    return f"{said}; {100 * floor:g} % needs {needed}{more}"


def what_is_together(source: ImageSource, joined: str = "") -> list[str]:
    """Patients whose images stay in one split, and sites, where the data name them; a sentence each.

    Args:
        source: of the images that were divided.
        joined: which patients are kept together besides, as `Divided` says it.
    """
    lines = []
    if source.groups is not None:
        sizes = Counter(source.groups)
        several = [size for size in sizes.values() if size > 1]
        most = f", {len(several):,} of them several, up to {max(several)}" if several else ", one each"
        lines.append(f"{_many(len(sizes), 'patient')} have {_many(len(source.groups), 'image')}{most}; each stays in one split")
        lines += [joined] if joined else []
    if source.sites is not None:
        sites = Counter(source.sites)
        named = ", ".join(f"{name} {num:,}" for name, num in sites.most_common(MAX_SITES))
        rest = f" and {len(sites) - MAX_SITES} more" if len(sites) > MAX_SITES else ""
        lines.append(f"{_many(len(sites), 'site')}: {named}{rest}; reports tell each apart")
    return lines


def count_distinct(values: Sequence[str] | None) -> int | None:
    """How many different ones there are; None where they are not known."""
    return None if values is None else len(set(values))


def _two_digits(num: float) -> int:
    """A number that is no more exact than what it is made of."""
    return round(float(f"{num:.2g}"))


def _many(num: int, what: str) -> str:
    return f"{num:,} {what}{'' if num == 1 else 's'}"
