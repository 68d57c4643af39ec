"""What authors report of nets of a run's space, where the run's images are the ones that they report on."""

from __future__ import annotations

import re

import numpy as np

from edgenas.data.images import Images
from edgenas.records import PublishedRow
from edgenas.spaces import SearchSpace
from edgenas.spaces.named import named_archs

COVIDX8A, IMAGENET = "COVIDx8A", "ImageNet"
_COVIDX8A_TEST = {"covid-19": 214, "normal": 100, "pneumonia": 105}  # distinct images of the published test list
_WNID = re.compile(r"n\d{8}")

# The nets that are in no space; those that are, with their sources, are in `edgenas.spaces.named`.
OTHERS: dict[str, tuple[PublishedRow, ...]] = {
    "pvt-covidx": (
        PublishedRow(
            name="COViT, the teacher",
            source="COViT (hoangtv2000/COViT), README",
            dataset="COVIDx8A test, 419 images",
            top1=0.9284,
            sensitivity={"covid-19": 0.9299},
            ppv={"covid-19": 0.9755},
            note="16 test images are training images too",
        ),
    ),
}


def dataset_of(images: Images) -> str | None:
    """The published data set that a run's test split is, by what is in it; None if it is none of those that are known."""
    nums = np.bincount(images.labels("test"), minlength=len(images.class_names)).tolist()
    counts = dict(zip(images.class_names, nums, strict=True))
    if counts == _COVIDX8A_TEST:
        return COVIDX8A
    if len(counts) == 1000 and all(_WNID.fullmatch(name) for name in counts) and set(counts.values()) == {50}:
        return IMAGENET
    return None


def published_rows(space: SearchSpace, images: Images, split: str) -> tuple[PublishedRow, ...]:
    """What is reported of nets of this space on these images; only of the split test, which reports are of.

    Args:
        space: of the run.
        images: of the run.
        split: that was evaluated.
    """
    if split != "test":
        return ()
    dataset = dataset_of(images)
    rows = []
    for name, named in named_archs(space).items():
        said = named.reported
        if said is not None and said.top1 is not None and said.dataset is not None and _is_on(said.dataset, dataset):
            rows.append(PublishedRow(name=name, source=said.source, dataset=said.dataset, top1=said.top1, note=said.note))
    return (*rows, *(row for row in OTHERS.get(space.base_name, ()) if _is_on(row.dataset, dataset)))


def _is_on(reported: str, dataset: str | None) -> bool:
    return dataset is not None and reported.lower().startswith(dataset.lower())
