from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from edgenas.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess, to_rgb
from edgenas.errors import DataError

HALF = Preprocess(8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
RAMP_HW = np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8)


def reopened(image: Image.Image, kind: str, **options: object) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Image.open(io.BytesIO(buffer.getvalue()))


def test_the_result_is_a_float32_array_of_three_planes() -> None:
    result_CHW = HALF(Image.new("RGB", (20, 10), (255, 0, 51)))
    assert result_CHW.dtype == np.float32
    assert result_CHW.shape == (3, 8, 8)
    assert np.allclose(result_CHW[:, 0, 0], [1.0, -1.0, -0.6], atol=1e-6)


def test_normalising_is_three_float32_operations() -> None:
    prep = Preprocess(8, IMAGENET_MEAN, IMAGENET_STD)
    expected = (RAMP_HW.astype(np.float32) / np.float32(255) - np.float32(0.485)) / np.float32(0.229)
    assert np.array_equal(prep(Image.fromarray(RAMP_HW))[0], expected)


def test_torch_normalises_to_the_same_bits() -> None:
    prep = Preprocess(8, IMAGENET_MEAN, IMAGENET_STD)
    pixels_CHW = prep.pixels(Image.fromarray(RAMP_HW))
    mean_C11 = torch.tensor(IMAGENET_MEAN)[:, None, None]
    by_torch = torch.from_numpy(pixels_CHW).float().div_(255).sub_(mean_C11).div_(torch.tensor(IMAGENET_STD)[:, None, None])
    assert np.array_equal(by_torch.numpy(), prep.normalise(pixels_CHW))


def test_resizing_is_pillows_with_antialias() -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (50, 40, 3), dtype=np.uint8))
    expected = np.asarray(image.resize((8, 8), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    bicubic = Preprocess(8, (0.5,) * 3, (0.5,) * 3, resize="bicubic")
    assert np.array_equal(bicubic.pixels(image), expected)


def test_crop_keeps_the_middle_of_the_longer_side() -> None:
    image = Image.new("RGB", (24, 8))
    image.paste((255, 255, 255), (8, 0, 16, 8))
    crop = Preprocess(8, (0.5,) * 3, (0.5,) * 3, resize_mode="crop")
    assert (crop.pixels(image) == 255).all()


def test_crop_pct_resizes_larger_and_cuts_the_rim() -> None:
    image = Image.new("L", (16, 16), 0)
    image.paste(255, (4, 4, 12, 12))
    prep = Preprocess(8, (0.5,) * 3, (0.5,) * 3, crop_pct=0.5)
    assert (prep.pixels(image) == 255).all()


def test_letterbox_keeps_the_whole_image_and_its_proportions() -> None:
    prep = Preprocess(8, (0.5,) * 3, (0.5,) * 3, resize_mode="letterbox")
    rows_HW = prep.pixels(Image.new("L", (24, 12), 200))[0]
    assert rows_HW[:, 3].tolist() == [0, 0, 200, 200, 200, 200, 0, 0]
    assert (rows_HW[2:6] == 200).all()


def test_letterbox_is_laid_on_the_background() -> None:
    prep = Preprocess(8, (0.5,) * 3, (0.5,) * 3, resize_mode="letterbox", background="white")
    assert prep.pixels(Image.new("L", (5, 40), 9))[0, 4].tolist() == [255, 255, 255, 9, 255, 255, 255, 255]


def test_exif_rotation_is_applied() -> None:
    image = Image.new("RGB", (8, 4), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    assert to_rgb(reopened(image, "JPEG", exif=exif)).size == (4, 8)


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<i4"])
def test_sixteen_bit_values_are_scaled_to_eight(dtype: str) -> None:
    wide = np.array([[0, 128, 129, 257 * 100, 65535]], dtype=dtype)
    image = (
        Image.fromarray(wide.astype(np.int32))
        if dtype == "<i4"
        else Image.frombytes("I;16" if dtype == "<u2" else "I;16B", (5, 1), wide.tobytes())
    )
    assert np.asarray(to_rgb(image))[0, :, 0].tolist() == [0, 0, 1, 100, 255]


def test_a_sixteen_bit_png_is_read_like_its_eight_bit_twin() -> None:
    wide = reopened(Image.fromarray(RAMP_HW.astype(np.uint16) * 257), "PNG")
    assert np.array_equal(np.asarray(to_rgb(wide))[..., 0], RAMP_HW)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV", "F", "I"])
def test_every_usual_mode_becomes_rgb(mode: str) -> None:
    assert HALF.pixels(Image.new(mode, (9, 9))).shape == (3, 8, 8)


def test_transparent_palettes_keep_their_colours() -> None:
    image = Image.new("RGB", (8, 8), (10, 200, 30)).convert("P", palette=Image.Palette.ADAPTIVE)
    again = reopened(image, "PNG", transparency=b"\x00" * 4)
    assert np.asarray(to_rgb(again))[0, 0].tolist() == [10, 200, 30]


def test_a_mode_without_a_conversion_is_named() -> None:
    with pytest.raises(DataError, match="mode La"):
        HALF(Image.new("La", (8, 8)))


def test_json_gives_the_same_preprocessing_back() -> None:
    prep = Preprocess(24, IMAGENET_MEAN, IMAGENET_STD, "bicubic", "crop", 0.875, grey_range=(-5.5, 80.0), background="grey")
    assert Preprocess.from_json(json.loads(json.dumps(prep.as_json()))) == prep


def test_json_with_missing_and_unknown_keys_lists_all() -> None:
    value = HALF.as_json()
    del value["std"]
    with pytest.raises(DataError, match=r"std is missing; colour is unknown"):
        Preprocess.from_json({**value, "colour": 1})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("image_px", 0, "image_px is 0"),
        ("image_px", 2.5, "not a whole number"),
        ("std", [1, 0, 1], "std above 0"),
        ("mean", [1, float("nan"), 1], "must be finite"),
        ("mean", "abc", "cannot be read"),
        ("resize", "nearest", "'nearest'"),
        ("crop_pct", 1.5, "crop_pct is 1.5"),
        ("channels", "BGR", "'BGR'"),
        ("grey_range", [3, 3], "the lower one first"),
        ("grey_range", [3], "cannot be read"),
        ("background", "pink", "'pink'"),
    ],
)
def test_impossible_values_are_named(key: str, value: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Preprocess.from_json({**HALF.as_json(), key: value})
