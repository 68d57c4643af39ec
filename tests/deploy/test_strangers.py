"""Artefact folders of strangers: whatever the model or the manifest is, the check ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgenas.deploy import _apart
from edgenas.deploy.artefact import load_manifest, verify
from edgenas.errors import ArtefactError
from edgenas.portable.sealing import canonical_sha256
from edgenas.runs import sha256_file


@pytest.fixture
def artefact(make_artefact: Callable[..., Path]) -> Path:
    return make_artefact()


def resealed(folder: Path, change: Any) -> None:
    path = folder / "manifest.json"
    value = json.loads(path.read_text())
    del value["sha256"]
    change(value)
    path.write_text(json.dumps({**value, "sha256": canonical_sha256(value)}))


def put_model(folder: Path, nodes: list[Any], constants: dict[str, Any]) -> None:
    """Another model under the right hash."""
    entry = json.loads((folder / "manifest.json").read_text())["files"][0]
    shape = json.loads((folder / "manifest.json").read_text())["input"]["shape"][1:]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    path = folder / entry["path"]
    onnx.save(model, path)
    new = {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}
    resealed(folder, lambda value: value["files"][0].update(new))


def test_a_model_that_takes_all_memory_fails_and_this_process_does_not(artefact: Path) -> None:
    grown = [
        helper.make_node("Expand", ["zero", "size"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["logits"], keepdims=0),
    ]
    put_model(artefact, grown, {"zero": np.zeros(1, np.float32), "size": np.array([1 << 33], np.int64)})
    assert "failed" in {check.verdict for check in verify(artefact) if check.name == "golden"}


def test_a_model_that_does_not_end_is_stopped(artefact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_apart, "CPU_S", 1.0)
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Mul", ["x", "x"], ["y"])],
        "body",
        [info("i", 7, []), info("go", 9, []), info("x", 1, None)],
        [info("on", 9, []), info("y", 1, None)],
    )
    put_model(artefact, [helper.make_node("Loop", ["", "true", "image"], ["logits"], body=body)], {"true": np.array(True)})
    reasons = [check.reason for check in verify(artefact) if check.verdict == "failed"]
    assert reasons == ["it was stopped: it did not end within 1 s"]


def test_a_file_that_is_not_listed_fails(artefact: Path) -> None:
    (artefact / "numpy.py").write_text("raise SystemExit(0)")
    failed = [(check.path, check.name) for check in verify(artefact, {}) if check.verdict == "failed"]
    assert failed == [("numpy.py", "listed")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda value: value["golden"]["max_error"].update(fp32=1e9), "golden.max_error.fp32"),
        (lambda value: value["golden"].update(num_samples=10**12), "golden.num_samples"),
        (lambda value: value["files"][0].update(batch_size=10**9), "batch_size"),
        (lambda value: value["input"].update(shape=[None, 3, 10**9, 8]), "input.shape"),
        (lambda value: value.update(threshold=7.0), "threshold"),
        (lambda value: value["files"][0].update(path="a\0b"), "leaves the folder"),
    ],
    ids=["tolerance", "samples", "batch", "shape", "threshold", "name"],
)
def test_absurd_numbers_under_a_right_hash_are_named(artefact: Path, change: Any, words: str) -> None:
    resealed(artefact, change)
    with pytest.raises(ArtefactError, match="is not valid") as caught:
        load_manifest(artefact)
    assert any(words in problem for problem in caught.value.problems)


def test_a_null_edited_to_an_endless_number_does_not_keep_its_hash(artefact: Path) -> None:
    path = artefact / "manifest.json"
    text = path.read_text()
    assert ": null" in text
    path.write_text(text.replace(": null", ": 1e999", 1))
    with pytest.raises(ArtefactError, match="no number that can be kept"):
        load_manifest(artefact)


def test_the_process_apart_says_why_it_ended() -> None:
    assert _apart._end(-11) == "it ended the process that ran it, by SIGSEGV"


def test_what_a_process_takes_to_start_is_not_a_models_time() -> None:
    reading, writing = os.pipe()
    code = f"import os, time; time.sleep(1); os.write({writing}, b'ready'); os.write({writing}, b' and so on')"
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", code], pass_fds=(writing,))
    os.close(writing)
    said, why, took_s = _apart._listen(reading, process, 120.0, max_bytes=None)
    os.close(reading)
    assert (said, why) == (b"ready and so on", "")
    assert 0 <= took_s <= time.monotonic() - began - 1
