"""Preprocessing is decided once and kept with the splits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgenas.data.files import EXTENSIONS
from edgenas.data.images import open_images
from edgenas.data.library_images import _as_image
from edgenas.data.pixels import PixelSettings, stored_preprocess
from edgenas.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from edgenas.data.splits import load_splits, save_splits
from edgenas.errors import DataError


@pytest.fixture
def wide(tmp_path: Path) -> str:
    """Two classes of 12-bit images in 16-bit files."""
    rng = np.random.default_rng(5)
    for name in ("left", "right"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(8):
            values = rng.integers(100, 4000, (18, 24)).astype(np.uint16)
            Image.fromarray(values).save(tmp_path / "images" / name / f"{number}.png")
    return f"folder:{tmp_path / 'images'}"


def test_twelve_bits_in_sixteen_reach_the_net_with_their_levels(wide: str) -> None:
    images = open_images(wide, image_px=16)
    assert images.preprocess.grey_range == (0, 4095)
    assert images.store.pixels(images.splits["train"]).max() > 150


def test_what_was_decided_comes_back_from_the_splits(wide: str, tmp_path: Path) -> None:
    asked = PixelSettings(normalise="computed", resize_mode="letterbox", resize="box", crop_pct=0.9)
    images = open_images(wide, image_px=16, pixels=asked)
    save_splits(tmp_path / "splits.json", images.splits)
    again = load_splits(tmp_path / "splits.json")
    assert stored_preprocess(again.pixels, 16) == images.preprocess
    assert stored_preprocess(again.pixels, 32) == replace(images.preprocess, image_px=32)


def test_splits_of_before_read_images_as_ever() -> None:
    assert stored_preprocess({}, 24) == Preprocess(24, IMAGENET_MEAN, IMAGENET_STD)


def test_ordinary_images_leave_splits_and_manifest_as_they_were() -> None:
    images = open_images("digits", image_px=16)
    assert images.splits.pixels == {}
    assert set(images.preprocess.as_json()) == {"image_px", "mean", "std", "resize", "resize_mode", "crop_pct", "channels"}


def test_what_is_learnt_from_other_pixels_belongs_to_another_division(wide: str) -> None:
    hashes = {open_images(wide, image_px=16, pixels=PixelSettings(grey_range=each)).splits.sha256 for each in ("auto", "full")}
    assert len(hashes) == 2


def test_computed_mean_and_deviation_are_those_of_the_training_images(wide: str) -> None:
    images = open_images(wide, image_px=16, pixels=PixelSettings(normalise="computed"))
    seen, _ = images.arrays("train")
    assert isinstance(seen, np.ndarray)
    assert np.abs(seen.mean(axis=(0, 2, 3))).max() < 1e-4
    assert seen.std(axis=(0, 2, 3)) == pytest.approx(1.0, abs=1e-4)


def test_impossible_pixel_settings_are_named() -> None:
    with pytest.raises(ValueError, match="lower one first") as caught:
        PixelSettings(grey_range=(5.0, 1.0), mean=(0.5,))
    assert "three values each" in str(caught.value)


def test_pictures_that_differ_in_fine_grey_values_or_alpha_alone_are_not_the_same(tmp_path: Path) -> None:
    fine = np.zeros((8, 8), dtype=np.uint16)
    for number in range(8):
        for name, values in (("a", fine + number), ("b", fine + 100 + number)):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(values.astype(np.uint16)).save(tmp_path / name / f"{number}.png")
    images = open_images(f"folder:{tmp_path}", image_px=16)  # equal pictures of two classes could not be divided
    assert len(images.splits) == 16


@pytest.mark.parametrize(
    ("suffix", "kind"), [("jfif", "JPEG"), ("jpe", "JPEG"), ("jp2", "JPEG2000"), ("avif", "AVIF"), ("tga", "TGA")]
)
def test_files_of_other_usual_names_are_read(tmp_path: Path, suffix: str, kind: str) -> None:
    if f".{suffix}" not in EXTENSIONS:
        pytest.skip(f"this Pillow reads no {kind}")
    for number in range(16):
        (tmp_path / "ab"[number % 2]).mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "ab"[number % 2] / f"{number}.{suffix.upper()}", kind)
    assert len(open_images(f"folder:{tmp_path}", image_px=16).splits) == 16


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        (np.array([[0, 3000]], dtype=np.uint16), (0, 3000)),
        (np.array([[-2.0, 3.5]], dtype=np.float32), (-2, 3.5)),
        (np.array([[0.0, 1.0]], dtype=np.float32), (0, 255)),
    ],
)
def test_arrays_of_libraries_keep_their_grey_values(values: np.ndarray, seen: tuple[float, float]) -> None:
    assert _as_image(values, "image 0").getextrema() == seen


def test_colours_of_libraries_beyond_0_to_1_are_refused() -> None:
    with pytest.raises(DataError, match="colours from 0 to 255; floats are shown from 0 to 1"):
        _as_image(np.linspace(0, 255, 12, dtype=np.float32).reshape(2, 2, 3), "image 0")
