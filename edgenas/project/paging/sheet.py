"""What the images of a project are: how they are divided, who and where they come from, what is odd, how some of them look."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgenas.data.base import ImageSource
from edgenas.data.images import Images
from edgenas.data.proving import what_can_be_proved, what_is_together
from edgenas.data.samples import PER_CLASS
from edgenas.data.splits import Splits
from edgenas.data.thumbnails import thumbnail
from edgenas.errors import DataError
from edgenas.records import DataSheet, OddThing, PageImage
from edgenas.runs import RunFolder
from edgenas.runs.outside import MAX_TEXT_BYTES, MissingFileError, OutsideError, read_regular, utf8

MOST_CLASSES = 12  # of which images are shown
CONTACT_PX = 112  # longest side of an image
GALLERY_PX = 320
MOST_ODD = 50  # lines that are shown
MOST_SITES = 24
PROVEN_ON = ("select", "confirm", "test")


def data_sheet(
    run: RunFolder, source_name: str, splits: Splits, images: Images | None, *, positive: str | None, why: str
) -> DataSheet:
    """The sheet of a project's images.

    Args:
        run: whose list of odd things is read.
        source_name: as the settings have it.
        splits: of the images.
        images: None where they cannot be read here; then only what the run folder knows is shown.
        positive: class that must not be missed; None without one.
        why: they cannot be read; empty where they can.
    """
    odd = odd_things(run)
    provable: list[str] = []
    if positive is not None and positive in splits.class_names:
        provable += [what_can_be_proved(splits.class_counts, positive, split) for split in PROVEN_ON]
    source = images.source if images is not None else None
    provable += what_is_together(source) if source is not None else []
    contact = contact_sheet(images) if images is not None else ()
    return DataSheet(
        source=source_name,
        fingerprint=splits.fingerprint,
        splits_sha256=splits.sha256,
        classes=splits.class_names,
        splits=splits.class_counts,
        patients=_patients(source, splits),
        sites=_sites(source, splits),
        provable=tuple(provable),
        excluded=len(splits.excluded),
        odd=tuple(odd[:MOST_ODD]),
        num_odd=len(odd),
        contact=contact,
        classes_shown=min(MOST_CLASSES, len(splits.class_names)) if contact else 0,
        why_no_images=why,
    )


def odd_things(run: RunFolder) -> list[OddThing]:
    """The lines of the list that `init` wrote; none where it wrote none, or it cannot be read."""
    try:
        text = utf8(read_regular(run.problems, MAX_TEXT_BYTES))
        rows = list(csv.reader(io.StringIO(text)))[1:]
    except (MissingFileError, OutsideError, ValueError, csv.Error):
        return []
    return [OddThing(path=row[0], what=row[1], done=row[2]) for row in rows if len(row) == 3]


def contact_sheet(images: Images) -> tuple[PageImage, ...]:
    """Some images of every class, spread evenly over train; of many classes the first ones."""
    train_N = images.splits["train"]
    labels_N = images.source.labels_N[train_N]
    pictures = []
    for label in range(min(MOST_CLASSES, len(images.class_names))):
        own_N = train_N[labels_N == label]
        places_N = np.unique(np.linspace(0, len(own_N) - 1, min(PER_CLASS, len(own_N))).astype(np.int64))
        pictures += [page_image(images, int(index), CONTACT_PX) for index in own_N[places_N]]
    return tuple(image for image in pictures if image is not None)


def page_image(images: Images, index: int, longest_px: int) -> PageImage | None:
    """A small image of the data set by its position in the source; None where it cannot be read any more."""
    try:
        small = thumbnail(images.source, index, longest_px)
    except (DataError, OSError):
        return None
    return PageImage(
        name=images.source.ids[index],
        mime=small.mime,
        content=small.content,
        width=small.width,
        height=small.height,
        label=images.class_names[int(images.source.labels_N[index])],
    )


def _patients(source: ImageSource | None, splits: Splits) -> Mapping[str, int] | None:
    if source is None or source.groups is None:
        return None
    return {name: len(set(_named(source.groups, indices_N))) for name, indices_N in splits.indices.items()}


def _sites(source: ImageSource | None, splits: Splits) -> Mapping[str, Mapping[str, int]] | None:
    if source is None or source.sites is None:
        return None
    counts = {split: Counter(_named(source.sites, indices_N)) for split, indices_N in splits.indices.items()}
    largest_first = [name for name, _ in Counter(source.sites).most_common(MOST_SITES)]
    return {site: {split: counts[split][site] for split in counts} for site in largest_first}


def _named(names: Sequence[str], indices_N: NDArray[np.int64]) -> list[str]:
    return [names[index] for index in indices_N.tolist()]
