"""What a division can prove and what is kept together, in words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from edgenas.data.alike import SeenImages, joined_patients
from edgenas.data.arrays import ArrayImages
from edgenas.data.near import NearPair
from edgenas.data.proving import count_distinct, what_can_be_proved, what_is_together

CRACKS: Mapping[str, Mapping[str, int]] = {"train": {"crack": 153}, "test": {"crack": 44}, "confirm": {"crack": 0}}


@pytest.mark.parametrize(
    ("counts", "split", "words"),
    [
        (CRACKS, "test", "44 images of crack in test prove a sensitivity of at most 92.0 %; 95 % needs 73, about 130 more"),
        (CRACKS, "confirm", "no image of crack is in confirm, which proves no sensitivity; 90 % needs 35"),
        (
            {"test": {"crack": 1}},
            "test",
            "1 image of crack in test proves a sensitivity of at most 20.7 %; 90 % needs 35, about 34 more",
        ),
        (
            {"test": {"crack": 73}},
            "test",
            "73 images of crack in test prove a sensitivity of at most 95.0 %; 99 % needs 381, about 310 more",
        ),
        ({"test": {"crack": 4000}}, "test", "4,000 images of crack in test prove a sensitivity of at most 99.9 %"),
    ],
)
def test_it_says_what_the_data_can_prove(counts: Mapping[str, Mapping[str, int]], split: str, words: str) -> None:
    assert what_can_be_proved(counts, "crack", split) == words


def source(groups: tuple[str, ...] | None, sites: tuple[str, ...] | None) -> ArrayImages:
    pixels = np.zeros((4, 8, 8), dtype=np.uint8)
    return ArrayImages("toy", ("a",), ("0", "1", "2", "3"), pixels, np.zeros(4, dtype=np.int64), groups=groups, sites=sites)


def test_patients_that_share_pictures_are_named() -> None:
    near = SeenImages(("x", "y", "x", "z"), [NearPair(1, 3, 0.01)])
    words = "patients that share a picture, wholly or nearly, stay in one split together: "
    assert joined_patients(source(None, None), near) == ""
    assert joined_patients(source(("p", "q", "p", "q"), None), near) == ""
    assert joined_patients(source(("p", "q", "r", "s"), None), near) == f"{words}p and r; q and s"
    assert joined_patients(source(("p", "q", "r", "p"), None), SeenImages(("x", "x", "x", ""), [])) == f"{words}p and q; p and r"


def test_patients_and_sites_are_counted_where_the_data_name_them() -> None:
    assert what_is_together(source(None, None)) == []
    assert what_is_together(source(("p", "p", "p", "q"), ("north", "north", "south", "north"))) == [
        "2 patients have 4 images, 1 of them several, up to 3; each stays in one split",
        "2 sites: north 3, south 1; reports tell each apart",
    ]
    assert what_is_together(source(("p", "q", "r", "s"), None)) == ["4 patients have 4 images, one each; each stays in one split"]
    assert what_is_together(source(("p", "p", "q", "q"), None), "p and q are joined")[1:] == ["p and q are joined"]
    assert (count_distinct(None), count_distinct(("p", "q", "p"))) == (None, 2)
