"""What `docs/faults.md` says of every fault: its exit code and its line, and that nothing half written is left."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image
from torch import Tensor

from edgenas.cli import main
from edgenas.deploy.artefact import write_artefact
from edgenas.deploy.contracts import ExportedFile
from edgenas.deploy.parity import not_run
from edgenas.project import devices
from edgenas.project.exporting import writing
from edgenas.remote import Device, run_job
from edgenas.remote import device as device_module
from edgenas.remote.line import CONFIG
from edgenas.runs import Progress, sha256_file, sha256_json
from edgenas.training.checkpoints import load_tensors, save_tensors
from tests.deploy.conftest import facts, parity_of
from tests.deploy.conftest import reference as golden_of
from tests.recipes.killing import RUN, Reference, Zygote, hashes
from tests.remote.servers import HAS_ALL, serving

pytestmark = pytest.mark.usefixtures("one_thread")
PAGE = (Path(__file__).parents[2] / "docs" / "faults.md").read_text(encoding="utf-8")
ROWS = {
    what: (command, int(code), line)
    for what, command, code, line in re.findall(r"^\| (.+?) \| `(.+?)` \| (\d+) \| `(.+?)` \|$", PAGE, flags=re.MULTILINE)
}
pytestmark = pytest.mark.usefixtures("one_batch_size")
FC1, DEEP = "stages.0.blocks.0.mlp.fc1.weight", "stages.0.blocks.0.mlp.dwconv.weight"
NET = ("--net", "baseline")


@dataclass(frozen=True)
class Printed:
    """How a command ended: its exit code, everything it said that is one line each, and the error."""

    code: int
    lines: tuple[str, ...]
    error: dict[str, Any] | None


def edgenas(folder: Path, *arguments: str) -> Printed:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):
        main([*arguments, "--json"])
    assert "Traceback" not in err.getvalue()
    value = json.loads(out.getvalue())
    error = value["error"]
    said = [] if error is None else [error["message"], *error["problems"]]
    assert all("\n" not in line and "a bug in edgenas" not in line for line in said)
    return Printed(int(end.value.code or 0), (*said, *value["warnings"]), error)


def assert_as_written(what: str, printed: Printed) -> None:
    """The page's row of a fault is what was printed."""
    _, code, line = ROWS[what]
    pattern = ".*".join(map(re.escape, line.split("…")))
    assert printed.code == code, printed
    assert any(re.fullmatch(f"{pattern}(; .*)?", said) for said in printed.lines), (line, printed.lines)


def assert_no_artefact(work: Path) -> None:
    """No artefact, and no trace of one."""
    left = [path for path in (work / RUN / "export").glob("*") if path.is_dir()] if (work / RUN / "export").exists() else []
    assert left == []
    assert not [path for path in work.rglob(".*") if path.name != ".lock"]


