"""`verify` on artefacts that need no training: what their export recorded, and where there is nothing to compare with."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from junitparser import JUnitXml
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from PIL import Image

from edgenas.data import open_source
from edgenas.data.preprocess import Preprocess
from edgenas.deploy import _asking
from edgenas.deploy.artefact import Facts, write_artefact
from edgenas.deploy.contracts import ExportedFile
from edgenas.deploy.parity import Gates, compare
from edgenas.deploy.recorded import kept
from edgenas.deploy.signing import MAX_BYTES, SIGNATURE, load_signer
from edgenas.errors import ArtefactError, ConfigError, EdgeNASError, GateError, RunFolderError, UsageError
from edgenas.recipes import verify
from edgenas.recipes.verify import VerifyConfig, run
from edgenas.records import ArchitectureFacts, Check, DataFacts, Metrics, Parity, SplitMetrics, VerifyResult, WeightsFacts
from edgenas.runs import Outcome, sha256_file, sha256_json
from edgenas.stats import wilson

CLASSES = ("bright", "dark")
PX = 16
HEAD = np.repeat(np.float32([[1, -1]]), 3 * PX * PX, axis=0) / 100


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty images a class that their mean tells apart."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir()
        for number in range(20):
            pixels = rng.integers(0, 80, (PX, PX, 3)) + (150 if label == 0 else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


def net(path: Path, head: NDArray[np.float32] = HEAD) -> Path:
    nodes = [helper.make_node("Flatten", ["image"], ["flat"]), helper.make_node("MatMul", ["flat", "head"], ["logits"])]
    image = helper.make_tensor_value_info("image", 1, [1, 3, PX, PX])
    logits = helper.make_tensor_value_info("logits", 1, [1, 2])
    model = helper.make_model(
        helper.make_graph(nodes, "g", [image], [logits], [numpy_helper.from_array(head, "head")]),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    model.ir_version = 8
    onnx.save(model, path)
    return path


def artefact(
    folder: Path, data: Path, *, known: Sequence[int] = range(40), shift: float = 0.0, recorded: bool = True, num_files: int = 1
) -> Path:
    """An artefact folder that knows the answers to some of the images; ``shift`` is added to the files' logits in their parity."""
    source = open_source(f"folder:{data}")
    preprocess = Preprocess(PX, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    images = np.stack([preprocess.normalise(preprocess.pixels(source.load(i))[None])[0] for i in known])
    labels = source.labels_N[list(known)]
    logits = images.reshape(len(images), -1) @ HEAD
    parity: Parity = compare(
        logits, logits + np.float32([shift, 0]), labels, class_names=CLASSES, positive=None, threshold=None, gates=Gates()
    )
    hashes = [hashlib.sha256(source.content(i)).hexdigest() for i in known]
    share = wilson(40, 40)
    facts = Facts(
        (3, PX, PX),
        preprocess.as_json(),
        CLASSES,
        None,
        None,
        ArchitectureFacts(space="none", arch={}, params=1, macs=1),
        WeightsFacts(origin="scratch", sha256="0" * 64),
        DataFacts(source="folder", fingerprint="0" * 64, splits={}),
        SplitMetrics(split="test", metrics=Metrics(n=40, top1=share, top1_decision=share, sensitivity={})),
        None,
        {},
        answers=kept(hashes, logits.argmax(axis=1), logits) if recorded else None,
    )
    names = ("model.onnx", *(f"model-{number}.onnx" for number in range(1, num_files)))
    files = [ExportedFile(net(folder.parent / name), "onnx", "onnxruntime-cpu", "fp32", 1) for name in names]
    return write_artefact(
        folder, [(file, parity) for file in files], facts, reference=lambda batch: batch.reshape(len(batch), -1) @ HEAD
    ).folder


def outcome_of(folder: Path, **options: Any) -> Outcome[VerifyResult]:
    config = VerifyConfig(folder.parent / "no-run", {}, options.pop("overrides", ()), folder, **options)
    *_, outcome = run(config)
    assert isinstance(outcome, Outcome)
    return outcome


def parity_of(outcome: Outcome[VerifyResult]) -> Any:
    return next(check for check in outcome.result.checks if check.name == "parity")


@pytest.mark.usefixtures("models_run_here")
def test_it_repeats_the_export_s_parity_and_verdict_in_its_own_word(tmp_path: Path, data: Path) -> None:
    outcome = outcome_of(artefact(tmp_path / "art", data), data=f"folder:{data}")
    assert outcome.failure is None
    assert (outcome.result.verdict, outcome.result.exported) == ("passed", "equal within rounding")
    check = parity_of(outcome)
    assert check.reason.startswith("equal within rounding on 40 images: largest logit error ")


@pytest.mark.usefixtures("models_run_here")
def test_a_file_that_answers_otherwise_fails_although_the_manifest_was_resealed(tmp_path: Path, data: Path) -> None:
    folder = artefact(tmp_path / "art", data)
    net(folder / "model.onnx", HEAD[:, ::-1].copy())  # the classes are swapped
    swapped = {name: array[:, ::-1] if name == "logits" else array for name, array in np.load(folder / "golden.npz").items()}
    np.savez_compressed(folder / "golden.npz", **swapped)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.pop("sha256")
    for entry in (*manifest["files"], *manifest["support_files"]):
        entry.update(sha256=sha256_file(folder / entry["path"]), size_bytes=(folder / entry["path"]).stat().st_size)
    (folder / "manifest.json").write_text(json.dumps({**manifest, "sha256": sha256_json(manifest)}))
    assert outcome_of(folder).failure is None  # nothing in the folder tells
    outcome = outcome_of(folder, data=f"folder:{data}")
    assert outcome.failure is not None
    assert (outcome.failure.exit_code, parity_of(outcome).parity.decision.flips) == (4, 40)


@pytest.mark.usefixtures("models_run_here")
def test_only_images_that_the_export_knew_are_compared(tmp_path: Path, data: Path) -> None:
    folder = artefact(tmp_path / "art", data, known=range(5, 30))
    assert parity_of(outcome_of(folder, data=f"folder:{data}")).parity.num_images == 25


@pytest.mark.usefixtures("models_run_here")
@pytest.mark.parametrize("recorded", [True, False])
def test_without_a_reference_it_says_so_and_passes_nothing(tmp_path: Path, data: Path, recorded: bool) -> None:
    folder, others = artefact(tmp_path / "art", data, recorded=recorded), tmp_path / "others"
    shutil.copytree(data, others)
    for path in others.rglob("*.png"):
        with Image.open(path) as image:
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path)
    outcome = outcome_of(folder, data=f"folder:{others}")
    check = parity_of(outcome)
    assert (check.verdict, outcome.result.verdict, outcome.failure) == ("not_run", "not_run", None)
    why = "none of the 40 images is among the 40 that judged the export" if recorded else "an earlier edgenas wrote it"
    assert check.reason.startswith("there is no reference to compare with: ")
    assert why in check.reason
    strict = outcome_of(folder, data=f"folder:{others}", require_run=True)
    assert strict.failure is not None
    assert strict.failure.exit_code == 4


