"""Copies that are re-encoded, resized, slightly cropped or brightened; and pictures that only look a little alike."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgenas.data import open_source, scan_source
from edgenas.data.divide import Division, divide
from edgenas.data.images import open_images
from edgenas.data.inspect import Inspection, inspect
from edgenas.data.near import NearDuplicates, find_near
from edgenas.data.problems import Problem, problems_as_csv
from edgenas.data.sketches import sketch
from tests.data.test_divide import table_of


def scene(seed: int, side: int = 96) -> Image.Image:
    """Something with structure at all scales, as photographs have it."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((side, side, 3), dtype=np.float32)
    for cells in (3, 6, 12, 24, 48):
        noise = rng.normal(size=(cells, cells, 3)).astype(np.float32) * 48 / cells**0.5
        for channel in range(3):
            pixels[..., channel] += np.asarray(Image.fromarray(noise[..., channel]).resize((side, side), Image.Resampling.BICUBIC))
    return Image.fromarray(np.clip(pixels + 120, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, quality: int = 60) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue())).convert("RGB")


def cropped(image: Image.Image, share: float = 0.05) -> Image.Image:
    width, height = image.size
    left, top = round(width * share), round(height * share)
    return image.crop((left, top, width - left, height - top))


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "re-encoded": encoded,
    "half": lambda image: image.resize((48, 48), Image.Resampling.BICUBIC),
    "double": lambda image: image.resize((192, 192), Image.Resampling.LANCZOS),
    "cropped": cropped,
    "brighter": lambda image: image.point(lambda value: min(255, round(value * 1.15))),
    "darker": lambda image: image.point(lambda value: max(0, value - 25)),
    "grown wider": lambda image: image.resize((130, 96)),
    "all together": lambda image: encoded(cropped(image, 0.03).resize((80, 80)).point(lambda value: min(255, round(value * 1.1)))),
}


def near(images: list[Image.Image], labels: NDArray[np.int64] | None = None) -> NearDuplicates:
    labels_N = np.arange(len(images)) % 2 if labels is None else labels
    *_, found = find_near(np.stack([sketch(image) for image in images]), labels_N, [str(i) for i in range(len(images))])
    assert isinstance(found, NearDuplicates)
    return found


SCENES = [scene(seed) for seed in range(60)]


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_found_and_nothing_else(kind: str) -> None:
    found = near([*SCENES, *(COPIES[kind](image) for image in SCENES[:12])])
    assert [(pair.first, pair.second) for pair in found.pairs] == [(index, 60 + index) for index in range(12)]
    assert max(pair.difference for pair in found.pairs) < 0.03


def test_pictures_that_differ_only_in_colour_are_no_copies() -> None:
    swapped = [Image.merge("RGB", (b, g, r)) for r, g, b in (image.split() for image in SCENES[:12])]
    assert near([*SCENES, *swapped]).pairs == ()


def test_blank_pictures_are_compared_by_nothing_but_equality() -> None:
    blank = [Image.new("RGB", (32, 32), (value, value, value)) for value in range(0, 250, 10)]
    assert near(blank).pairs == ()


def test_tiny_simple_pictures_do_not_collide() -> None:
    digits = open_source("digits")
    images = [digits.load(index).convert("RGB") for index in range(len(digits.labels_N))]
    found = near(images, digits.labels_N)
    assert found.pairs == ()
    assert found.share < 0.12


def test_classes_of_pictures_that_share_a_layout_are_not_one_picture() -> None:
    rng = np.random.default_rng(0)
    arrays = rng.integers(0, 120, (80, 64, 64), dtype=np.uint8)
    arrays[::2, :32] += 100
    arrays[1::2, :, :32] += 100
    images = [Image.fromarray(array).convert("RGB") for array in arrays]
    assert near(images).pairs == ()
    assert len(near([*images, *(encoded(image, 92) for image in images)]).pairs) == 80


def test_where_most_pictures_look_the_same_copies_are_not_told_from_others() -> None:
    found = near([encoded(SCENES[0], 95 - index) for index in range(30)])
    assert found.pairs == ()
    assert found.too_alike > 8


def test_pictures_of_a_few_pixels_are_not_looked_at() -> None:
    assert near([Image.new("RGB", (7, 9), (index, 0, 0)) for index in range(9)]).pairs == ()
    assert not sketch(scene(0, 96).resize((7, 30))).any()


def test_pictures_that_are_shown_twice_are_looked_at_once() -> None:
    sketches_ND = np.stack([sketch(image) for image in (*SCENES[:20], SCENES[0], encoded(SCENES[0]))])
    *_, found = find_near(sketches_ND, np.zeros(22, dtype=np.int64), [*map(str, range(20)), "0", "copy"])
    assert isinstance(found, NearDuplicates)
    assert [(pair.first, pair.second) for pair in found.pairs] == [(0, 21)]


