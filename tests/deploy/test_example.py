"""`example.py` runs alone and answers as edgenas does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgenas.data.preprocess import Preprocess
from edgenas.deploy import _example
from edgenas.deploy.parity import probabilities as class_probabilities
from edgenas.records import DecisionRule
from edgenas.stats import decide, refers
from tests.deploy.conftest import CLASSES, reference

Make = Callable[..., Path]


def run(folder: Path, *paths: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(folder / "example.py"), *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder.parent, check=False)


def save_images(folder: Path, num: int = 6) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = []
    for index in range(num):
        height, width = rng.integers(9, 40, size=2)
        path = folder / f"{index}.png"
        Image.fromarray(rng.integers(0, 256, size=(height, width, 3), dtype=np.uint8)).save(path)
        paths.append(path)
    return paths


@pytest.mark.parametrize("threshold", [0.2, 0.4])
def test_it_prints_path_class_and_probability(make_artefact: Make, tmp_path: Path, threshold: float) -> None:
    folder = make_artefact(threshold=threshold)
    paths = save_images(tmp_path)
    done = run(folder, *paths)
    assert (done.returncode, done.stderr) == (0, "")
    preprocess = Preprocess(8, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
    images = np.stack([preprocess(Image.open(path)) for path in paths])
    probabilities = class_probabilities(reference(images))
    decisions = decide(probabilities, 1, threshold)
    for line, path, row, index in zip(done.stdout.splitlines(), paths, probabilities, decisions, strict=True):
        printed_path, name, probability = line.split("\t")
        assert (printed_path, name) == (str(path), CLASSES[index])
        assert float(probability) == pytest.approx(row[index], abs=1e-4)


def test_bad_images_are_named_in_one_line_each(make_artefact: Make, tmp_path: Path) -> None:
    folder = make_artefact()
    (good,) = save_images(tmp_path, 1)
    text, cut = tmp_path / "text.png", tmp_path / "cut.png"
    text.write_text("no image")
    cut.write_bytes(good.read_bytes()[:300])
    done = run(folder, tmp_path / "missing.png", text, cut, tmp_path, good)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == [
        str(tmp_path / "missing.png"),
        str(text),
        str(cut),
        str(tmp_path),
    ]


def test_without_an_image_it_says_how_to_call_it(make_artefact: Make) -> None:
    done = run(make_artefact())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "usage: python example.py IMAGE...\n"


def test_images_for_a_person_are_marked(make_artefact: Make, tmp_path: Path) -> None:
    rule = DecisionRule(rule="threshold", positive="covid-19", threshold=0.4, refer=(0.22, 0.228))
    folder = make_artefact(decision=rule)
    paths = save_images(tmp_path, 12)
    preprocess = Preprocess(8, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
    p_N = class_probabilities(reference(np.stack([preprocess(Image.open(path)) for path in paths])))[:, 1]
    marks = [line.split("\t")[3:] for line in run(folder, *paths).stdout.splitlines()]
    assert marks == [["refer"] if is_referred else [] for is_referred in refers(p_N, 0.22, 0.228)]
    assert ["refer"] in marks
    assert [] in marks


def test_it_needs_no_edgenas(make_artefact: Make) -> None:
    source = (make_artefact() / "example.py").read_text()
    assert "import edgenas" not in source
    assert "from edgenas" not in source


MODES = ["RGB", "L", "RGBA", "P", "1", "CMYK", "I;16", "LA", "I", "F"]


def picture(mode: str) -> Image.Image:
    rng = np.random.default_rng(1)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, size=(45, 61), dtype=np.uint16))
    if mode == "I":
        return Image.fromarray(rng.integers(-1024, 3072, size=(45, 61), dtype=np.int32))
    if mode == "F":
        return Image.fromarray(rng.normal(size=(45, 61)).astype(np.float32))
    if mode in ("RGBA", "LA"):
        return Image.fromarray(rng.integers(0, 256, size=(45, 61, 4), dtype=np.uint8)).convert(mode)
    return Image.fromarray(rng.integers(0, 256, size=(45, 61, 3), dtype=np.uint8)).convert(mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("resize_mode", ["squash", "crop", "letterbox"])
@pytest.mark.parametrize("crop_pct", [1.0, 0.875])
@pytest.mark.parametrize(("resize", "background"), [("bicubic", None), ("lanczos", "grey"), ("box", "white"), ("bilinear", None)])
def test_its_preprocessing_is_that_of_training(
    tmp_path: Path, mode: str, resize_mode: str, crop_pct: float, resize: str, background: str | None
) -> None:
    how = Preprocess(
        32,
        (0.5, 0.4, 0.3),
        (0.2, 0.25, 0.3),
        resize=resize,  # type: ignore[arg-type]
        resize_mode=resize_mode,  # type: ignore[arg-type]
        crop_pct=crop_pct,
        grey_range=None if background is None else (-1.5, 4095.0),
        background=background,  # type: ignore[arg-type]
    )
    path = tmp_path / ("image.tif" if mode in ("CMYK", "I", "F") else "image.png")
    picture(mode).save(path)
    ours = _example.preprocess(path, json.loads(json.dumps(how.as_json())))
    with Image.open(path) as opened:
        np.testing.assert_array_equal(ours[0], how(opened))


def test_its_preprocessing_turns_photographs_upright(tmp_path: Path) -> None:
    how = Preprocess(8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    pixels[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.png"
    Image.fromarray(pixels).save(path, exif=exif)
    ours = _example.preprocess(path, how.as_json())
    assert (ours[0, :, :, -1] == 1).all()
    with Image.open(path) as opened:
        np.testing.assert_array_equal(ours[0], how(opened))