@pytest.fixture(scope="module")
def exported(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose run has one artefact, of one file; nobody changes it."""
    work = tmp_path_factory.mktemp("faults") / "work"
    shutil.copytree(reference.before("export"), work)
    with pytest.MonkeyPatch.context() as patch:
        both = writing.specs_of
        patch.setattr(writing, "specs_of", lambda *arguments: both(*arguments)[:1])
        printed = edgenas(work, "export", *NET, "--set", "data.positive=8")
    assert printed.code == 0, printed
    return work


@pytest.fixture
def artefact(exported: Path, tmp_path: Path) -> Path:
    """A copy of the artefact, elsewhere."""
    return Path(shutil.copytree(exported / RUN / "export" / "onnx", tmp_path / "onnx"))


@pytest.fixture
def work(reference: Reference, tmp_path: Path) -> Path:
    """A project that was not exported yet."""
    return Path(shutil.copytree(reference.before("export"), tmp_path / "work"))


def with_weights(work: Path, change: Callable[[dict[str, Tensor]], object]) -> Path:
    """The project with other weights of the hand-made net, sealed as if they had been trained."""
    path = work / RUN / "retrain" / "baseline" / "weights.safetensors"
    tensors, header = load_tensors(path, kind="weights")
    change(tensors)
    save_tensors(path, tensors, header)
    return work


def overflow(tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if name.endswith("weight") and tensor.ndim >= 2:
            tensor.mul_(1e30)


WEIGHTS: dict[str, tuple[Callable[[dict[str, Tensor]], object], tuple[str, ...]]] = {
    "weights that are not numbers": (lambda tensors: tensors["head.weight"][0].fill_(float("nan")), ()),
    "a net whose answers overflow": (overflow, ("--set", "data.positive=8")),
    "a weight beyond float16, likewise": (
        lambda tensors: tensors[FC1].mul_(1e8),
        ("--precision", "fp16", "--set", "export.repair=false"),
    ),
}


@pytest.mark.parametrize("what", WEIGHTS)
def test_weights_that_cannot_be_exported_leave_no_artefact(what: str, work: Path) -> None:
    change, options = WEIGHTS[what]
    assert_as_written(what, edgenas(with_weights(work, change), "export", *NET, *options))
    assert_no_artefact(work)


REJECTED: dict[str, tuple[Callable[[dict[str, Tensor]], object], tuple[str, ...]]] = {
    "a net with one answer to everything": (lambda tensors: tensors["head.weight"].zero_(), ()),
    "float16 overflows inside the net, and nothing may stay float32": (
        lambda tensors: tensors[DEEP].mul_(3e4),
        ("--precision", "fp16", "--set", "export.repair=false"),
    ),
}


@pytest.mark.parametrize("what", REJECTED)
def test_a_net_that_fails_is_written_and_marked(what: str, work: Path) -> None:
    change, options = REJECTED[what]
    assert_as_written(what, edgenas(with_weights(work, change), "export", *NET, *options))
    folder = work / RUN / "export" / "onnx"
    assert (folder / "REJECTED").is_file()
    if options:  # the block is named where numbers end
        (file,) = json.loads((folder / "parity.json").read_text())["files"]
        parity = file["parity"]["emulated"] or file["parity"]
        assert parity["blocks"]["first"] is not None


def test_a_missing_tensorrt_is_said_before_test_is_read(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    assert_as_written("TensorRT is not installed", edgenas(work, "export", "--format", "trt", *NET))
    assert_no_artefact(work)
    assert not (work / RUN / "export" / "acceptance.jsonl").exists()


def test_without_a_gpu_a_float16_file_is_emulated(work: Path) -> None:
    assert_as_written("no GPU", edgenas(work, "profile", "--device", "cuda"))
    gates = ("--set", "gates.min_agreement=0.9", "--precision", "fp16", *NET)
    assert_as_written("no GPU for a float16 file, its emulation passes", edgenas(work, "export", *gates))
    assert_as_written("the same, but it must run", edgenas(work, "export", *gates, "--require-run"))


@pytest.mark.usefixtures("models_run_here")
def test_an_engine_for_another_gpu_is_not_run(tmp_path: Path) -> None:
    engine = tmp_path / "model.engine"
    engine.write_bytes(b"built for another GPU")
    file = ExportedFile(engine, "engine", "tensorrt", "fp16", 1, ("sm75",))
    folder = write_artefact(
        tmp_path / "trt", [(file, not_run("no GPU", emulated=parity_of()))], facts(), reference=golden_of
    ).folder
    assert_as_written("an engine for another GPU", edgenas(tmp_path, "verify", str(folder)))


def test_damaged_files_do_not_verify(artefact: Path) -> None:
    path = artefact / "model-fp32-b1.onnx"
    data = path.read_bytes()
    path.write_bytes(data[:1000])
    assert_as_written("a truncated ONNX file", edgenas(artefact.parent, "verify", str(artefact)))
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    path.write_bytes(bytes(changed))
    assert_as_written("a changed byte", edgenas(artefact.parent, "verify", str(artefact)))


def resealed(folder: Path) -> None:
    """Make the manifest's hashes fit what lies there."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest.pop("sha256")
    for entry in (*manifest["files"], *manifest["support_files"]):
        entry.update(sha256=sha256_file(folder / entry["path"]), size_bytes=(folder / entry["path"]).stat().st_size)
    path.write_text(json.dumps({**manifest, "sha256": sha256_json(manifest)}))


@pytest.mark.usefixtures("models_run_here")
def test_classes_in_another_order_do_not_verify(artefact: Path) -> None:
    path = artefact / "model-fp32-b1.onnx"
    model = onnx.load(str(path))
    last = next(node for node in model.graph.node if "logits" in node.output)
    reversed_ = {name: each for each in model.graph.initializer for name in [each.name] if name in last.input}
    for name, tensor in reversed_.items():
        values = numpy_helper.to_array(tensor)
        axis = 0 if values.shape[0] == 10 else values.ndim - 1
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(np.flip(values, axis)), name))
    assert reversed_
    onnx.save(model, str(path))
    resealed(artefact)
    assert_as_written("classes in another order, hashes made to fit", edgenas(artefact.parent, "verify", str(artefact)))


