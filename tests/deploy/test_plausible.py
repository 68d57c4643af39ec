"""Manifests whose hash fits and whose figures cannot be: each is named, and what an export writes is never among them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenas.deploy.artefact import load_manifest, verify
from edgenas.errors import ArtefactError
from edgenas.portable.sealing import canonical_sha256
from edgenas.records import Metrics, SplitMetrics
from edgenas.runs import sha256_file
from edgenas.stats import wilson
from tests.deploy.conftest import CLASSES

Make = Callable[..., Path]
TABLE = ((50, 1, 0), (2, 38, 0), (0, 3, 6))


def measured() -> SplitMetrics:
    """What three classes were decided as."""
    found = {name: wilson(row[place], sum(row)) for place, (name, row) in enumerate(zip(CLASSES, TABLE, strict=True))}
    right = wilson(sum(np.diag(TABLE).tolist()), 100)
    return SplitMetrics(
        split="test", metrics=Metrics(n=100, top1=wilson(95, 100), top1_decision=right, sensitivity=found, confusion_matrix=TABLE)
    )


def edited(folder: Path, *way: Any, new: Any) -> Path:
    """A value of the manifest replaced, and the hash made anew."""
    path = folder / "manifest.json"
    value = json.loads(path.read_text())
    inner = value
    for key in way[:-1]:
        inner = inner[key]
    inner[way[-1]] = new
    del value["sha256"]
    path.write_text(json.dumps({**value, "sha256": canonical_sha256(value)}))
    return folder


def test_what_an_export_writes_is_plausible(make_artefact: Make) -> None:
    assert load_manifest(make_artefact(metrics=measured())).metrics == measured()


@pytest.mark.parametrize(
    ("way", "new", "words"),
    [
        (("verdict",), "splendid", "verdict is 'splendid', expected passed or"),
        (("verdict",), "failed", "status is accepted, where the verdict failed makes it rejected"),
        (("word",), "certified", "word is 'certified', where the verdict is passed"),
        (("input", "layout"), "NHWC", "expected float32, NCHW"),
        (("input", "shape", 0), 7, "input.shape begins with 7, expected null"),
        (("output", "shape", 1), 1000, r"output.shape is \[None, 1000\], expected \[null, 3\]"),
        (("preprocessing", "image_px"), 224, "preprocessing.image_px is 224"),
        (("preprocessing", "mean", 1), 1e308, "preprocessing.mean is"),
        (("preprocessing", "std", 2), 0, "preprocessing.std is"),
        (("preprocessing", "std"), [1, 1], "preprocessing.std is"),
        (("preprocessing", "crop_pct"), 1e-6, "expected a share that leaves a square of at most 16384 px"),
        (("preprocessing", "resize"), "nearest", "preprocessing.resize is 'nearest', expected bilinear or"),
        (("preprocessing", "grey_range"), [5, 5], "expected two numbers, the lower one first"),
        (("preprocessing", "background"), "pink", "preprocessing.background is 'pink'"),
        (("threshold",), 0.9, "decision is not the rule of positive and threshold"),
        (("architecture", "macs"), -1, "architecture.macs is -1"),
        (("data", "splits", "test"), 10**18, "data.splits.test is"),
        (("golden", "seed"), -5, "golden.seed is -5"),
        (("weights", "sha256"), "f" * 63, "weights.sha256 is"),
        (("weights", "origin"), "x" * 5000, "a name has more than 4,096 characters"),
        (("created_on",), "tomorrow", "created_on is 'tomorrow'"),
        (("metrics", "n"), 10**6, "metrics.top1 is of 100 images, where there are 1000000"),
        (("metrics", "top1", "value"), 1.5, r"metrics.top1 is 1.5 \[.* of 100, expected a share"),
        (("metrics", "top1", "low"), 0.99, "expected a share within its interval"),
        (("metrics", "top1", "value"), 0.955, "metrics.top1 is 0.955, which is no share of 100 images"),
        (
            ("metrics", "top1_decision", "value"),
            0.96,
            "metrics.top1_decision is 0.96 of 100, the confusion matrix counts 94 of 100",
        ),
        (("metrics", "sensitivity", "covid-19", "value"), 0.975, "covid-19 is 0.975 of 40, the confusion matrix counts 38 of 40"),
        (("metrics", "confusion_matrix", 0, 0), 51, "metrics.confusion_matrix counts 101 images, where there are 100"),
        (("metrics", "confusion_matrix"), [[100]], "metrics.confusion_matrix has not 3 rows and columns"),
        (("metrics", "balanced_accuracy"), 2.0, "metrics.balanced_accuracy is 2.0"),
        (("metrics", "top1", "n"), 0, r"metrics.top1 is 0.95 \[.* of 0, expected a share"),
        (("metrics", "positive"), "flu", "metrics.positive 'flu' is not among the classes"),
        (
            ("latency",),
            {"latency_ms_predicted": -3.0, "latency_ms_upper": 4.0, "latency_ms_measured": None, "table": None},
            "above 0",
        ),
    ],
)
def test_what_cannot_be_is_named(make_artefact: Make, way: tuple[Any, ...], new: Any, words: str) -> None:
    folder = edited(make_artefact(metrics=measured()), *way, new=new)
    with pytest.raises(ArtefactError, match=words):
        load_manifest(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda said: said.update(verdict="undecided"), "the manifest's verdict is passed, of parity.json 'undecided'"),
        (lambda said: said["files"][0]["parity"].update(verdict="failed"), "of its worst file failed"),
        (
            lambda said: said["files"][0]["parity"]["gates"][0].update(verdict="failed"),
            "passed, and its gates non_finite_images did not",
        ),
        (lambda said: said["files"][0].update(path="other.onnx"), "it is of other files than the manifest's"),
        (lambda said: said.pop("files"), "it cannot be read: files is missing"),
    ],
)
def test_parity_that_says_something_else_than_the_manifest_fails(
    make_artefact: Make, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    folder = make_artefact()
    path = folder / "parity.json"
    said = json.loads(path.read_text())
    change(said)
    path.write_text(json.dumps(said))
    listed = [each["path"] for each in json.loads((folder / "manifest.json").read_text())["support_files"]]
    edited(folder, "support_files", listed.index("parity.json"), "sha256", new=sha256_file(path))
    edited(folder, "support_files", listed.index("parity.json"), "size_bytes", new=path.stat().st_size)
    failed = [check for check in verify(folder, runtimes={}) if check.verdict == "failed"]
    assert [(check.path, check.name) for check in failed] == [("parity.json", "parity")]
    assert words in failed[0].reason
