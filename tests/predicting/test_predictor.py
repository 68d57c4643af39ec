"""An artefact answers about images exactly as its export was judged."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgenas.data.preprocess import Preprocess
from edgenas.deploy.contracts import ExportedFile
from edgenas.deploy.decisions import probabilities
from edgenas.deploy.judging import answers
from edgenas.errors import ArtefactError, DataError, MissingInputError
from edgenas.predicting.predictor import Predictor
from edgenas.records import Prediction
from edgenas.runs import RunFolder
from edgenas.stats import decide
from tests.deploy.conftest import CLASSES
from tests.predicting.conftest import THRESHOLD, ZONE, written

Pictures = Callable[..., list[Path]]


def test_its_answers_are_bit_by_bit_those_that_parity_was_judged_by(artefact: Path, pictures: Pictures) -> None:
    paths = pictures(40)
    predictor = Predictor.open(artefact)
    preprocess = Preprocess.from_json(predictor.manifest.preprocessing)
    images_NCHW = np.stack([preprocess(Image.open(path)) for path in paths])
    file = artefact / predictor.deployed.file
    p_NK = probabilities(answers(file, "onnxruntime-cpu", "fp32", 1, images_NCHW))
    rows = predictor.predict([str(path) for path in paths])
    assert [list(row.probabilities.values()) for row in rows if row.probabilities] == p_NK.tolist()
    assert [row.decision for row in rows] == [CLASSES[index] for index in decide(p_NK, 1, THRESHOLD)]
    assert [row.class_name for row in rows] == [CLASSES[index] for index in p_NK.argmax(axis=1)]
    assert [row.referred for row in rows] == [bool(ZONE[0] <= p <= ZONE[1]) for p in p_NK[:, 1]]
    assert {row.referred for row in rows} == {True, False}
    assert [row.path for row in rows] == [str(path) for path in paths]


def test_one_call_for_many_images_takes_the_file_for_any_number(artefact: Path, pictures: Pictures) -> None:
    one, many = Predictor.open(artefact), Predictor.open(artefact, batch_size=8)
    assert (one.deployed.file, many.deployed.file) == ("model-fp32-b1.onnx", "model-fp32-dynamic.onnx")
    paths: list[Path | str] = list(pictures(11))
    for first, second in zip(one.predict(paths), many.predict(paths), strict=True):
        assert first.decision == second.decision
        assert first.probability == pytest.approx(second.probability, abs=1e-5)


def test_an_image_in_memory_is_answered_as_its_file(artefact: Path, pictures: Pictures) -> None:
    (path,) = pictures(1)
    predictor = Predictor.open(artefact)
    of_file = predictor.predict(path)
    assert isinstance(of_file, Prediction)
    with Image.open(path) as image:
        of_image, of_array = predictor.predict(image), predictor.predict(np.asarray(image))
    assert of_file.probabilities == of_image.probabilities == of_array.probabilities
    assert (of_file.path, of_array.path) == (str(path), "an image")
    assert predictor.predict([]) == []


def test_what_is_no_image_is_refused_by_its_name(artefact: Path, tmp_path: Path) -> None:
    predictor = Predictor.open(artefact)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DataError, match=r"text\.png is no image that can be read \(8 bytes\)"):
        predictor.predict(tmp_path / "text.png")
    with pytest.raises(DataError, match=r"an array of float64 and shape \(4, 4\) is no image; uint8 of shape"):
        predictor.predict(np.zeros((4, 4)))


def test_an_answer_that_is_no_number_is_an_error_and_no_class(artefact: Path) -> None:
    predictor = Predictor.open(artefact)
    predictor._runner = lambda images_NCHW: np.full((len(images_NCHW), 3), np.nan, dtype=np.float32)  # type: ignore[assignment]
    (row,) = predictor.answers(["a.png"], [np.zeros((3, 8, 8), dtype=np.float32)])
    assert (row.decision, row.referred, row.error) == (None, None, "the net's answer is no finite number")
    predictor._runner = lambda images_NCHW: np.zeros((len(images_NCHW), 5), dtype=np.float32)  # type: ignore[assignment]
    with pytest.raises(ArtefactError, match=r"gives \(1, 5\) for 1 images of 3 classes"):
        predictor.answers(["a.png"], [np.zeros((3, 8, 8), dtype=np.float32)])


def test_a_model_that_is_not_the_exported_one_is_not_opened(models: list[ExportedFile], tmp_path: Path) -> None:
    folder = written(tmp_path / "other", models)
    file = folder / "model-fp32-b1.onnx"
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(ArtefactError, match=r"model-fp32-b1\.onnx is not the file that was exported\. run `edgenas verify"):
        Predictor.open(folder)


def test_a_run_answers_with_its_newest_artefact_that_is_not_rejected(models: list[ExportedFile], tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "edgenas-run")
    with pytest.raises(MissingInputError, match=r"holds no artefact that can be used\. run `edgenas export --format onnx"):
        Predictor.open(run.path)
    run.export.mkdir(parents=True)
    written(run.export / "onnx", models)
    written(run.export / "trt", models, broken=True)
    written(run.export / "onnx-timm-resnet18", models, net="timm:resnet18")
    assert Predictor.open(run.path).deployed.artifact == str(run.export / "onnx")
    rival = Predictor.open(run.path, net="timm:resnet18")
    assert rival.deployed.artifact == str(run.export / "onnx-timm-resnet18")
    with pytest.raises(MissingInputError) as raised:
        Predictor.open(run.path, net="hand")
    assert f"{run.export / 'onnx'} is of searched" in raised.value.problems
    assert str(raised.value.hint).startswith(f"run `edgenas export --net hand --run {run.path}`")
    rejected = Predictor.open(run.export / "trt")
    assert "was rejected by its gates" in rejected.warnings[0]


def test_a_run_of_which_only_a_rival_is_exported_says_how_to_ask_it(models: list[ExportedFile], tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "edgenas-run")
    run.export.mkdir(parents=True)
    written(run.export / "onnx-hand", models, net="hand")
    with pytest.raises(MissingInputError) as raised:
        Predictor.open(run.path)
    assert f"{run.export / 'onnx-hand'} is of hand" in raised.value.problems
    assert "ask for the one that is there by `--net hand`" in str(raised.value.hint)


def test_later_weights_of_the_run_are_named(models: list[ExportedFile], tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "edgenas-run")
    run.export.mkdir(parents=True)
    written(run.export / "onnx", models)
    assert Predictor.open(run.path).warnings == ()
    run.retrain.mkdir()
    (run.retrain / "weights.safetensors").write_bytes(b"later")
    (words,) = Predictor.open(run.path).warnings
    assert "is of earlier weights than" in words


def test_rows_come_back_from_json_with_the_contracts_key() -> None:
    row = Prediction(
        path="a.png", class_name="other", probability=0.5, decision="other", referred=False, probabilities={"other": 0.5}
    )
    assert list(row.as_json()) == ["path", "class", "probability", "decision", "referred", "probabilities"]
    assert Prediction.from_json(row.as_json()) == row
    assert Prediction.from_json(Prediction(path="b", error="no").as_json()).error == "no"
    assert copy.copy(row) == row


@pytest.mark.parametrize("thing", [3, None, {"path": "a.png"}])
def test_what_is_no_image_is_a_value_error(artefact: Path, thing: Any) -> None:
    with pytest.raises(ValueError, match="an image is a path, a PIL image or an array, not "):
        Predictor.open(artefact).predict(thing)