def pictures(root: Path, names: tuple[str, ...], num: int) -> None:
    rng = np.random.default_rng(0)
    for name in names:
        (root / name).mkdir(parents=True)
        for number in range(num):
            Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(root / name / f"{number}.png")


def test_data_of_other_classes_or_too_few_are_refused(artefact: Path, tmp_path: Path) -> None:
    pictures(tmp_path / "few", ("a", "b"), 4)  # five are enough for every split
    data = f"folder:{tmp_path / 'few'}"
    assert_as_written("data of other classes", edgenas(tmp_path, "verify", str(artefact), "--data", data))
    printed = edgenas(tmp_path, "init", "--data", data)
    assert_as_written("no image in *calibrate*", printed)
    assert any("calibrate 0" in line for line in printed.lines)
    assert not (tmp_path / RUN / "data" / "splits.json").exists()


def test_a_folder_that_cannot_be_written_is_said_before_any_work(work: Path) -> None:
    (work / "file").write_text("in the way")
    before = hashes(work)
    assert_as_written("a folder that cannot be written", edgenas(work, "export", *NET, "--output", "file/artefact"))
    assert_as_written("a folder of something else", edgenas(work, "export", *NET, "--output", "."))
    assert hashes(work) == before


@pytest.mark.usefixtures("models_run_here")
def test_an_edited_plan_does_not_verify_though_every_hash_was_made_to_fit(artefact: Path) -> None:
    path = artefact / "acceptance.json"
    value = json.loads(path.read_text())
    value["gates"]["min_agreement"] = 0.5
    path.write_text(json.dumps(value))
    resealed(artefact)
    assert_as_written("a plan that was edited", edgenas(artefact.parent, "verify", str(artefact)))
    value.pop("sha256")
    path.write_text(json.dumps({**value, "sha256": sha256_json(value)}))
    resealed(artefact)
    printed = edgenas(artefact.parent, "verify", str(artefact))
    assert printed.code == 4
    words = "acceptance.json: acceptance it is not the plan that was sealed: the manifest knows another hash"
    assert words in printed.lines


