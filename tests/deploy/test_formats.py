"""Artefacts of OpenVINO and ExecuTorch: whole, checked in processes of their own, shown, and used."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgenas.deploy.artefact import load_manifest, verify, write_artefact
from edgenas.deploy.calibrating import CalibrationImages
from edgenas.deploy.contracts import ExportedFile, ExportSpec
from edgenas.deploy.metadata import metadata
from edgenas.deploy.plugins import get_exporter
from edgenas.errors import ArtefactError
from edgenas.portable.sealing import canonical_sha256
from edgenas.predicting.predictor import Predictor
from edgenas.runs import sha256_file
from edgenas.testing.exporters import INPUT_SHAPE, images, tiny_net

from .conftest import CLASSES, facts, parity_of, reference

FORMATS = ("openvino", *(pytest.param(name, marks=pytest.mark.slow) for name in ("executorch", "executorch int8")))
# the import of the last two alone takes seconds


@pytest.fixture(scope="module")
def file_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ExportedFile]:
    """The file of a format, ``executorch int8`` in a precision, written when the first test asks for it."""
    folder, given = tmp_path_factory.mktemp("formats"), facts()
    texts = metadata(CLASSES, given.preprocessing, given.positive, given.threshold)

    def written(name: str) -> ExportedFile:
        format_name, _, precision = name.partition(" ")
        calibration = CalibrationImages(images(32, seed=1), max_changed=0.2) if precision else None
        spec = ExportSpec(INPUT_SHAPE, precision="int8" if precision else "fp32", metadata=texts, calibration=calibration)
        return get_exporter(format_name).export(tiny_net(), spec, folder)[0]

    return cache(written)


@pytest.fixture(params=FORMATS)
def artefact(request: pytest.FixtureRequest, file_of: Callable[[str], ExportedFile], tmp_path: Path) -> Path:
    return write_artefact(tmp_path / "artefact", [(file_of(request.param), parity_of())], facts(), reference=reference).folder


def changed(artefact: Path, name: str, data: bytes) -> None:
    """Another file under its right hash: what a stranger would send."""
    (artefact / name).write_bytes(data)
    path = artefact / "manifest.json"
    value = json.loads(path.read_text())
    del value["sha256"]
    entry = next(each for each in (value["files"][0], *value["files"][0].get("parts", [])) if each["path"] == name)
    entry.update(sha256=sha256_file(artefact / name), size_bytes=len(data))
    path.write_text(json.dumps({**value, "sha256": canonical_sha256(value)}))


def test_it_is_whole_and_verified_in_its_own_runtime(artefact: Path) -> None:
    checks = verify(artefact)
    assert {check.verdict for check in checks} == {"passed"}, checks
    file = load_manifest(artefact).files[0]
    golden = next(check for check in checks if check.path == file.path and check.name == "golden")
    assert file.runtime in golden.reason
    assert "float32" in " ".join(check.reason for check in checks) or "f32" in " ".join(check.reason for check in checks)
    assert file.total_bytes == sum((artefact / each.path).stat().st_size for each in (file, *(file.parts or ())))


def test_predict_answers_in_its_runtime(artefact: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8))
    with Predictor.open(artefact).closing() as predictor:
        row = predictor.predict(image)
    assert row.class_name in CLASSES
    assert predictor.deployed.runtime.partition("-")[0] == load_manifest(artefact).files[0].runtime.partition("-")[0]


def test_example_and_readme_name_what_they_need(artefact: Path) -> None:
    Image.new("RGB", (9, 9), (200, 30, 90)).save(artefact.parent / "photo.png")
    command = [sys.executable, "-B", str(artefact / "example.py"), str(artefact.parent / "photo.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split("\t")[1] in CLASSES
    page = (artefact / "README.md").read_text(encoding="utf-8")
    kind = load_manifest(artefact).files[0].kind
    assert f"pip install {'openvino' if kind == 'openvino' else 'torch executorch'} numpy pillow" in page
    assert ("compile_model" if kind == "openvino" else "Module.load") in page
    assert "onnxruntime" not in page


def test_what_is_damaged_fails_its_check_and_stops_no_other_process(artefact: Path) -> None:
    file = load_manifest(artefact).files[0]
    name = file.parts[0].path if file.parts else file.path
    changed(artefact, name, (artefact / name).read_bytes()[:2000])
    failed = [check for check in verify(artefact) if check.verdict == "failed"]
    assert failed
    assert all("\n" not in check.reason for check in failed)
    with pytest.raises(ArtefactError):
        Predictor.open(artefact)


def test_a_changed_byte_of_a_part_is_seen(artefact: Path) -> None:
    file = load_manifest(artefact).files[0]
    path = artefact / (file.parts[0].path if file.parts else file.path)
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    assert [check.path for check in verify(artefact) if check.name == "sha256" and check.verdict == "failed"] == [path.name]
    with pytest.raises(ArtefactError, match="is not the file that was exported"):
        Predictor.open(artefact)


def test_texts_that_contradict_the_manifest_fail(file_of: Callable[[str], ExportedFile], tmp_path: Path) -> None:
    swapped = facts(classes=(CLASSES[2], CLASSES[1], CLASSES[0]))
    folder = write_artefact(tmp_path / "artefact", [(file_of("openvino"), parity_of())], swapped, reference=reference).folder
    assert any(check.name == "metadata" and "classes" in check.reason for check in verify(folder))


def test_a_precision_that_the_file_has_not_fails(file_of: Callable[[str], ExportedFile], tmp_path: Path) -> None:
    lied = replace(file_of("openvino"), precision="int8")
    folder = write_artefact(tmp_path / "artefact", [(lied, parity_of())], facts(), reference=reference).folder
    assert any(check.name == "precision" and check.verdict == "failed" for check in verify(folder))