@pytest.mark.usefixtures("models_run_here")
def test_an_export_that_was_rejected_stays_failed(tmp_path: Path, data: Path) -> None:
    outcome = outcome_of(artefact(tmp_path / "art", data, shift=float("nan")), data=f"folder:{data}")
    assert outcome.failure is not None
    assert (outcome.failure.exit_code, outcome.result.verdict, outcome.result.exported) == (4, "failed", "failed")


@pytest.mark.usefixtures("models_run_here")
def test_an_export_that_was_undecided_is_undecided_until_images_decide(tmp_path: Path, data: Path) -> None:
    folder = artefact(tmp_path / "art", data, shift=0.5)
    outcome = outcome_of(folder)
    assert outcome.failure is not None
    assert (outcome.failure.exit_code, outcome.result.verdict, outcome.result.exported) == (4, "undecided", "undecided")
    assert outcome_of(folder, data=f"folder:{data}").failure is None


def test_names_for_labels_of_no_data_are_refused(tmp_path: Path, data: Path) -> None:
    with pytest.raises(UsageError, match="--map-label renames classes of data; give --data SOURCE too"):
        outcome_of(artefact(tmp_path / "art", data), map_label={"a": "b"})


@pytest.mark.usefixtures("models_run_here")
def test_gates_that_are_given_judge_where_there_is_no_run_folder(tmp_path: Path, data: Path) -> None:
    folder = artefact(tmp_path / "art", data)
    with pytest.raises(ConfigError) as raised:
        outcome_of(folder, data=f"folder:{data}", overrides=("gates.min_agreement=7",))
    assert "min_agreement 7.0 is not in [0, 1)" in str(raised.value)
    with pytest.raises(ConfigError) as raised:
        outcome_of(folder, data=f"folder:{data}", overrides=("gates.nope=1",))
    assert "--set gates.nope: gates.nope is unknown" in str(raised.value)
    parity = parity_of(outcome_of(folder, data=f"folder:{data}", overrides=("gates.min_agreement=0.5",))).parity
    assert {gate.name: gate.limit for gate in parity.gates}["min_agreement"] == 0.5
    with pytest.raises(UsageError, match=r"--set gates.min_agreement=0.5 would do nothing: settings are for --data SOURCE"):
        outcome_of(folder, overrides=("gates.min_agreement=0.5",))


