"""`example.py` runs alone and answers as edgenas does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgenas.data.files import DICOM_EXTENSIONS, EXTENSIONS
from edgenas.data.preprocess import Preprocess
from edgenas.deploy import _example
from edgenas.deploy.parity import probabilities as class_probabilities
from edgenas.records import DecisionRule, LatencyFacts, TableFacts
from edgenas.stats import decide, refers
from tests.deploy.conftest import CLASSES, reference

Make = Callable[..., Path]


def run(folder: Path, *paths: Path | str) -> subprocess.CompletedProcess[str]:
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
    (tmp_path / "empty").mkdir()
    done = run(folder, tmp_path / "missing.png", text, cut, tmp_path / "empty", good)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == [
        str(tmp_path / "missing.png"),
        str(text),
        str(cut),
        str(tmp_path / "empty"),
    ]


def test_without_an_image_it_says_how_to_call_it(make_artefact: Make) -> None:
    done = run(make_artefact())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: python example.py [--benchmark] [--calls N] [--threads N] IMAGE_OR_FOLDER...\n")
    assert done.stderr.endswith("error: no image is given\n")


def test_of_a_folder_it_reads_all_images_by_name(make_artefact: Make, tmp_path: Path) -> None:
    images = tmp_path / "images"
    for place in ("b", "a/c"):
        (images / place).mkdir(parents=True)
        save_images(images / place, 2)
    (images / "notes.txt").write_text("no image")
    (images / "B.JPG").write_bytes((images / "b" / "0.png").read_bytes())
    done = run(make_artefact(), images)
    assert (done.returncode, done.stderr) == (0, "")
    shown = [str(Path(line.split("\t")[0]).relative_to(images)) for line in done.stdout.splitlines()]
    assert shown == ["B.JPG", "a/c/0.png", "a/c/1.png", "b/0.png", "b/1.png"]


def test_it_takes_those_files_of_a_folder_for_images_that_training_took() -> None:
    assert set(EXTENSIONS) - set(DICOM_EXTENSIONS) <= set(_example.IMAGES)


def test_it_times_the_model_and_says_what_was_measured_before(make_artefact: Make) -> None:
    table = TableFacts(path="t.json", sha256="0" * 64, device="A\nBox", runtime="onnxruntime-cpu", precision="fp32", batch_size=1)
    latency = LatencyFacts(latency_ms_predicted=None, latency_ms_upper=None, latency_ms_measured=0.5, table=table)
    done = run(make_artefact(latency=latency), "--benchmark", "--calls", "30", "--threads", "1")
    assert (done.returncode, done.stderr) == (0, "")
    rows = dict(line.split("\t") for line in done.stdout.splitlines())
    assert (rows["model"], rows["threads"], rows["calls"]) == ("model-fp32-b1.onnx", "1", "30")
    assert 0 < float(rows["p5_ms"]) <= float(rows["median_ms"]) <= float(rows["p95_ms"])
    assert float(rows["images_per_s"]) == pytest.approx(1000 / float(rows["median_ms"]), rel=0.01)
    assert rows["manifest_ms"] == "0.5000 on A Box, onnxruntime-cpu fp32"


@pytest.mark.parametrize("words", [("--benchmark", "--calls", "0"), ("--threads", "-1", "a.png"), ("--calls", "many", "a.png")])
def test_numbers_that_mean_nothing_are_refused(make_artefact: Make, words: tuple[str, ...]) -> None:
    done = run(make_artefact(), *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_its_help_names_what_it_needs_and_can_do(make_artefact: Make) -> None:
    done = run(make_artefact(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("pip install onnxruntime numpy pillow", "--benchmark", "IMAGE_OR_FOLDER", "separated by tabs"):
        assert words in done.stdout


def test_a_class_with_a_line_feed_stays_in_its_line(make_artefact: Make, tmp_path: Path) -> None:
    names = ("a\nb", "covid-19", "c\x1b[31m\t")
    folder = make_artefact(classes=names)
    done = run(folder, *save_images(tmp_path))
    assert {len(line.split("\t")) for line in done.stdout.splitlines()} == {3}
    shown = (folder / "labels.txt").read_text().splitlines()
    assert [_example.one_line(name) for name in names] == shown == ["a\\nb", "covid-19", "c\\x1b[31m\\t"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_every_name_of_a_file_stays_in_its_line(make_artefact: Make, tmp_path: Path, encoding: str) -> None:
    folder, images = make_artefact(), tmp_path / "images"
    images.mkdir()
    (good,) = save_images(tmp_path, 1)
    for name in ("a\tb\n\x1b[31m.png", os.fsdecode(b"c\xff.png"), "ü.png"):
        (images / name).write_bytes(good.read_bytes())
    command = [sys.executable, str(folder / "example.py"), str(images), str(tmp_path / "no\n\x1b.png")]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    shown = [line.split("\t")[0].removeprefix(f"{images}/") for line in done.stdout.decode(encoding).splitlines()]
    assert shown == ["a\\tb\\n\\x1b[31m.png", "c\\udcff.png", "ü.png" if encoding == "utf-8" else "\\xfc.png"]
    assert [line.count("\\x1b") for line in done.stderr.decode().splitlines()] == [2]
    assert b"\x1b" not in done.stderr


def test_a_full_disk_is_said_in_one_line(make_artefact: Make, tmp_path: Path) -> None:
    command = [sys.executable, "-I", str(make_artefact() / "example.py"), *map(str, save_images(tmp_path))]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "example.py: [Errno 28] No space left on device\n")


def test_who_reads_no_further_hears_nothing(make_artefact: Make, tmp_path: Path) -> None:
    command = [sys.executable, "-I", str(make_artefact() / "example.py"), *map(str, save_images(tmp_path))]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_an_interrupt_ends_it_without_a_traceback(make_artefact: Make, tmp_path: Path) -> None:
    (image,) = save_images(tmp_path, 1)
    command = [sys.executable, "-I", "-u", str(make_artefact() / "example.py"), *[str(image)] * 5000]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=300)
    assert (process.returncode, said) == (130, "")


@pytest.mark.parametrize("error", [IndexError("out of range"), ZeroDivisionError(), MemoryError(), TypeError("a\nb")])
def test_whatever_damaged_bytes_raise_is_named(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    class Damaged:
        def prepared(self, path: str) -> None:
            raise error

    assert _example.classify(Damaged(), ["a.png"]) == 1  # type: ignore[arg-type]
    said = " ".join(str(error).split()) or type(error).__name__
    assert capsys.readouterr() == ("", f"example.py: a.png: {said}\n")


def test_images_for_a_person_are_marked(make_artefact: Make, tmp_path: Path) -> None:
    rule = DecisionRule(rule="threshold", positive="covid-19", threshold=0.4, refer=(0.22, 0.228))
    folder = make_artefact(decision=rule)
    paths = save_images(tmp_path, 12)
    preprocess = Preprocess(8, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
    p_N = class_probabilities(reference(np.stack([preprocess(Image.open(path)) for path in paths])))[:, 1]
    assert "a fourth column, `refer`" in (folder / "README.md").read_text()
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
