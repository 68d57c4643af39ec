"""The contact sheet of a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from edgenas.data.images import open_images
from edgenas.data.samples import sample_picture
from edgenas.report.plots import draw
from edgenas.report.samples import plain


def write_images(root: Path) -> str:
    """Twelve-bit files of one class, transparent ones of another whose name would be a formula."""
    rng = np.random.default_rng(0)
    for number in range(8):
        for name in ("wide", "a$b_{$^$"):
            (root / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(50, 4000, (12, 20)).astype(np.uint16)).save(root / "wide" / f"{number}.png")
        rgba = np.zeros((12, 20, 4), dtype=np.uint8)
        rgba[..., 3] = 255 * np.kron(rng.permutation(60).reshape(6, 10) < 30, np.ones((2, 2)))
        rgba[:2, :, 3] = 0
        Image.fromarray(rgba).save(root / "a$b_{$^$" / f"{number}.png")
    return f"folder:{root}"


def test_every_class_is_shown_as_its_files_are_and_as_the_net_reads_them(tmp_path: Path) -> None:
    images = open_images(write_images(tmp_path / "images"), image_px=16)
    picture = sample_picture(images.source, images.splits, images.preprocess, tmp_path / "samples.png")
    pairs = picture.shows.pairs
    assert {pair.class_name for pair in pairs} == {"wide", "a$b_{$^$"}
    wide = next(pair for pair in pairs if pair.class_name == "wide")
    assert (int(wide.before_HW3.min()), int(wide.before_HW3.max())) == (0, 255)
    assert wide.words.startswith("I;16 20 x 12, ")
    drawn = next(pair for pair in pairs if pair.class_name != "wide")
    assert {0, 150, 200} == set(np.unique(drawn.before_HW3).tolist())
    assert set(np.unique(drawn.after_HW3[0]).tolist()) == {255}
    draw(picture)
    with Image.open(tmp_path / "samples.png") as sheet:
        assert len(np.unique(np.asarray(sheet))) > 20


def test_the_net_s_side_is_what_it_reads_pixel_by_pixel(tmp_path: Path) -> None:
    images = open_images(write_images(tmp_path / "images"), image_px=16)
    for pair in sample_picture(images.source, images.splits, images.preprocess, tmp_path / "samples.png").shows.pairs:
        index = images.source.ids.index(pair.image)
        assert np.array_equal(images.store.pixels(np.array([index]))[0].transpose(1, 2, 0), pair.after_HW3)


def test_names_are_drawn_as_they_are_and_stay_short() -> None:
    assert plain("a$b\x1b", 10) == r"a$b\x1b"
    assert plain("x" * 30, 5) == "xxxxx…"