def put_endless(path: Path) -> None:
    """A model that answers dark images and never ends for bright ones."""
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["x"], ["y"])],
        "body",
        [info("i", 7, []), info("go", 9, []), info("x", 1, None)],
        [info("on", 9, []), info("y", 1, None)],
    )
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Greater", ["mean", "zero"], ["bright"]),
        helper.make_node("Loop", ["", "bright", "image"], ["same"], body=body),
        helper.make_node("Flatten", ["same"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["logits"]),
    ]
    constants = [numpy_helper.from_array(HEAD, "head"), numpy_helper.from_array(np.float32(0), "zero")]
    graph = helper.make_graph(nodes, "g", [info("image", 1, [1, 3, PX, PX])], [info("logits", 1, None)], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)


def test_a_model_that_ends_for_golden_images_alone_is_stopped_where_images_are_given(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, before = artefact(tmp_path / "art", data), children()
    put_endless(folder / "model.onnx")
    monkeypatch.setattr(verify, "verify_files", lambda folder: iter([[]]))  # nothing in the folder tells
    monkeypatch.setattr(_asking, "CPU_S", 1.0)
    outcome = outcome_of(folder, data=f"folder:{data}")
    assert outcome.failure is not None
    assert outcome.failure.exit_code == 4
    assert parity_of(outcome).reason == "the model was stopped: it did not answer a batch within 1 s"
    assert children() <= before


def test_a_file_that_does_not_run_keeps_no_other_from_being_compared(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = artefact(tmp_path / "art", data, num_files=2)
    net(folder / "model.onnx", np.zeros((5, 2), np.float32))
    monkeypatch.setattr(verify, "verify_files", lambda folder: iter([[]]))
    outcome = outcome_of(folder, data=f"folder:{data}")
    verdicts = {check.path: check.verdict for check in outcome.result.checks if check.name == "parity"}
    assert verdicts == {"model.onnx": "failed", "model-1.onnx": "passed"}


def children() -> set[str]:
    """Processes that this one started and that still run, also for other tests."""
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text(encoding="ascii").split())


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([("Expand", ["zero", "size"], ["large"]), ("ReduceSum", ["large"], ["logits"])], "does not run: .* Expand"),
        ([("ReduceMean", ["image"], ["logits"])], "gives an array of shape"),
    ],
    ids=["memory", "shape"],
)
def test_a_model_that_takes_all_memory_or_gives_no_rows_ends_in_words(
    tmp_path: Path, nodes: list[tuple[str, list[str], list[str]]], words: str
) -> None:
    made = [
        helper.make_node(kind, reads, gives, **({"keepdims": 0} if kind.startswith("Red") else {})) for kind, reads, gives in nodes
    ]
    constants = [numpy_helper.from_array(np.zeros(1, np.float32), "zero"), numpy_helper.from_array(np.int64([1 << 33]), "size")]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(made, "g", [info("image", 1, [1, 3, PX, PX])], [info("logits", 1, None)], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ArtefactError, match=words):
        _asking.answers_apart(tmp_path / "model.onnx", "onnxruntime-cpu", "fp32", 1, np.zeros((1, 3, PX, PX), np.float32))


def test_the_layer_that_is_not_finite_is_found_by_another_process(tmp_path: Path) -> None:
    path = net(tmp_path / "model.onnx", HEAD * np.float32("inf"))
    assert _asking.first_not_finite_apart(path, np.ones((1, 3, PX, PX), np.float32)) == "logits (MatMul)"


def signed(folder: Path, where: Path) -> Path:
    """Sign an artefact with a new key; the file of its public half."""
    key = Ed25519PrivateKey.generate()
    private, public = where / "own.key", where / "own.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (folder / SIGNATURE).write_text(load_signer(private).sign((folder / "manifest.json").read_bytes(), "by me"))
    return public


