"""A thousand class folders in ImageNet's layout: train and val, 100 images of every class in select, repeated augmentation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.recipes.test_end_to_end import edgenas_in


def layout(root: Path, *, num_classes: int, train: int, val: int) -> None:
    """Different tiny pictures, named as ImageNet names them."""
    number = 0
    for label in range(num_classes):
        for part, num in (("train", train), ("val", val)):
            folder = root / part / f"n{label:08d}"
            folder.mkdir(parents=True)
            for index in range(num):
                number += 1
                Image.frombytes("RGB", (2, 1), number.to_bytes(6, "big")).save(folder / f"{index}.png", compress_level=0)


@pytest.mark.parametrize(
    ("num_classes", "per_class"),
    [(1000, 1), pytest.param(1000, 100, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])],
)
def test_a_thousand_classes_are_divided_and_loaded(tmp_path: Path, num_classes: int, per_class: int) -> None:
    layout(tmp_path / "imagenet", num_classes=num_classes, train=per_class + 3, val=1)
    settings = (f"data.select_per_class={per_class}", "data.val_as=test", "data.cache_mb=0", "train.repeats=3", "data.workers=1")
    sets = [part for setting in (*settings, "train.augmentation=randaug") for part in ("--set", setting)]
    code, value, _ = edgenas_in(tmp_path, "init", "--data", f"folder:{tmp_path / 'imagenet'}", "--space", "pvt-nano", *sets)
    assert code == 0, value["error"]
    assert len(value["result"]["classes"]) == num_classes
    splits = json.loads((tmp_path / "edgenas-run" / "data" / "splits.json").read_text())
    assert set(splits["class_counts"]["select"].values()) == {per_class}
    assert set(splits["class_counts"]["test"].values()) == {1}
    assert len(splits["indices"]["test"]) == num_classes
    code, value, _ = edgenas_in(tmp_path, "info", "--loader")
    assert code == 0, value["error"]
    assert value["warnings"] == []
    loader = value["result"]["loader"]
    assert loader["images_per_second"] > 20
    assert (loader["workers"], loader["cached"]) == (1, False)
