"""One rule for the grey values and the transparency of all images of a data set."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgenas.data.preprocess import to_rgb
from edgenas.data.tones import Conversion, decide, tones_of


def ramp(low: float, high: float, dtype: str) -> Image.Image:
    return Image.fromarray(np.linspace(low, high, 4096).reshape(64, 64).astype(dtype))


def drawing(colour: int) -> Image.Image:
    """Only alpha tells where the drawing is."""
    rgba = np.full((16, 16, 4), colour, dtype=np.uint8)
    rgba[..., 3] = 0
    rgba[4:12, 4:12, 3] = 255
    return Image.fromarray(rgba)


def decided(*images: Image.Image, **asked: object) -> Conversion:
    return decide({str(number): tones_of(image) for number, image in enumerate(images)}, **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (ramp(0, 1000, "uint16"), (0, 1023)),
        (ramp(3, 4071, "uint16"), (0, 4095)),
        (ramp(0, 16000, "int32"), (0, 16383)),
        (ramp(10, 65000, "uint16"), (0, 65535)),
        (ramp(0, 200, "uint16"), (0, 255)),
        (ramp(0.01, 0.98, "float32"), (0, 1)),
        (ramp(0, 4000, "uint16").convert("I").convert("F"), (0, 4095)),
    ],
)
def test_the_range_is_that_of_the_fewest_bits_that_hold_the_values(image: Image.Image, expected: tuple[float, float]) -> None:
    assert decided(image).grey_range == expected


@pytest.mark.parametrize(("low", "high", "dtype"), [(-1024, 3071, "int32"), (-2.5, 4.0, "float32"), (32768, 36864, "int32")])
def test_values_that_no_depth_fits_keep_nearly_all_levels(low: float, high: float, dtype: str) -> None:
    image = ramp(low, high, dtype)
    found = decided(image).grey_range
    assert found is not None
    assert found == pytest.approx((low, high), abs=0.01 * (high - low))
    assert len(np.unique(np.asarray(to_rgb(image, found)))) > 250


def test_all_images_share_one_range_however_dark_one_of_them_is() -> None:
    assert decided(ramp(0, 900, "uint16"), ramp(0, 4000, "uint16")).grey_range == (0, 4095)


def test_a_burnt_in_mark_does_not_make_the_rest_black() -> None:
    values = np.linspace(0, 4000, 4096).reshape(64, 64).astype(np.uint16)
    values[0, :3] = 65535
    assert decided(Image.fromarray(values)).grey_range == (0, 4095)


def test_eight_bits_stay_as_they_are() -> None:
    found = decided(Image.new("L", (8, 8), 200), Image.new("RGB", (8, 8), (9, 200, 30)))
    assert (found.grey_range, found.background, found.notes, found.warnings) == (None, None, (), ())


def test_a_range_that_is_set_counts_and_is_said() -> None:
    found = decided(ramp(-1000, 2000, "int32"), grey_range=(-160.0, 240.0))
    assert found.grey_range == (-160, 240)
    assert "from -1000 to 2000; data.grey_range shows -160 as black and 240 as white" in found.notes[0]


def test_full_warns_where_images_become_nearly_black() -> None:
    found = decided(ramp(0, 4000, "uint16"), grey_range="full")
    assert found.grey_range is None
    assert "nearly black: the brightest pixels reach 6.1 %" in found.warnings[0]


def test_images_outside_a_range_are_counted() -> None:
    found = decided(ramp(0, 100, "int32"), ramp(500, 900, "int32"), grey_range=(400.0, 1000.0))
    assert "1 image(s) lie wholly outside the value range 400 to 1000" in found.warnings[0]


def test_eight_bit_images_that_hold_fewer_bits_are_a_warning() -> None:
    assert (
        "of 8 bits are nearly black: the brightest pixels reach 5.9 %"
        in decided(Image.new("RGB", (8, 8), (15, 15, 15))).warnings[0]
    )


def test_values_that_are_no_numbers_are_listed_and_become_black() -> None:
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    values[0, :2] = np.nan, np.inf
    found = decided(Image.fromarray(values))
    assert [(each.path, each.what) for each in found.problems] == [("0", "2 value(s) are no finite numbers")]
    assert np.asarray(to_rgb(Image.fromarray(values), (0, 1)))[0, :2, 0].tolist() == [0, 255]


@pytest.mark.parametrize(("colours", "background"), [([0, 40], "white"), ([255], "black"), ([0, 255], "grey")])
def test_drawings_in_alpha_are_laid_on_what_they_stand_out_against(colours: list[int], background: str) -> None:
    images = [drawing(colour) for colour in colours]
    found = decided(*images)
    assert found.background == background
    for image in images:
        shown = np.asarray(to_rgb(image, None, found.background)).astype(int)
        assert abs(shown[8, 8, 0] - shown[0, 0, 0]) > 100


def test_dropped_alpha_that_carried_the_drawing_is_a_warning() -> None:
    found = decided(drawing(0), alpha="drop")
    assert found.background is None
    assert "1 image(s) are one colour without their alpha" in found.warnings[-1]


def test_an_opaque_alpha_channel_decides_nothing() -> None:
    assert decided(Image.new("RGBA", (8, 8), (10, 200, 30, 255))).background is None


def test_transparent_palettes_and_colour_keys_count_as_alpha() -> None:
    keyed = Image.new("L", (8, 8), 0)
    keyed.paste(90, (2, 2, 6, 6))
    keyed.info["transparency"] = 0
    found = decided(keyed)
    assert found.background == "white"
    assert np.asarray(to_rgb(keyed, None, "white"))[[0, 3], [0, 3], 0].tolist() == [255, 90]


def test_of_two_depths_in_equal_numbers_the_wider_is_listed() -> None:
    result = decided(ramp(0, 4000, "uint16"), ramp(0, 255, "uint8"))
    assert [problem.path for problem in result.problems] == ["0"]
