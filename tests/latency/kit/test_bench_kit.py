"""Exported files timed in turn by a script that needs neither edgenas nor PyTorch, and read back as strictly as a kit's results."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from edgenas.exporters.openvino import OpenVinoExporter

import edgenas
from edgenas.deploy.calibrating import CalibrationImages
from edgenas.deploy.contracts import ExportSpec, RunnerInfo
from edgenas.errors import LatencyTableError
from edgenas.latency import TimingSettings
from edgenas.latency.kit import BenchKit, TurnFile, bench_kit, read_turns
from edgenas.latency.kit.bench import BENCH_SCRIPTS
from edgenas.latency.kit.script_bench import shuffled
from edgenas.latency.kit.script_files import OpenVinoRunner, tried_here
from edgenas.runs import write_sealed
from edgenas.testing.exporters import INPUT_SHAPE, images, tiny_net
from tests.latency.kits import graph, old_python, run_bare

TIMING = TimingSettings(visits=3, visit_ms=0.1, warmup_ms=0.1, reference_every=1)


def model(folder: Path, length: int) -> TurnFile:
    path = folder / f"model-{length}.onnx"
    path.write_bytes(graph(range(length)).SerializeToString())
    return TurnFile(path, "onnxruntime-cpu", "fp32", (1, 3, 32, 32), 1)


def golden(folder: Path) -> Path:
    """Two images of noise."""
    path = folder / "golden.npz"
    np.savez(path, images=np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32))
    return path


def laid_out(folder: Path) -> BenchKit:
    """A kit as it lies on a device: a reference, a net with golden images, a file that is none, a runtime that is not known."""
    source, there = folder / "source", folder / "there"
    source.mkdir(parents=True)
    there.mkdir()
    (source / "broken.onnx").write_bytes(b"no net")
    broken = replace(model(source, 2), path=source / "broken.onnx")
    unknown = replace(model(source, 2), runtime="tensorrt")
    kit = bench_kit(source, model(source, 1), [broken, replace(model(source, 4), golden=golden(source)), unknown], TIMING, seed=3)
    for name, path in kit.files.items():
        (there / name).write_bytes(path.read_bytes())
    (there / "measure.py").write_bytes((there / "bench.py").read_bytes())  # what `run_bare` starts
    return kit


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BenchKit]:
    folder = tmp_path_factory.mktemp("bench")
    kit = laid_out(folder)
    done = run_bare(folder / "there", "--every", "0", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "timing in turn: 3/3" in done.stderr
    return folder, kit


def test_files_that_work_are_timed_and_the_others_have_a_reason(home: tuple[Path, BenchKit]) -> None:
    folder, kit = home
    found = read_turns(folder / "results.json", kit)
    reference, broken, longer, unknown = found.infos
    assert isinstance(reference, RunnerInfo)
    assert isinstance(longer, RunnerInfo)
    assert (reference.runtime, reference.threads, reference.precision) == ("onnxruntime-cpu", 1, "fp32")
    assert "cannot load a net" in str(broken)
    assert unknown == "tensorrt is not known here"
    (timing,) = found.turns.timings
    assert timing.samples_VR.shape == (3, found.turns.num_runs)
    assert found.turns.reference.samples_VR.shape == (4, found.turns.num_runs)
    assert np.isfinite(timing.visit_ratios).all()
    assert [answers is None for answers in found.answers] == [True, True, False, True]
    assert (found.turns.machine.num_cores or 0) >= 1


def test_golden_images_are_answered_there_as_they_are_here(home: tuple[Path, BenchKit], tmp_path: Path) -> None:
    folder, kit = home
    with np.load(golden(tmp_path)) as arrays:
        images = arrays["images"]
    session = onnxruntime.InferenceSession(graph(range(4)).SerializeToString(), providers=["CPUExecutionProvider"])
    here = np.concatenate([session.run(None, {"image": image[None]})[0] for image in images])
    there = read_turns(folder / "results.json", kit).answers[2]
    assert there is not None
    np.testing.assert_allclose(there, here, rtol=1e-4)


def test_a_number_that_is_not_finite_comes_back_as_one(home: tuple[Path, BenchKit]) -> None:
    folder, kit = home
    path = changed(folder / "results.json", lambda c: c["tried"][2]["answers"][0].__setitem__(0, None))
    answers = read_turns(path, kit).answers[2]
    assert answers is not None
    assert np.isnan(answers[0, 0])
    assert np.isfinite(answers.ravel()[1:]).all()


def test_openvino_that_computes_in_another_precision_than_the_file_is_said_to_hold_is_not_timed(tmp_path: Path) -> None:
    path = model(tmp_path, 2).path
    entrant = {"path": path.name, "runtime": "openvino-cpu", "shape": [1, 3, 32, 32], "threads": 1}
    assert "info" in tried_here(tmp_path, {**entrant, "precision": "fp32"})
    reason = tried_here(tmp_path, {**entrant, "precision": "int8"})["reason"]
    assert re.fullmatch("OpenVINO computes in f32 on .*, the file is int8", reason)


def test_openvino_compiles_a_file_for_any_number_of_images_for_as_many_as_are_timed(tmp_path: Path) -> None:
    net = graph(range(2))
    for value in (net.graph.input[0], net.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(net, tmp_path / "any.onnx")
    runner = OpenVinoRunner(tmp_path / "any.onnx", [1, 3, 32, 32], 1, "fp32")
    assert list(runner.compiled.inputs[0].shape) == [1, 3, 32, 32]
    assert runner().shape == (1, 32)
    runner.close()


def test_equal_files_are_sent_once(tmp_path: Path) -> None:
    one = model(tmp_path, 1)
    kit = bench_kit(tmp_path, one, [one, replace(one, threads=2)], TIMING, seed=0)
    assert sorted(path.suffix for path in kit.files.values()) == [".json", ".onnx", ".py"]


def test_a_measurement_that_was_killed_goes_on(home: tuple[Path, BenchKit], tmp_path: Path) -> None:
    folder, kit = home
    journal = (folder / "results.progress.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "results.progress.jsonl").write_text("".join(journal[: len(journal) // 2]))
    done = run_bare(folder / "there", "--output", str(tmp_path / "results.json"), folder=folder)
    assert done.returncode == 0, done.stderr
    whole, half = (json.loads((place / "results.json").read_text())["memory"] for place in (folder, tmp_path))
    kept = [json.loads(line.partition(" ")[2])["key"] for line in journal[1 : len(journal) // 2]]
    assert kept
    assert all(whole[key] == half[key] for key in kept)
    assert read_turns(tmp_path / "results.json", kit).turns.num_runs == whole["runs"]


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    content = json.loads(path.read_text())
    content.pop("sha256")
    kind = content.pop("kind")
    change(content)
    write_sealed(path.with_name("changed.json"), kind, content)
    return path.with_name("changed.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(plan_sha256="0"), "is of other files"),
        (lambda c: c["memory"].pop("round 1 net 0"), "lacks visits"),
        (lambda c: c["memory"].pop("runs"), "lacks"),
        (lambda c: c["memory"]["round 1 net 0"].update(ms=[float(10**12)] * 32), "a visit holds no times"),
        (lambda c: c["memory"]["reference 0"].update(ms=[]), "a visit holds no times"),
        (lambda c: c["tried"].pop(), "holds no times of files"),
        (lambda c: c["tried"][0].update(reason="x"), "the file that the others are compared with"),
        (lambda c: c["tried"][2]["info"].update(runtime="openvino-cpu"), "was to run in onnxruntime-cpu"),
        (lambda c: c["tried"][2]["info"].update(device=" "), "a device is called"),
        (lambda c: c["tried"][2].pop("answers"), "gave no answers to its golden images"),
        (lambda c: c["tried"][2]["answers"][0].pop(), "gave no answers to its golden images"),
        (lambda c: c.update(seconds=None), "seconds is None"),
        (lambda c: c["memory"]["machine 0"].update(seconds="long"), "holds no times of files"),
    ],
)
def test_results_that_no_device_wrote_are_refused(
    change: Callable[[dict[str, Any]], object], message: str, home: tuple[Path, BenchKit]
) -> None:
    folder, kit = home
    with pytest.raises(LatencyTableError, match=message) as caught:
        read_turns(changed(folder / "results.json", change), kit)
    assert "\n" not in str(caught.value)


def test_a_damaged_plan_and_a_reference_that_does_not_work_are_one_line(tmp_path: Path) -> None:
    laid_out(tmp_path)
    plan = tmp_path / "there" / "plan.json"
    name = json.loads(plan.read_text())["reference"]["path"]
    (tmp_path / "there" / name).write_bytes(b"no net")
    done = run_bare(tmp_path / "there", folder=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[-1].startswith(f"bench.py: {name}: ONNX Runtime")) == (1, True)
    plan.write_text("{}")
    done = run_bare(tmp_path / "there", folder=tmp_path)
    assert (done.returncode, "plan.json" in done.stderr, done.stderr.count("\n")) == (1, True, 1)


def test_orders_are_the_same_everywhere_and_hold_every_file_once_a_round() -> None:
    orders = shuffled(5, 4, seed=7)
    assert orders == shuffled(5, 4, seed=7) != shuffled(5, 4, seed=8)
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    program = old_python()
    if program is None:
        pytest.skip("needs Python 3.8")
    code = "import random; draw = random.Random(7).random; print([sorted(range(5), key=lambda _: draw()) for _ in range(4)])"
    assert json.loads(subprocess.run([program, "-c", code], capture_output=True, text=True, check=True).stdout) == orders


def test_every_module_of_the_script_comes_after_those_that_it_imports() -> None:
    packed: set[str] = set()
    for name in BENCH_SCRIPTS:
        tree = ast.parse((Path(edgenas.__file__).parent / name).read_text(encoding="utf-8"), feature_version=(3, 8))
        used = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        used |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        own = {module for module in used if module.startswith("edgenas")}
        assert own <= packed, (name, own - packed)
        allowed = {*sys.stdlib_module_names, "numpy", "onnxruntime", "openvino", "torch", "executorch"}
        assert {module.split(".")[0] for module in used - own} <= allowed, name
        packed.add(f"edgenas.{name.removesuffix('.py').replace('/', '.')}")


def test_an_int8_model_says_what_is_computed_beside_integers(tmp_path: Path) -> None:
    calibration = CalibrationImages(images(16), max_changed=1.0)
    (file,) = OpenVinoExporter().export(tiny_net(), ExportSpec(INPUT_SHAPE, precision="int8", calibration=calibration), tmp_path)
    runner = OpenVinoRunner(file.path, [1, *INPUT_SHAPE], 1, "int8")
    assert runner.compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == file.notes["int8_around"]
    assert runner.types() & {"i8", "u8"}
    runner.close()
