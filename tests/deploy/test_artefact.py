"""The artefact folder: complete or absent, and checkable."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from edgenas.deploy import recorded
from edgenas.deploy.artefact import load_manifest, overall, require_writable, verify, write_artefact
from edgenas.deploy.contracts import ExportedFile, ExportSpec
from edgenas.deploy.golden import Golden
from edgenas.deploy.parity import Gates, compare, not_run
from edgenas.deploy.plugins import get_exporter
from edgenas.deploy.recorded import kept, read_answers
from edgenas.errors import ArtefactError
from edgenas.records import (
    AnswersFacts,
    Check,
    DecisionRule,
    LatencyFacts,
    Metrics,
    MostFrequent,
    SplitMetrics,
    TableFacts,
    ThresholdChoice,
)
from edgenas.runs import sha256_file, sha256_json
from edgenas.stats import wilson
from edgenas.testing.exporters import INPUT_SHAPE, reference_logits, tiny_net
from tests.deploy.conftest import CLASSES, facts, parity_of, reference

Make = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("models_run_here")


def verdicts(checks: list[Check]) -> dict[tuple[str, str], str]:
    return {(check.path, check.name): check.verdict for check in checks}


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    manifest.pop("sha256", None)
    path.write_text(json.dumps({**manifest, "sha256": sha256_json(manifest)}))


def test_it_holds_what_the_contract_lists(make_artefact: Make) -> None:
    folder = make_artefact()
    written = {
        "README.md",
        "build_engine.py",
        "example.cpp",
        "example.py",
        "golden.npz",
        "labels.txt",
        "parity.json",
        "sbom.cdx.json",
    }
    names = {*written, "manifest.json", "model-fp32-b1.onnx"}
    assert {path.name for path in folder.iterdir()} == names
    assert [path.name for path in folder.parent.iterdir()] == ["artefact"]
    manifest = load_manifest(folder)
    assert (manifest.status, manifest.verdict, manifest.classes[1]) == ("accepted", "passed", "covid-19")
    assert {file.path for file in manifest.support_files} == written
    assert manifest.files[0].sha256 == sha256_file(folder / "model-fp32-b1.onnx")
    parity = json.loads((folder / "parity.json").read_text())
    assert parity["files"][0]["parity"]["verdict"] == "passed"


def test_a_fresh_artefact_verifies(make_artefact: Make) -> None:
    checks = verify(make_artefact(precisions=("fp32", "fp16")))
    found = verdicts(checks)
    assert "failed" not in found.values()
    assert found["model-fp32-b1.onnx", "golden"] == "passed"
    assert found["model-fp32-b1.onnx", "precision"] == "passed"
    assert found["model-fp16-dynamic.onnx", "precision"] == "passed"
    assert found["model-fp16-dynamic.emulated.onnx", "golden"] == "passed"
    assert all(check.reason for check in checks)


def test_a_float32_graph_does_not_pass_for_an_emulation(make_artefact: Make) -> None:
    folder = make_artefact(precisions=("fp32", "fp16"))
    name = "model-fp16-dynamic.emulated.onnx"
    assert verdicts(verify(folder))[name, "precision"] == "passed"
    plain = onnx.load(folder / name)
    for node in plain.graph.node:
        if node.op_type == "Cast":
            node.op_type = "Identity"
            del node.attribute[:]
    del plain.graph.value_info[:]  # which say float16
    onnx.save(plain, folder / name)
    found = {"sha256": sha256_file(folder / name), "size_bytes": (folder / name).stat().st_size}
    change_manifest(folder, lambda value: next(each for each in value["files"] if each["emulation"])["emulation"].update(found))
    checks = verify(folder)
    assert verdicts(checks)[name, "golden"] == "passed"
    (failed,) = (check for check in checks if check.verdict == "failed")
    assert (failed.path, failed.name) == (name, "precision")
    assert failed.reason.startswith("it computes 0.0 % of the multiply-accumulates as in fp16, recorded are")


def test_a_failed_gate_marks_the_folder(make_artefact: Make) -> None:
    folder = make_artefact(parity=parity_of(broken=True))
    assert load_manifest(folder).status == "rejected"
    assert (folder / "REJECTED").read_text().startswith("model-fp32-b1.onnx: min_agreement 0.0000 of 600")
    assert "Do not deploy" in (folder / "README.md").read_text()


def test_a_second_export_that_passes_takes_the_mark_away(make_artefact: Make) -> None:
    make_artefact(parity=parity_of(broken=True))
    folder = make_artefact()
    assert not (folder / "REJECTED").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["artefact"]


def test_what_did_not_run_is_unproven(make_artefact: Make) -> None:
    folder = make_artefact(parity=not_run("there is no GPU", emulated=parity_of()))
    assert load_manifest(folder).status == "unproven"
    assert "not_run: there is no GPU (emulated: passed)" in (folder / "README.md").read_text()


def test_its_readme_says_what_was_judged_and_what_not(make_artefact: Make) -> None:
    share, common = wilson(90, 100), MostFrequent(class_name="other", share=wilson(88, 100))
    metrics = Metrics(n=100, top1=share, top1_decision=share, sensitivity={"covid-19": wilson(9, 12)}, most_frequent=common)
    choice = ThresholdChoice(
        threshold=0.4,
        floor=0.95,
        confidence=None,
        is_asked=False,
        is_shown=True,
        sensitivity=wilson(19, 20),
        false_alarms=wilson(7, 80),
    )
    rule = DecisionRule(rule="threshold", positive="covid-19", threshold=0.4, choice=choice)
    changes = {"metrics": SplitMetrics(split="test", metrics=replace(metrics, positive="covid-19", threshold=0.4))}
    folder = make_artefact(**changes, decision=rule, gates={"min_agreement": 0.99})
    text = (folder / "README.md").read_text()
    for words in (
        "Threshold 0.4: the highest that finds 95 % on calibrate (default); it finds 19 of 20 ",
        "there, at the price of false alarms for 7 of 80 others.",
        "Likeness to the source: 100.0 % [99.4, 100.0] of 600 images are decided alike; the verdict of all gates: passed.",
        "its argmax is right for 90.0 % [82.6, 94.5]; always answering `other` would be for 88.0 %.",
        "It finds 75.0 % [46.8, 91.1] of the 12 images of `covid-19`.",
        "**Nothing shows that it learned anything**",
        "No floor on quality was a gate",
        "Not judged: other images than these",
    ):
        assert words in text, text
    manifest = load_manifest(folder)
    assert manifest.decision == rule
    assert manifest.gates == {"min_agreement": 0.99}
    make_artefact(gates={"sensitivity[covid-19]": 0.9})
    assert "A floor on quality was a gate: sensitivity[covid-19] >= 0.9." in (folder / "README.md").read_text()


def full_metrics() -> SplitMetrics:
    """Of 100 images: 12 positives of which 9 are found, and 5 false alarms."""
    metrics = Metrics(
        n=100,
        top1=wilson(90, 100),
        top1_decision=wilson(87, 100),
        sensitivity={"healthy": wilson(44, 50), "covid-19": wilson(9, 12), "other": wilson(34, 38)},
        confusion_matrix=((44, 3, 3), (1, 9, 2), (2, 2, 34)),
        positive="covid-19",
        threshold=0.4,
    )
    return SplitMetrics(split="test", metrics=metrics)


def test_its_readme_says_what_was_added_to_the_logits_of_an_int8_file(exported: dict[str, ExportedFile], tmp_path: Path) -> None:
    notes = {"int8_layers": 5, "int8_layers_possible": 6, "logit_adjustment": 0.15827, "logit_adjustment_class": 1}
    for name, file in (("adjusted", replace(exported["fp32"], notes=notes)), ("plain", exported["fp32"])):
        folder = write_artefact(tmp_path / name, [(file, parity_of())], facts(), reference=reference).folder
        said = (folder / "README.md").read_text(encoding="utf-8")
        assert ("the logit of the class that must not be missed is raised by 0.158" in said) == (name == "adjusted")


def test_its_readme_tells_whoever_deploys_it_what_it_can_do_and_what_it_is_for(make_artefact: Make) -> None:
    table = TableFacts(path="t.json", sha256="0" * 64, device="A Box", runtime="onnxruntime-cpu", precision="fp32", batch_size=1)
    latency = LatencyFacts(latency_ms_predicted=0.2, latency_ms_upper=0.3, latency_ms_measured=0.214, table=table)
    folder = make_artefact(metrics=full_metrics(), latency=latency)
    text, manifest = (folder / "README.md").read_text(), load_manifest(folder)
    for words in (
        "| Accuracy | 87.0 % [79.0, 92.2] of 100 images of test, by the rule below |",
        "| Sensitivity for `covid-19` | 75.0 % [46.8, 91.1] of 12 images |",
        "| False alarms | 5.7 % [2.5, 12.6] of 88 images of other classes are decided as `covid-19` |",
        "| Threshold | 0.4 for `covid-19` |",
        "| Latency | 0.214 ms (measured median of one image a call) on A Box, onnxruntime-cpu fp32 |",
        "| Data | noise: 400 test images; fingerprint 000000000000 |",
        f"| Date | {manifest.created_on} |",
        "## Intended use\n\n- For images like those of noise",
        "It missed 3 of the 12 images of `covid-19`: that it finds 46.8 % of all such images is shown, more is not.",
        "Not measured: latency on any other device, runtime or precision than above.",
        "python example.py --benchmark",
        "trtexec --onnx=model-fp32-b1.onnx --saveEngine=model.engine",
        "`labels.txt`: the classes, one a line",
    ):
        assert words in text, text
    assert date.fromisoformat(str(manifest.created_on)) <= datetime.now(tz=UTC).date()


def test_what_is_not_known_is_not_said(make_artefact: Make) -> None:
    predicted = LatencyFacts(latency_ms_predicted=0.2, latency_ms_upper=0.3, latency_ms_measured=None, table=None)
    text = (make_artefact(latency=predicted, positive=None, threshold=None) / "README.md").read_text()
    assert "| Latency | 0.2 ms (predicted from a table, never measured) |" in text
    assert "| Threshold | none: the most probable class is decided |" in text
    assert "False alarms" not in text
    assert "| Latency | never measured |" in (make_artefact() / "README.md").read_text()


def test_markup_in_a_name_stays_text_and_labels_are_one_a_line(make_artefact: Make) -> None:
    names = ("<img src=x>", "a|b\n# c", "[d](http://e)")
    sensitivity = {name: wilson(9, 12) for name in names}
    metrics = replace(full_metrics().metrics, sensitivity=sensitivity, positive=names[1])
    folder = make_artefact(classes=names, positive=names[1], metrics=SplitMetrics(split="test", metrics=metrics))
    text = (folder / "README.md").read_text()
    assert not any(part in text for part in ("<img", "a|b", "\n# c", "[d](http"))
    assert "Sensitivity for <code>a&#124;b&#92;n&#35; c</code>" in text
    assert (folder / "labels.txt").read_text().splitlines() == ["<img src=x>", "a|b\\n# c", "[d](http://e)"]


def test_of_very_many_classes_a_sentence_names_a_few(make_artefact: Make) -> None:
    text = (make_artefact(classes=tuple(f"class-{i}" for i in range(300)), positive=None, threshold=None) / "README.md").read_text()
    assert "each of which shows one of `class-0`, `class-1`, " in text
    assert "`class-11` and 288 others. Whoever" in text


def test_an_engines_folder_names_what_times_an_engine(exported: dict[str, ExportedFile], tmp_path: Path) -> None:
    (tmp_path / "model.engine").write_bytes(b"engine")
    half = exported["fp16"]
    engine = ExportedFile(tmp_path / "model.engine", "engine", "tensorrt", "fp16", 1, ("sm86",), emulation=half.emulation)
    folder = write_artefact(tmp_path / "artefact", [(engine, not_run("there is no GPU"))], facts(), reference=reference).folder
    text = (folder / "README.md").read_text()
    assert "trtexec --loadEngine=model.engine" in text
    assert "How `model.engine` decides on its GPU is shown only where" in text
    assert "openvino" not in text
    assert not (folder / "example.cpp").exists()


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
def test_its_lines_for_openvino_print_what_the_example_prints(make_artefact: Make, tmp_path: Path) -> None:
    folder = make_artefact()
    photo = tmp_path / "photo.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(photo)
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), flags=re.DOTALL)
    ran = subprocess.run([sys.executable, "-"], input=code, cwd=folder, capture_output=True, text=True, check=True)
    name, probability = ran.stdout.split()
    command = [sys.executable, "-I", str(folder / "example.py"), str(photo)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert name == printed[1]
    assert float(probability) == pytest.approx(float(printed[2]), abs=1e-4)
    assert "failed" not in verdicts(verify(folder)).values()  # nothing was left in the folder


def test_its_verdict_stands_in_its_own_word(make_artefact: Make) -> None:
    labels = np.arange(30) % 3
    logits = (4 * np.eye(3)[labels]).astype(np.float32)
    same = compare(logits, logits, labels, class_names=CLASSES, positive=1, threshold=0.4, gates=Gates())
    folder = make_artefact(parity=same)
    manifest = load_manifest(folder)
    assert (manifest.status, manifest.verdict, manifest.verdict_word) == ("accepted", "passed", "equal within rounding")
    assert "| equal within rounding |" in (folder / "README.md").read_text()


def test_answers_come_back_by_the_hash_of_the_image(make_artefact: Make) -> None:
    hashes = [hashlib.sha256(bytes([i])).hexdigest() for i in range(5)]
    answers = kept(hashes, np.array([0, 1, 2, 1, 0]), np.arange(15, dtype=np.float32).reshape(5, 3))
    folder = make_artefact(answers=answers)
    facts = load_manifest(folder).answers
    assert facts == AnswersFacts(path="answers.npz", num_images=5, has_logits=True)
    read = read_answers(folder, facts, 3)
    there, here = read.of([hashes[4], "f" * 64, hashes[1], hashes[4]])
    assert (there.tolist(), here.tolist()) == ([0, 2, 3], [4, 1, 4])
    assert read.logits_NK is not None
    np.testing.assert_array_equal(read.logits_NK[here[0]], [12, 13, 14])
    (folder / "answers.npz").write_bytes(b"changed")
    assert verdicts(verify(folder))["answers.npz", "sha256"] == "failed"
    with pytest.raises(ArtefactError, match=r"answers\.npz cannot be read"):
        read_answers(folder, facts, 3)


def test_of_very_many_answers_the_decisions_alone_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(recorded, "MAX_LOGITS", 14)
    answers = kept(["0" * 64] * 5, np.array([0, 1, 2, 1, 0]), np.zeros((5, 3), dtype=np.float32))
    facts = answers.write(tmp_path)
    assert not facts.has_logits
    assert read_answers(tmp_path, facts, 3).logits_NK is None
    with pytest.raises(ArtefactError, match="does not hold answers to 6 images"):
        read_answers(tmp_path, replace(facts, num_images=6), 3)


def test_answers_that_would_fill_the_memory_are_not_unpacked(tmp_path: Path) -> None:
    facts = kept(["0" * 64], np.array([0]), np.zeros((1, 3), dtype=np.float32)).write(tmp_path)
    with pytest.raises(ArtefactError, match="holds 1000000000000 images"):
        read_answers(tmp_path, replace(facts, num_images=10**12), 3)
    np.savez_compressed(tmp_path / "answers.npz", hashes=np.zeros((1_000_000, 32), dtype=np.uint8), decisions=np.zeros(1, np.int32))
    with pytest.raises(ArtefactError, match="would unpack to 32000"):
        read_answers(tmp_path, facts, 3)


def test_the_worst_verdict_counts() -> None:
    passed, undecided, absent, failed = parity_of(), parity_of(30), not_run("no GPU"), parity_of(broken=True)
    assert overall([passed, undecided, absent, failed]) == "failed"
    assert overall([passed, undecided, absent]) == "undecided"
    assert overall([passed, absent]) == "not_run"
    assert overall([]) == "not_run"


def test_a_foreign_folder_is_left_alone(exported: dict[str, ExportedFile], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ArtefactError, match="is no artefact folder"):
        write_artefact(tmp_path, [(exported["fp32"], parity_of())], facts(), reference=reference)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_link_to_nothing_is_no_place_for_an_artefact(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(ArtefactError, match="link exists and is no artefact folder"):
        require_writable(tmp_path / "link")


def test_a_link_to_an_artefact_stays_and_what_it_leads_to_is_replaced(exported: dict[str, ExportedFile], tmp_path: Path) -> None:
    real, link = tmp_path / "v1", tmp_path / "current"
    link.symlink_to("v1")
    real.mkdir()
    (real / "manifest.json").write_text("older")
    write_artefact(link, [(exported["fp32"], parity_of())], facts(), reference=reference)
    assert link.readlink() == Path("v1")
    assert load_manifest(real).files
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current", "v1"]


def test_nothing_is_left_when_writing_fails(exported: dict[str, ExportedFile], tmp_path: Path) -> None:
    def broken(images: Any) -> Any:
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        write_artefact(tmp_path / "artefact", [(exported["fp32"], parity_of())], facts(), reference=broken)
    assert list(tmp_path.iterdir()) == []


def test_a_dead_net_does_not_verify_however_well_its_golden_outputs_agree(tmp_path: Path) -> None:
    net = tiny_net().requires_grad_(requires_grad=False)
    net.get_submodule("head").weight.zero_()  # type: ignore[union-attr,operator]
    exported = get_exporter("onnx").export(net, ExportSpec(INPUT_SHAPE), tmp_path)[0]
    dead = lambda images_NCHW: reference_logits(net, images_NCHW)  # noqa: E731
    folder = write_artefact(tmp_path / "artefact", [(exported, parity_of())], facts(), reference=dead).folder
    golden = next(check for check in verify(folder) if check.name == "golden")
    assert golden.verdict == "failed"
    assert "do not depend on the image" in golden.reason


def test_golden_images_are_generated_and_small(make_artefact: Make) -> None:
    folder = make_artefact()
    with np.load(folder / "golden.npz") as golden:
        assert golden["images"].shape == (4, 3, 8, 8)
        np.testing.assert_allclose(golden["logits"], reference(golden["images"]), atol=1e-5)


def test_a_changed_byte_is_found(make_artefact: Make) -> None:
    folder = make_artefact()
    path = folder / "model-fp32-b1.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    found = verdicts(verify(folder))
    assert found[path.name, "sha256"] == "failed"
    assert (path.name, "golden") not in found


def test_a_missing_file_is_found(make_artefact: Make) -> None:
    folder = make_artefact()
    (folder / "example.py").unlink()
    assert verdicts(verify(folder))["example.py", "sha256"] == "failed"


def test_other_weights_under_a_right_hash_are_found(make_artefact: Make) -> None:
    folder = make_artefact()
    path = folder / "model-fp32-b1.onnx"
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 1.1, tensor.name))
    path.write_bytes(model.SerializeToString())
    change_manifest(folder, lambda manifest: manifest["files"][0].update(sha256=sha256_file(path)))
    assert verdicts(verify(folder))[path.name, "golden"] == "failed"


def test_a_wrong_precision_is_found(make_artefact: Make) -> None:
    folder = make_artefact()
    change_manifest(folder, lambda manifest: manifest["files"][0].update(precision="fp16"))
    checks = verify(folder)
    assert verdicts(checks)["model-fp32-b1.onnx", "precision"] == "failed"


def test_an_unknown_runtime_is_not_run(make_artefact: Make) -> None:
    folder = make_artefact()
    checks = verify(folder, runtimes={})
    assert verdicts(checks)["model-fp32-b1.onnx", "golden"] == "not_run"
    change_manifest(folder, lambda manifest: manifest["files"][0].update(runtime="abacus"))
    (golden,) = [check for check in verify(folder) if check.name == "golden"]
    assert golden.verdict == "not_run"
    assert "'abacus'" in golden.reason


def test_an_edited_manifest_is_noticed(make_artefact: Make) -> None:
    folder = make_artefact()
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"status": "accepted"', '"status": "proven"'))
    with pytest.raises(ArtefactError, match="edited or damaged"):
        verify(folder)


def test_golden_answers_that_are_no_numbers_are_called_so() -> None:
    logits_NK = np.eye(3, dtype=np.float32)
    golden = Golden(np.zeros((3, 1, 2, 2), dtype=np.float32), logits_NK, {"fp32": 1e-3})
    broken_NK = logits_NK.copy()
    broken_NK[1, 0] = np.nan
    found = golden.check("model.onnx", "fp32", broken_NK, "onnxruntime-cpu")
    assert (found.verdict, found.reason) == ("failed", "its outputs are not finite for 1 of 3 golden images; onnxruntime-cpu")
    assert golden.check("model.onnx", "fp32", logits_NK, "onnxruntime-cpu").verdict == "passed"


def test_a_damaged_golden_file_is_found(make_artefact: Make) -> None:
    folder = make_artefact()
    (folder / "golden.npz").write_bytes(b"PK\x03\x04 not an archive")
    found = verdicts(verify(folder))
    assert found["golden.npz", "sha256"] == found["golden.npz", "golden"] == "failed"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(schema_version=9), "schema_version 9"),
        (lambda m: m.pop("threshold"), "threshold is missing"),
        (lambda m: m.update(files="all"), "files is str, expected list"),
        (lambda m: m["files"][0].update(path="../secret"), "'../secret' leaves the folder"),
        (lambda m: m["files"][0].update(path="/etc/passwd"), "'/etc/passwd' leaves the folder"),
        (lambda m: m["golden"].update(path="a/../../b"), "leaves the folder"),
        (lambda m: m["files"][0].update(kind="zip"), "kind is 'zip', expected onnx or engine"),
        (lambda m: m["files"].append(3), r"files\[1\] is no object"),
        (lambda m: m.update(positive="flu"), "positive 'flu' is not among the classes"),
        (lambda m: m.update(classes=["a", "a"]), "not two or more different names"),
        (lambda m: m.update(threshold=True), "threshold is bool"),
    ],
)
def test_a_wrong_manifest_is_an_error_of_one_line(
    make_artefact: Make, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    folder = make_artefact()
    change_manifest(folder, change)
    with pytest.raises(ArtefactError, match=message) as caught:
        load_manifest(folder)
    assert "\n" not in str(caught.value)


def test_a_link_out_of_the_folder_is_refused(make_artefact: Make, tmp_path: Path) -> None:
    folder = make_artefact()
    (tmp_path / "outside").write_text("x")
    (folder / "example.py").unlink()
    (folder / "example.py").symlink_to(tmp_path / "outside")
    with pytest.raises(ArtefactError, match=r"'example.py' leaves the folder"):
        load_manifest(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", "nul\x00"])
def test_what_is_no_manifest_is_an_error_of_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ArtefactError, match=r"is no artefact folder: it has no manifest\.json"):
        load_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ArtefactError, match=r"manifest\.json"):
        load_manifest(tmp_path)


def test_golden_outputs_that_were_damaged_are_not_opened(make_artefact: Make) -> None:
    folder = make_artefact()
    path = folder / "golden.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 255
    path.write_bytes(bytes(data))
    found = {(check.path, check.name): check for check in verify(folder)}
    assert found["golden.npz", "sha256"].verdict == "failed"
    assert found["golden.npz", "golden"].reason == "not opened: it is not the file that was exported"


def test_a_net_of_a_quick_run_says_so(make_artefact: Callable[..., Path]) -> None:
    folder = make_artefact(quick=("train", "search"))
    assert load_manifest(folder).quick == ("train", "search")
    assert "Not for a decision: train, search took a few steps only" in (folder / "README.md").read_text()
    assert load_manifest(make_artefact()).quick is None


def test_a_folder_without_a_run_behind_it_says_what_is_not_known_and_can_be_checked(make_artefact: Make) -> None:
    folder = make_artefact(architecture={}, weights={}, data=None, metrics={}, latency=None, versions={})
    assert {check.verdict for check in verify(folder)} == {"passed"}
    words = (folder / "README.md").read_text(encoding="utf-8")
    for line in ("| Accuracy | never judged |", "| Net | nothing is written down of it |", "| Data | not written down |"):
        assert line in words
    assert "nan" not in words
    assert load_manifest(folder).metrics.metrics.n == 0
