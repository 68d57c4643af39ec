"""What authors report is shown where the space and the images are theirs, and nowhere else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgenas.project.published import dataset_of, published_rows
from edgenas.spaces import get_space

COVIDX8A = {"covid-19": 214, "normal": 100, "pneumonia": 105}
IMAGENET = {f"n{number:08d}": 50 for number in range(1000)}


def images_of(counts: dict[str, int]) -> Any:
    """Labels of a test split with so many images of every class."""
    labels_N = np.repeat(np.arange(len(counts)), list(counts.values()))
    return SimpleNamespace(class_names=tuple(counts), labels=lambda split: labels_N)


def test_the_space_of_covitpp_on_its_test_list_has_its_net_and_its_teacher() -> None:
    rows = {row.name: row for row in published_rows(get_space("pvt-covidx"), images_of(COVIDX8A), "test")}
    assert {name: row.top1 for name, row in rows.items()} == {"COViT++": 0.8854, "COViT, the teacher": 0.9284}
    assert rows["COViT, the teacher"].sensitivity == {"covid-19": 0.9299}
    assert rows["COViT, the teacher"].ppv == {"covid-19": 0.9755}
    assert round(0.8854 * 419) == 371  # shares of these images
    assert all("16 test images" in row.note for row in rows.values())


@pytest.mark.parametrize(
    ("space", "names"),
    [
        ("autoformer-tiny", {"AutoFormer-T", "TF-TAS-T"}),
        ("autoformer-small", {"AutoFormer-S", "TF-TAS-S"}),
        ("vitas-block", {"ViTAS-C"}),
    ],
)
def test_the_spaces_of_the_others_have_their_nets_on_imagenet(space: str, names: set[str]) -> None:
    rows = published_rows(get_space(space), images_of(IMAGENET), "test")
    assert {row.name for row in rows} == names
    assert all(row.source and "ImageNet" in row.dataset for row in rows)


@pytest.mark.parametrize(
    ("space", "counts", "split"),
    [
        ("pvt-covidx", COVIDX8A, "confirm"),
        ("pvt-covidx", {**COVIDX8A, "normal": 99}, "test"),
        ("pvt-covidx", IMAGENET, "test"),
        ("pvt-nano", COVIDX8A, "test"),
        ("autoformer-tiny", COVIDX8A, "test"),
        ("autoformer-tiny", {**dict.fromkeys(map(str, range(1000)), 50)}, "test"),
    ],
)
def test_elsewhere_nothing_is_shown(space: str, counts: dict[str, int], split: str) -> None:
    assert published_rows(get_space(space), images_of(counts), split) == ()


def test_a_data_set_is_known_by_what_is_in_its_test_split() -> None:
    assert dataset_of(images_of(COVIDX8A)) == "COVIDx8A"
    assert dataset_of(images_of(IMAGENET)) == "ImageNet"
    assert dataset_of(images_of({"cat": 3, "dog": 2})) is None
