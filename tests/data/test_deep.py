"""Colours of 16 bits: every bit of them is read, and they become 8 bits by the rule of the data set, here and in `example.py`."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgenas.data.deep import deep_values
from edgenas.data.files import decode_bytes, decode_file
from edgenas.data.folder import open_folder
from edgenas.data.inspect import Inspection, inspect
from edgenas.data.preprocess import Preprocess, is_wide, to_rgb
from edgenas.data.samples import displayed
from edgenas.data.tones import decide, tones_of
from edgenas.deploy import _example

Values = NDArray[np.uint16]
ORIENTATION = 274


def noise(*shape: int, top: int = 1 << 16) -> Values:
    return np.random.default_rng(0).integers(0, top, shape, dtype=np.uint16)


def png(path: Path, values: Values, *, turned: bool = False) -> Path:
    """A PNG file of 16 bits with any number of channels, by its own rules."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    extra = [(b"eXIf", exif.tobytes()[6:])] if turned else []
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    data = [struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(data))
    return path


def by_opencv(path: Path, values: Values, *options: int) -> Path:
    """Written with filters and predictors that compress; OpenCV's channels are blue, green, red, alpha."""
    order = [2, 1, 0, 3][: values.shape[2]]
    assert cv2.imwrite(str(path), values[..., order], list(options))
    return path


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("kind", ["plain.png", "filtered.png", "raw.tif", "lzw.tif", "deflate.tiff"])
def test_every_bit_is_read(tmp_path: Path, channels: int, kind: str) -> None:
    values = np.sort(noise(13, 17, channels), axis=1)
    options = {"raw.tif": (cv2.IMWRITE_TIFF_COMPRESSION, 1), "deflate.tiff": (cv2.IMWRITE_TIFF_COMPRESSION, 8)}.get(kind, ())
    path = png(tmp_path / kind, values) if kind == "plain.png" else by_opencv(tmp_path / kind, values, *options)
    for image in (decode_file(path), decode_bytes(path.read_bytes(), "it")):
        assert is_wide(image)
        assert np.array_equal(deep_values(image), values[..., :3])
        assert np.array_equal(np.asarray(image), values >> 8)


def test_grey_with_alpha_is_read_with_every_bit(tmp_path: Path) -> None:
    values = noise(9, 7, 2)
    image = decode_file(png(tmp_path / "a.png", values))
    assert np.array_equal(deep_values(image), values[..., 0])
    assert np.array_equal(np.asarray(image.getchannel("A")), values[..., 1] >> 8)


def test_colours_of_eight_bits_and_grey_of_sixteen_are_as_ever(tmp_path: Path) -> None:
    Image.fromarray(noise(9, 7, 3, top=256).astype(np.uint8)).save(tmp_path / "a.png")
    assert not is_wide(decode_file(tmp_path / "a.png"))
    assert decode_file(png(tmp_path / "b.png", noise(9, 7, 1))).mode.startswith("I;16")


@pytest.mark.parametrize(("bits", "top"), [(10, 1023), (12, 4095), (16, 65535)])
def test_colours_of_fewer_bits_in_sixteen_keep_their_levels(tmp_path: Path, bits: int, top: int) -> None:
    values = noise(32, 32, 3, top=1 << bits)
    image = decode_file(png(tmp_path / "a.png", values))
    found = decide({"a": tones_of(image)})
    assert found.grey_range == (0, top)
    assert found.notes[0].startswith(f"1 image(s) have whole colours of more than 8 bits, from {values.min()} to {values.max()};")
    assert not found.warnings
    expected = np.floor(values * 255.0 / top + 0.5).astype(np.uint8)
    assert np.array_equal(np.asarray(to_rgb(image, found.grey_range)), expected)
    assert np.array_equal(np.asarray(to_rgb(image)), values >> 8)  # as projects of before read them