def write_pairs(root: Path, num: int = 24, *, parts: tuple[str, str] | None = None, labels: str = "ab") -> str:
    """Pictures with a re-encoded copy each, in the table's order; every third copy only, in another part if parts are named."""
    root.mkdir(exist_ok=True)
    rows = []
    for index in range(num):
        SCENES[index].save(root / f"{index:02d}.png")
        rows.append(f"{index:02d}.png,{labels[index % 2]},,,{parts[0] if parts else ''}")
        if index % 3 == 0:
            SCENES[index].save(root / f"{index:02d}-copy.jpg", quality=85)
            rows.append(f"{index:02d}-copy.jpg,{labels[index % 2]},,,{parts[1] if parts else ''}")
        if parts:
            scene(1000 + index).save(root / f"t{index:02d}.png")
            rows.append(f"t{index:02d}.png,{labels[index % 2]},,,{parts[1]}")
    if not parts:
        (root / "images.csv").write_text("path,label\n" + "\n".join(",".join(row.split(",")[:2]) for row in rows) + "\n")
        return f"csv:{root / 'images.csv'}"
    return table_of(root, rows)


def inspected(text: str) -> Inspection:
    *_, found = inspect(scan_source(text))
    assert isinstance(found, Inspection)
    return found


def test_copies_stay_in_one_split_and_are_listed(tmp_path: Path) -> None:
    images = open_images(write_pairs(tmp_path))
    split_of = {images.source.ids[index]: name for name, indices in images.splits.indices.items() for index in indices.tolist()}
    copies = [name for name in split_of if "-copy" in name]
    assert len(copies) == 8
    assert all(split_of[name] == split_of[name.replace("-copy.jpg", ".png")] for name in copies)


def test_copies_may_part_where_that_is_asked_for(tmp_path: Path) -> None:
    source = scan_source(write_pairs(tmp_path))
    divided = divide(source, inspected(source.name), Division(near_duplicates=False))
    assert divided.warnings == ()
    assert divided.problems == ()
    assert divided.splits.options["near_duplicates"] is False


def test_copies_are_a_warning_with_a_list(tmp_path: Path) -> None:
    source = scan_source(write_pairs(tmp_path))
    divided = divide(source, inspected(source.name), Division())
    (warning,) = divided.warnings
    assert warning.startswith("8 pair(s) of 16 images are near-duplicates (limit 0.")
    assert "kept in one split: 00.png and 00-copy.jpg; 03.png and 03-copy.jpg" in warning
    assert [each.path for each in divided.problems] == [f"{index:02d}-copy.jpg" for index in range(0, 24, 3)]
    assert divided.problems[0].what.startswith("is nearly the same as 00.png (differs by 0.")
    assert {each.done for each in divided.problems} == {"kept in one split"}


def test_copies_between_published_parts_are_reported_and_may_give_way(tmp_path: Path) -> None:
    source = scan_source(write_pairs(tmp_path, parts=("train", "test")))
    found = inspected(source.name)
    divided = divide(source, found, Division())
    assert "train and test share 8 near-duplicates; --drop-overlap train" in divided.warnings[0]
    assert {each.done for each in divided.problems} == {"kept in both published parts"}
    dropped = divide(source, found, Division(drop_overlap=("train",)))
    assert set(dropped.splits.excluded) == {f"{index:02d}.png" for index in range(0, 24, 3)}
    assert not any("near-duplicates" in line for line in dropped.warnings)


def test_a_picture_under_two_labels_is_a_warning_also_where_it_is_only_nearly_the_same(tmp_path: Path) -> None:
    text = write_pairs(tmp_path)
    SCENES[40].save(tmp_path / "x.png")
    SCENES[40].save(tmp_path / "x.jpg", quality=85)
    SCENES[40].save(tmp_path / "x.bmp")
    with (tmp_path / "images.csv").open("a") as file:
        file.write("x.png,a\nx.jpg,b\nx.bmp,b\n")
    source = scan_source(text)
    divided = divide(source, inspected(text), Division())
    lines = ["the same picture is x.png (a) and x.bmp (b)", "nearly the same picture is x.png (a) and x.jpg (b)"]
    assert divided.warnings[0] == f"2 picture(s) have several labels: {'; '.join(lines)}"
    assert [each.what for each in divided.problems if each.done == "kept, with all labels"] == lines


def test_the_list_of_problems_names_every_one_once_under_a_header() -> None:
    rows = [Problem("a,b", "x", 'y"'), Problem("=c", "x", "y"), Problem("a,b", "x", 'y"')]
    assert problems_as_csv(rows) == 'path,what,done\n"a,b",x,"y"""\n\'=c,x,y\n'
