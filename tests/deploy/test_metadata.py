"""What an ONNX file says of itself is what its manifest says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import onnxruntime
import pytest
from edgenas.exporters.onnx import typed_graph

from edgenas.deploy.artefact import verify, write_artefact
from edgenas.deploy.contracts import ExportedFile, ExportSpec
from edgenas.deploy.metadata import contradictions, metadata
from edgenas.deploy.plugins import get_exporter, get_runtime
from edgenas.testing.exporters import INPUT_SHAPE, tiny_net
from tests.deploy.conftest import CLASSES, facts, parity_of, reference

HOW = facts().preprocessing
TEXTS = metadata(CLASSES, HOW, "covid-19", 0.4)


def test_the_texts_are_enough_to_use_the_model_without_its_folder() -> None:
    assert TEXTS["schema_version"] == "1"
    assert json.loads(TEXTS["classes"]) == list(CLASSES)
    assert json.loads(TEXTS["preprocessing"]) == HOW
    assert (TEXTS["decision"], TEXTS["positive"], float(TEXTS["threshold"])) == ("threshold", "covid-19", 0.4)


def test_what_a_person_decides_is_in_the_texts_and_must_be_what_the_manifest_says() -> None:
    texts = metadata(CLASSES, HOW, "covid-19", 0.4, (0.25, 0.75))
    assert json.loads(texts["refer"]) == [0.25, 0.75]
    assert "refer" not in TEXTS
    assert contradictions(texts, TEXTS) == ["refer"]
    assert contradictions(texts, metadata(CLASSES, HOW, "covid-19", 0.4, (0.25, 0.5))) == ["refer"]
    assert contradictions(TEXTS, texts) == []  # a file of before


@pytest.mark.parametrize(("positive", "threshold"), [(None, None), ("covid-19", None)])
def test_without_a_threshold_the_most_probable_class_is_decided(positive: str | None, threshold: float | None) -> None:
    texts = metadata(CLASSES, HOW, positive, threshold)
    assert texts["decision"] == "argmax"
    assert not {"positive", "threshold"} & set(texts)


def test_a_file_carries_them_and_computes_what_it_computed_without(exported: dict[str, ExportedFile], tmp_path: Path) -> None:
    spec = ExportSpec(INPUT_SHAPE, batch_size=None, precision="fp16", metadata=TEXTS)
    (told,) = get_exporter("onnx").export(tiny_net(), spec, tmp_path)
    model, plain = onnx.load(told.path), exported["fp16"]
    assert {entry.key: entry.value for entry in model.metadata_props} == TEXTS
    del model.metadata_props[:]
    assert model.SerializeToString(deterministic=True) == plain.path.read_bytes()
    assert told.emulation is not None
    assert plain.emulation is not None
    assert told.emulation.read_bytes() == plain.emulation.read_bytes()


def test_engines_are_built_of_a_graph_without_them() -> None:
    assert not typed_graph(tiny_net(), ExportSpec(INPUT_SHAPE, metadata=TEXTS)).graph.metadata_props


def told(file: ExportedFile, folder: Path, texts: dict[str, str]) -> ExportedFile:
    """The file with metadata."""
    model = onnx.load(file.path)
    onnx.helper.set_model_props(model, texts)
    onnx.save(model, folder / file.path.name)
    return replace(file, path=folder / file.path.name)


def test_onnx_runtime_gives_them_back(exported: dict[str, ExportedFile], tmp_path: Path) -> None:
    file = told(exported["fp32"], tmp_path, TEXTS)
    session = onnxruntime.InferenceSession(str(file.path), providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == TEXTS


def test_a_name_that_is_no_unicode_can_be_written(exported: dict[str, ExportedFile], tmp_path: Path) -> None:
    texts = metadata(("a", "b\udcff"), HOW, "b\udcff", 0.5)
    assert json.loads(texts["classes"]) == ["a", "b\udcff"]
    assert told(exported["fp32"], tmp_path, texts).path.is_file()


def test_a_file_that_contradicts_its_manifest_does_not_verify(exported: dict[str, ExportedFile], tmp_path: Path) -> None:
    file = told(exported["fp32"], tmp_path, metadata(CLASSES[::-1], HOW, "covid-19", 0.9))
    folder = write_artefact(tmp_path / "artefact", [(file, parity_of())], facts(), reference=reference).folder
    here = {"onnxruntime-cpu": get_runtime("onnxruntime-cpu")}
    (check,) = [check for check in verify(folder, here) if check.name == "metadata"]
    assert check.verdict == "failed"
    assert check.reason == "what it says of classes, threshold is not what the manifest says"


def test_files_of_before_and_of_later_are_not_compared(make_artefact: Callable[..., Path]) -> None:
    here = {"onnxruntime-cpu": get_runtime("onnxruntime-cpu")}
    assert "metadata" not in {check.name for check in verify(make_artefact(), here)}
    assert contradictions({}, TEXTS) == []
    assert contradictions({**TEXTS, "schema_version": "2", "classes": "new"}, TEXTS) == []
    assert contradictions({**TEXTS, "note": "of somebody"}, TEXTS) == []
    assert contradictions({"schema_version": "1"}, TEXTS) == ["classes", "decision", "positive", "preprocessing", "threshold"]