def test_transparent_ones_are_laid_on_what_they_stand_out_against(tmp_path: Path) -> None:
    values = np.zeros((16, 16, 4), dtype=np.uint16)
    values[4:12, 4:12] = (4000, 4000, 4000, 65535)  # bright in 12 bits, nearly black in 16
    image = decode_file(png(tmp_path / "a.png", values))
    found = decide({"a": tones_of(image)})
    assert (found.grey_range, found.background) == ((0, 4095), "black")
    levels = np.asarray(to_rgb(image, found.grey_range, found.background))
    assert (levels[0, 0].tolist(), levels[8, 8].tolist()) == ([0, 0, 0], [249, 249, 249])


@pytest.mark.parametrize(("colour", "background"), [(4000, "black"), (90, "white")])
def test_drawings_of_alpha_alone_are_no_dark_images(tmp_path: Path, colour: int, background: str) -> None:
    values = np.full((16, 16, 4), colour, dtype=np.uint16)
    values[..., 3] = 65535 * (np.arange(16) > 7)
    found = decide({"a": tones_of(decode_file(png(tmp_path / "a.png", values)))})
    assert (found.background, found.warnings) == (background, ())
    assert found.grey_range == ((0, 4095) if colour > 255 else (0, 255))


def test_both_bytes_are_turned_as_exif_says(tmp_path: Path) -> None:
    values = noise(8, 12, 3)
    image = decode_file(png(tmp_path / "a.png", values, turned=True))
    expected = np.floor(values * 255.0 / 65535 + 0.5).astype(np.uint8)
    assert np.array_equal(np.asarray(to_rgb(image, (0, 65535))), np.rot90(expected, -1))
    assert displayed(image)[0].shape == (12, 8, 3)
    assert displayed(image)[1] == f"RGB 8 x 12, 16 bits, {values.min()} to {values.max()}"


def test_pictures_that_differ_in_lower_bits_alone_are_two_and_those_of_the_same_levels_one(tmp_path: Path) -> None:
    levels = noise(9, 9, 3, top=256)
    (tmp_path / "a").mkdir()
    Image.fromarray(levels.astype(np.uint8)).save(tmp_path / "a" / "0.png")
    png(tmp_path / "a" / "1.png", levels * 257)
    png(tmp_path / "a" / "2.png", levels * 256)
    (tmp_path / "b").mkdir()
    *_, found = inspect(open_folder(str(tmp_path)))
    assert isinstance(found, Inspection)
    assert found.shown[0] == found.shown[1] != found.shown[2]


def test_a_cut_file_is_named(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", noise(40, 40, 3))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(Exception, match=r"a\.png cannot be decoded"):
        decode_file(path)


def test_a_file_of_endless_size_is_not_read_whole(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", noise(9, 7, 2))
    with path.open("ab") as file:
        file.truncate(20 << 30)
    with pytest.raises(Exception, match=r"a\.png cannot be decoded: .*larger than 1024 MB"):
        decode_file(path)


@pytest.mark.parametrize("background", ["black", "white", None])
@pytest.mark.parametrize(("suffix", "channels"), [(".png", 2), (".png", 3), (".png", 4), (".tif", 3), (".tif", 4)])
@pytest.mark.parametrize("grey_range", [(0.0, 4095.0), None])
def test_example_py_reads_them_bit_by_bit_alike(
    tmp_path: Path, channels: int, background: str | None, suffix: str, grey_range: tuple[float, float] | None
) -> None:
    values = noise(21, 30, channels, top=4096)
    if channels != 3:
        values[..., -1] *= 16
    if suffix == ".png":
        path = png(tmp_path / "a.png", values, turned=True)
    else:
        path = by_opencv(tmp_path / "a.tif", values)
    how = Preprocess(8, (0.5,) * 3, (0.25,) * 3, grey_range=grey_range, background=background)  # type: ignore[arg-type]
    assert np.array_equal(_example.preprocess(path, how.as_json())[0], how(decode_file(path)))
