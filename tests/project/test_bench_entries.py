"""What of a run's artefacts can be timed here, and what is said of timings: files, runtimes, gates."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import pytest

from edgenas.deploy.artefact import write_artefact
from edgenas.deploy.contracts import ExportSpec
from edgenas.deploy.parity import Gates
from edgenas.deploy.plugins import get_exporter
from edgenas.errors import MissingInputError
from edgenas.latency.timing import NetTiming, Turns
from edgenas.project.exporting.benching import bench_of
from edgenas.project.exporting.entries import BenchEntry, Conditions, artefacts_in, baseline_of, entries_of, has_baseline
from edgenas.records import BenchResult, LeftOutFile, WeightsFacts
from edgenas.runs import RunFolder
from edgenas.testing.exporters import INPUT_SHAPE, tiny_net
from tests.deploy.conftest import CLASSES, facts, parity_of, reference

ONE = Conditions(batch_size=1, threads=1)
HAS_OPENVINO = find_spec("openvino") is not None
Made = TypeVar("Made")


def made(steps: Generator[Any, None, Made]) -> Made:
    """What a recipe's part returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: Made = end.value
            return value


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of exports with the present net in one artefact and another net in another."""
    run, exporter = tmp_path_factory.mktemp("run"), get_exporter("onnx")
    parts = tmp_path_factory.mktemp("parts")
    files = [file for size in (1, None) for file in exporter.export(tiny_net(), ExportSpec(INPUT_SHAPE, size), parts)]
    models = [(file, parity_of()) for file in files]
    write_artefact(run / "export" / "onnx", models, facts(), reference=reference)
    rival = facts(weights=WeightsFacts(origin="scratch", sha256="2" * 64))
    write_artefact(run / "export" / "onnx-rival", models[:1], rival, reference=reference)
    return run


@pytest.fixture
def run(exported: Path, tmp_path: Path) -> RunFolder:
    shutil.copytree(exported, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def source_of(run: RunFolder) -> Any:
    """The present net, with images that judge what it was exported to."""
    rng = np.random.default_rng(1)
    images_NCHW = (rng.standard_normal((600, *INPUT_SHAPE)) + 3 * rng.standard_normal((600, 3, 1, 1))).astype(np.float32)
    logits_NK = reference(images_NCHW)
    return SimpleNamespace(
        project=SimpleNamespace(run=run),
        final=SimpleNamespace(sha256="1" * 64, net=tiny_net(), threshold=None),
        images=SimpleNamespace(class_names=CLASSES, positive=None),
        images_NCHW=images_NCHW,
        labels_N=logits_NK.argmax(axis=1),
        gates=Gates(),
        shape=INPUT_SHAPE,
        answered=lambda: logits_NK,
    )


def ready_in(run: RunFolder, how: Conditions = ONE, **options: Any) -> tuple[list[BenchEntry], list[LeftOutFile]]:
    artefacts, unusable = artefacts_in(run)
    entries, left = made(entries_of(artefacts, source_of(run), how, **options))
    return entries, [*unusable, *left]


def names_of(entries: list[BenchEntry]) -> list[tuple[str, str, str]]:
    return [(each.name.artifact, each.name.path, each.name.runtime) for each in entries]


def test_every_file_is_timed_in_its_runtime_and_the_net_s_own_in_others_that_read_it(run: RunFolder) -> None:
    entries, left = ready_in(run, with_net=True)
    names = names_of(entries)
    assert ("export/onnx", "model-fp32-b1.onnx", "onnxruntime-cpu") in names
    assert ("export/onnx", "model-fp32-dynamic.onnx", "onnxruntime-cpu") in names
    assert (("export/onnx", "model-fp32-b1.onnx", "openvino-cpu") in names) == HAS_OPENVINO
    assert names[-1] == ("", "", "torch-cpu")
    assert not left
    rivals = [each for each in entries if not each.is_own]
    assert names_of(rivals) == [("export/onnx-rival", "model-fp32-b1.onnx", "onnxruntime-cpu")]
    assert names_of([baseline_of(entries)]) == [("export/onnx", "model-fp32-b1.onnx", "onnxruntime-cpu")]


def test_for_another_number_of_images_a_call_only_files_for_any_number_are_timed(run: RunFolder) -> None:
    entries, left = ready_in(run, Conditions(batch_size=4, threads=1))
    assert {path for _, path, _ in names_of(entries)} == {"model-fp32-dynamic.onnx"}
    assert {each.reason for each in left} == {"it is for 1 images a call, timed are 4"}
    assert baseline_of(entries).name.path == "model-fp32-dynamic.onnx"


def test_a_changed_file_and_an_unusable_manifest_are_left_out_with_the_reason(run: RunFolder) -> None:
    path = run.export / "onnx" / "model-fp32-dynamic.onnx"
    path.write_bytes(path.read_bytes() + b" ")
    (run.export / "onnx-rival" / "manifest.json").write_text("{}")
    (run.export / ".onnx.tmp").mkdir()
    (run.export / ".onnx.tmp" / "manifest.json").write_text("{}")
    _, left = ready_in(run)
    assert [(each.artifact, each.path) for each in left] == [
        ("export/onnx-rival", "manifest.json"),
        ("export/onnx", "model-fp32-dynamic.onnx"),
    ]
    assert "not the file that was exported" in left[1].reason


def test_gates_that_were_changed_after_the_export_are_not_believed(run: RunFolder) -> None:
    entries, _ = ready_in(run)
    assert baseline_of(entries).verdict == "passed"
    path = run.export / "onnx" / "parity.json"
    path.write_text(path.read_text() + " ")
    entries, _ = ready_in(run)
    assert baseline_of(entries).verdict is None


def test_without_a_file_to_compare_with_it_says_what_makes_one(run: RunFolder) -> None:
    artefacts, _ = artefacts_in(run)
    source = source_of(run)
    assert has_baseline(artefacts, source)
    source.final.sha256 = "3" * 64  # trained anew
    assert not has_baseline(artefacts, source)
    entries, _ = made(entries_of(artefacts, source, ONE))
    with pytest.raises(MissingInputError, match="nothing to compare with"):
        baseline_of(entries)


@pytest.mark.skipif(not HAS_OPENVINO, reason="openvino is not installed")
def test_a_faster_runtime_is_recommended_once_its_gates_passed_there(run: RunFolder, tmp_path: Path) -> None:
    entries, left = ready_in(run)
    baseline = baseline_of(entries)
    others = [each for each in entries if each is not baseline]
    found = _benched(run, [baseline, *others], left)
    assert found.choice is not None
    assert (found.choice.path, found.choice.runtime) == ("model-fp32-b1.onnx", "openvino-cpu")
    row = next(row for row in found.rows if row.runtime == "openvino-cpu")
    assert (row.parity, row.ratio.value) == ("passed", 0.5)  # judged there, which no export had asked
    assert found.rows[0] == row
    assert found.baseline.runtime == "onnxruntime-cpu"
    found.write(tmp_path / "bench.json")
    assert BenchResult.read(tmp_path / "bench.json") == found


def _benched(run: RunFolder, entries: list[BenchEntry], left: list[LeftOutFile]) -> BenchResult:
    """What is said where OpenVINO takes half the baseline's time, and everything else more."""

    def timing(times: float) -> NetTiming:
        return NetTiming(np.full((21, 32), 2.0 * times), np.full(21, 2.0), 2.0, np.zeros(0))

    timings = tuple(timing(0.5 if each.runtime.name == "openvino-cpu" else 1.5) for each in entries[1:])
    infos = [each.entrant.tried() for each in entries]
    return made(bench_of(source_of(run), ONE, entries, infos, Turns(timings, timing(1.0), 32, 9.0), left))