@pytest.mark.usefixtures("models_run_here")
def test_a_signature_is_checked_where_a_key_is_given(tmp_path: Path, data: Path) -> None:
    folder = artefact(tmp_path / "art", data)
    public = signed(folder, tmp_path)
    outcome = outcome_of(folder, public_key=public)
    assert outcome.failure is None
    assert outcome.result.checks[0] == Check("manifest.json", "signature", "passed", "by the key in own.pub")
    assert "signature" not in {check.name for check in outcome_of(folder).result.checks}


@pytest.mark.usefixtures("models_run_here")
@pytest.mark.parametrize("what", ["missing", "too large", "another key", "changed", "damaged"])
def test_what_is_not_signed_as_it_is_fails_in_one_line(tmp_path: Path, data: Path, what: str) -> None:
    folder = artefact(tmp_path / "art", data)
    public, path = signed(folder, tmp_path), folder / "manifest.json"
    if what == "missing":
        (folder / SIGNATURE).unlink()
    elif what == "too large":
        (folder / SIGNATURE).write_bytes(b"\0" * (MAX_BYTES + 1))
    elif what == "another key":
        public = signed(artefact(tmp_path / "other", data), tmp_path)
    else:
        manifest = json.loads(path.read_text())
        manifest.pop("sha256")
        manifest["created_by"] = "somebody"
        seal = sha256_json(manifest) if what == "changed" else "0" * 64
        path.write_text(json.dumps({**manifest, "sha256": seal}))
    if what == "damaged":
        with pytest.raises(GateError) as caught:
            outcome_of(folder, public_key=public)
        failure: EdgeNASError = caught.value
    else:
        found = outcome_of(folder, public_key=public).failure
        assert found is not None
        failure = found
    said = {"missing": "manifest.json.minisig is missing", "too large": "signature it cannot be read: "}
    words = said.get(what, "it is not this key's, or what was signed was changed since")
    assert failure.exit_code == 4
    assert words in str(failure)
    assert "\n" not in str(failure)


@pytest.mark.usefixtures("models_run_here")
def test_what_was_checked_is_written_for_build_servers_passed_or_not(tmp_path: Path, data: Path) -> None:
    folder, path = artefact(tmp_path / "art", data), tmp_path / "checks.xml"
    outcome = outcome_of(folder, junit=path)
    (suite,) = JUnitXml.fromstring(path.read_bytes())
    assert outcome.outputs["junit"] == path
    assert (suite.tests, suite.failures) == (len(outcome.result.checks), 0)
    hashes = {each.name: each.value for each in suite.properties()}
    assert hashes["sha256.model.onnx"] == sha256_file(folder / "model.onnx")
    (folder / "labels.txt").write_text("other\n")
    assert outcome_of(folder, junit=path).failure is not None
    (suite,) = JUnitXml.fromstring(path.read_bytes())
    assert suite.failures == 1
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(ArtefactError):
        outcome_of(folder, junit=path)
    (suite,) = JUnitXml.fromstring(path.read_bytes())
    assert (suite.tests, suite.errors) == (1, 1)


def test_where_the_checks_cannot_be_written_is_said_before_anything_is_checked(tmp_path: Path, data: Path) -> None:
    folder = artefact(tmp_path / "art", data)
    with pytest.raises(UsageError, match="is no folder"):
        outcome_of(folder, junit=tmp_path / "missing" / "checks.xml")
    with pytest.raises(UsageError, match="lies in the artefact"):
        outcome_of(folder, junit=folder / "checks.xml")
    with pytest.raises(RunFolderError, match="cannot be written"):
        outcome_of(folder, junit=Path("/proc/checks.xml"))
    os.mkfifo(tmp_path / "pipe")  # as /dev/null, which a file moved there would take away from everybody
    for taken in (tmp_path / "pipe", folder.parent):
        with pytest.raises(UsageError, match="is no file"):
            outcome_of(folder, junit=taken)
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.usefixtures("models_run_here")
def test_checks_go_where_a_link_leads_which_stays(tmp_path: Path, data: Path) -> None:
    folder, link, target = artefact(tmp_path / "art", data), tmp_path / "link.xml", tmp_path / "checks.xml"
    target.write_text("of before")
    link.symlink_to(target)
    outcome_of(folder, junit=link)
    assert link.is_symlink()
    assert JUnitXml.fromstring(target.read_bytes())