@pytest.mark.usefixtures("models_run_here")
def test_a_plan_that_changes_after_test_was_read_shows_everywhere(exported: Path, tmp_path: Path) -> None:
    work = Path(shutil.copytree(exported, tmp_path / "work"))
    history, folder = work / RUN / "export" / "acceptance.jsonl", work / RUN / "export" / "onnx"
    positive = ("--set", "data.positive=8")
    assert edgenas(work, "verify", str(folder)).code == 0
    assert edgenas(work, "export", *NET, *positive).code == 0
    assert len(history.read_text().splitlines()) == 1
    printed = edgenas(work, "export", *NET, *positive, "--set", "gates.min_agreement=0.9")
    assert_as_written("a plan that was changed after *test* was read", printed)
    assert "**Not the first plan.**" in (folder / "README.md").read_text()
    assert "plan was changed after test was read" in (work / RUN / "report" / "index.html").read_text()
    text = history.read_text()
    history.write_text(text.replace('"min_agreement": 0.99', '"min_agreement": 0.5'))
    before = hashes(work)
    assert_as_written("a history of plans that was edited", edgenas(work, "export", *NET, *positive))
    assert {name: value for name, value in hashes(work).items() if "/." not in name} == before
    history.unlink()
    assert_as_written("a history of plans that is gone", edgenas(work, "verify", str(folder)))


def test_an_export_that_is_killed_goes_on_with_the_plan_that_was_sealed(work: Path, zygote_edgenas: Zygote) -> None:
    history = work / RUN / "export" / "acceptance.jsonl"
    killed = zygote_edgenas(work, "export", *NET, kill_when=history.exists)
    assert killed.code == -9, killed.out
    sealed = history.read_text()
    assert not (work / RUN / "export" / "onnx").exists()
    ended = zygote_edgenas(work, "export", *NET)
    assert ended.code == 0, ended.out
    assert history.read_text() == sealed
    assert ended.value["result"]["acceptance"]["num_plans"] == 1


def test_an_export_that_is_interrupted_says_so(work: Path, zygote_edgenas: Zygote) -> None:
    history = work / RUN / "export" / "acceptance.jsonl"
    ended = zygote_edgenas(work, "export", *NET, kill_when=history.exists, number=signal.SIGINT)
    error = ended.value["error"]
    assert_as_written("Ctrl-C", Printed(ended.code, (error["message"],), error))
    assert not (work / RUN / "export" / "onnx").exists()


@pytest.mark.slow
@pytest.mark.skipif(not HAS_ALL, reason="needs OpenSSH's server and client")
def test_a_device_that_answers_otherwise_or_goes_away(
    exported: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Path(shutil.copytree(exported, tmp_path / "work"))
    monkeypatch.setattr(device_module, "WAITS_S", (0.1, 0.3))
    monkeypatch.setattr(devices, "Device", partial(Device, patience_s=1.0))
    with serving(tmp_path_factory.mktemp("sshd")) as server:
        monkeypatch.setenv(CONFIG, str(server.config))
        address = f"{server.address()}?python={sys.executable}&dir={server.folder}/there"
        bench = ("export", "--bench", "--device", address, "--set", "data.positive=8", "--set", "export.bench_visits=5")

        def leaving(*arguments: Any) -> Any:
            for record in run_job(*arguments):
                if isinstance(record, Progress) and record.label.startswith("starting on"):
                    server.stop()
                yield record

        golden = work / RUN / "export" / "onnx" / "golden.npz"
        with np.load(golden) as arrays:
            images, logits = arrays["images"], arrays["logits"]
        np.savez_compressed(golden, images=images, logits=logits + 1)
        monkeypatch.setattr(devices, "run_job", partial(run_job, poll_s=(0.1,)))
        assert_as_written("a device that computes otherwise", edgenas(work, *bench))
        assert not list((work / RUN / "export").glob("bench*.json"))
        monkeypatch.setattr(devices, "run_job", leaving)
        assert_as_written("sshd drops the line and stays away", edgenas(work, *bench))
        assert_as_written("no sshd there at all", edgenas(work, *bench))


def test_every_row_of_the_page_is_provoked() -> None:
    provoked = set(re.findall(r'assert_as_written\("(.+?)"', Path(__file__).read_text(encoding="utf-8")))
    assert provoked | set(WEIGHTS) | set(REJECTED) == set(ROWS)
