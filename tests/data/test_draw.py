"""So many images of every class: from what is not test, patients whole, the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgenas.data.arrays import ArrayImages, numbered
from edgenas.data.base import ImageSource
from edgenas.data.divide import Divided, Division, divide
from edgenas.data.draw import draw_per_class
from edgenas.data.images import open_images
from edgenas.data.inspect import Inspection, inspect
from edgenas.data.splits import load_splits, save_splits
from edgenas.errors import DataError


def source_of(
    labels: list[int], *, parts: list[str] | None = None, groups: list[str] | None = None, num_classes: int = 3
) -> ArrayImages:
    pixels_NHW = np.random.default_rng(0).integers(0, 256, (len(labels), 4, 4), dtype=np.uint8)
    return ArrayImages(
        name="made",
        class_names=tuple("abcdef"[:num_classes]),
        ids=numbered(parts if parts is not None else ["all"] * len(labels)),
        pixels_NHW=pixels_NHW,
        labels_N=np.array(labels, dtype=np.int64),
        published_split=None if parts is None else tuple(parts),
        groups=None if groups is None else tuple(groups),
    )


def counts_of(source: ImageSource, part: str | None = None) -> list[int]:
    parts = source.published_split
    chosen = [label for i, label in enumerate(source.labels_N.tolist()) if part is None or (parts is not None and parts[i] == part)]
    return np.bincount(chosen, minlength=len(source.class_names)).tolist()


def divided(source: ImageSource, num: int) -> Divided:
    drawn = draw_per_class(source, num, seed=0)
    *_, found = inspect(drawn.source)
    assert isinstance(found, Inspection)
    return divide(drawn.source, found, Division(max_per_class=num), left_out=drawn.left_out)


def test_so_many_images_of_every_class_are_drawn_and_all_where_there_are_no_more() -> None:
    drawn = draw_per_class(source_of([0] * 50 + [1] * 30 + [2] * 4), 10, seed=0)
    assert counts_of(drawn.source) == [10, 10, 4]
    assert (drawn.num_pool, len(drawn.left_out)) == (84, 60)
    assert str(drawn) == "24 of 84 images drawn, 60 left out"
    assert set(drawn.left_out) | set(drawn.source.ids) == set(source_of([0] * 84).ids)


def test_the_seed_draws_and_more_images_contain_the_fewer() -> None:
    source = source_of([0, 1, 2] * 40)
    first, again, other = (draw_per_class(source, 10, seed=seed).source.ids for seed in (1, 1, 2))
    assert first == again != other
    assert set(first) < set(draw_per_class(source, 20, seed=1).source.ids)


def test_what_is_published_as_test_stays_whole() -> None:
    source = source_of([0, 1, 2] * 45, parts=["train"] * 75 + ["val"] * 30 + ["test"] * 30)
    drawn = draw_per_class(source, 5, seed=0)
    assert [counts_of(drawn.source, "test"), counts_of(drawn.source)] == [[10, 10, 10], [15, 15, 15]]
    assert drawn.num_pool == 105
    without_test = source_of([0, 1, 2] * 35, parts=["train"] * 75 + ["val"] * 30)
    drawn = draw_per_class(without_test, 5, seed=0, val_as="test")
    assert [counts_of(drawn.source, "val"), counts_of(drawn.source, "train")] == [[10, 10, 10], [5, 5, 5]]


def test_patients_are_taken_whole() -> None:
    labels = [label for patient in range(60) for label in [patient % 3] * 4]
    groups = [f"p{patient}" for patient in range(60) for _ in range(4)]
    source = source_of(labels, groups=groups)
    drawn = draw_per_class(source, 10, seed=0).source
    assert counts_of(drawn) == [12, 12, 12]
    assert drawn.groups is not None
    assert all(drawn.groups.count(patient) == 4 for patient in set(drawn.groups))


def test_the_rest_is_neither_decoded_nor_missed(tmp_path: Path) -> None:
    source = source_of([0, 1, 2] * 200)
    found = divided(source, 30)
    assert len(found.source.labels_N) == len(found.splits) == 90
    assert len(found.splits.excluded) == 510
    assert set(found.splits.excluded.values()) == {"not drawn: max_per_class is 30"}
    assert found.splits.options["max_per_class"] == 30
    assert found.warnings == ()
    save_splits(tmp_path / "splits.json", found.splits)
    assert load_splits(tmp_path / "splits.json").excluded == found.splits.excluded


def test_too_few_are_refused_with_what_would_help() -> None:
    with pytest.raises(DataError, match="max_per_class is 0; allowed is 1 or more"):
        draw_per_class(source_of([0, 1, 2] * 20), 0, seed=0)
    with pytest.raises(DataError, match="not every class is in every split") as caught:
        divided(source_of([0, 1, 2] * 20), 3)
    assert "data.max_per_class is 3; a larger one draws more" in caught.value.hint


def test_what_is_not_drawn_is_not_read_when_a_data_set_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    load = ArrayImages.load
    monkeypatch.setattr(ArrayImages, "load", lambda self, index: (read.append(index), load(self, index))[1])
    images = open_images(source_of([0, 1, 2] * 200), image_px=4, division=Division(max_per_class=20))
    assert len(images.source.labels_N) == len(images.splits) == len(set(read)) == 60
    assert set(images.splits.excluded.values()) == {"not drawn: max_per_class is 20"}
