"""Teachers that are not trained here, several at once, and nets with an input of their own, from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgenas.errors import CheckpointError
from edgenas.project.opening import open_images, open_project
from edgenas.project.trainings.loaded_teacher import load_teacher
from edgenas.project.trainings.outsiders import same_classes
from edgenas.spaces import get_space
from edgenas.training.evaluation import logits
from edgenas.training.headers import facts_in
from tests.recipes.test_end_to_end import edgenas_in
from tests.training.test_outside import Linear, write_onnx

PVT = get_space("pvt-nano")
ARCH = PVT.to_json(PVT.extreme(largest=False)[0])
SETTINGS = (
    "data.max_per_class=60",
    "train.epochs=2",
    "train.flip=false",
    "train.threads=1",
    "train.ema_decay=0",
    "train.kd_weight=0.5",
    "train.temperature=2",
    "teacher.epochs=1",
    "teacher.check=false",  # these know nothing
    "retrain.scratch_epochs=1",
)
SETS = [part for setting in SETTINGS for part in ("--set", setting)]
WEIGHTS = Path("edgenas-run") / "teacher" / "weights.safetensors"


@pytest.fixture(scope="module")
def lender(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a retrained net of 48 px, and a project without anything trained."""
    folder = tmp_path_factory.mktemp("lender")
    (folder / "arch.json").write_text(json.dumps(ARCH))
    larger = ("--set", "data.image_px=48", "--set", "retrain.start=scratch", "--set", "train.kd_weight=0")
    assert edgenas_in(folder, "init", "--data", "digits", *SETS, *larger)[0] == 0
    code, value, _ = edgenas_in(folder, "retrain", "--arch", "arch.json", *SETS, *larger)
    assert code == 0, value
    (folder / "edgenas-run").rename(folder / "lender")
    assert edgenas_in(folder, "init", "--data", "digits", *SETS)[0] == 0
    write_onnx(folder / "net.onnx", Linear(classes=10), side=24)
    return folder


@pytest.fixture
def project(lender: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(lender, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def trained(project: Path, *more: str) -> dict[str, Any]:
    code, value, err = edgenas_in(project, "train", *SETS, *more)
    assert code == 0, (value, err)
    result: dict[str, Any] = value
    return result


def facts(project: Path) -> dict[str, Any]:
    return facts_in(project / WEIGHTS)


def test_nets_of_others_and_one_trained_here_teach_together(project: Path) -> None:
    value = trained(
        project, "--teacher", "run:lender", "--teacher", "onnx:net.onnx", "--teacher", "cnn", "--set", "teacher.weights=[2,1,1]"
    )
    assert value["result"]["teacher"]["name"] == "run:lender + onnx:net.onnx + cnn"
    run, file, cnn = facts(project)["members"]
    assert [row["weight"] for row in (run, file, cnn)] == [2, 1, 1]
    assert [row["image_px"] for row in (run, file, cnn)] == [48, 24, 32]
    assert all(len(row["sha256"]) == 64 for row in (run, file, cnn))
    supernet = facts_in(project / "edgenas-run" / "supernet" / "weights.safetensors")
    opened = open_project(project / "edgenas-run", {}, SETTINGS)
    images = open_images(opened)
    team = load_teacher(opened, images)
    shown = images.arrays("select")[0][:8]
    alone = [torch.from_numpy(logits(net, shown)).log_softmax(-1) for net in team.teachers]  # type: ignore[union-attr]  # modules
    wanted = (2 * alone[0] + alone[1] + alone[2]) / 4
    assert np.allclose(logits(team, shown), wanted.numpy(), atol=1e-5)
    assert supernet["settings"]["taught"] is True
    again = trained(project)
    assert again["result"]["teacher"] == value["result"]["teacher"]
    assert again["result"]["supernet"] == value["result"]["supernet"]


def test_a_net_of_another_resolution_answers_as_it_does_there(project: Path) -> None:
    trained(project, "--only", "teacher", "--teacher", "run:lender")
    opened = open_project(project / "edgenas-run", {}, SETTINGS)
    images = open_images(opened)
    there = open_project(project / "lender", {}, (*SETTINGS, "data.image_px=48"))
    theirs = open_images(there)
    shown, small = theirs.arrays("select")[0][:64], images.arrays("select")[0][:64]
    (net,) = [module for module in load_teacher(opened, images).children() if hasattr(module, "spec")]
    direct, adapted = logits(net, shown), logits(load_teacher(opened, images), small)
    assert (direct.argmax(1) == adapted.argmax(1)).mean() > 0.9
    assert not np.allclose(direct, adapted)  # it is resized from what the student sees, not from the original


def test_a_net_that_changes_after_it_began_to_teach_is_refused(project: Path) -> None:
    trained(project, "--only", "teacher", "--teacher", "onnx:net.onnx")
    write_onnx(project / "net.onnx", Linear(seed=1, classes=10), side=24)
    code, value, err = edgenas_in(project, "train", *SETS, "--only", "supernet")
    assert (code, value["error"]["message"]) == (1, "onnx:net.onnx is another net than when it began to teach")
    assert "Traceback" not in err
    code, value, _ = edgenas_in(project, "train", *SETS, "--teacher", "cnn")
    assert (code, value["error"]["message"]) == (1, "the run's teacher is onnx:net.onnx, not cnn")
    value = trained(project, "--teacher", "onnx:net.onnx", "--force", "--only", "teacher")
    assert value["result"]["teacher"]["name"] == "onnx:net.onnx"


def test_mistakes_are_one_line_before_anything_is_trained(project: Path) -> None:
    write_onnx(project / "four.onnx", Linear(classes=4), side=24)
    for names, message in (
        (["onnx:gone.onnx"], "gone.onnx does not exist"),
        (["cnn", "onnx:four.onnx"], "four.onnx tells 4 classes apart, the images are of 10"),
        (["cnn", "run:project"], "project is no run folder of edgenas"),
        (["cnn", "auto"], "name is one teacher or a list of different ones, of which none is auto"),
    ):
        flags = [part for name in names for part in ("--teacher", name)]
        code, value, err = edgenas_in(project, "train", *SETS, *flags)
        assert code == 1
        assert message in json.dumps(value["error"])
        assert "Traceback" not in err
        assert not (project / "edgenas-run" / "teacher").exists()


@pytest.mark.slow
def test_a_net_trained_here_may_read_larger_images(project: Path) -> None:
    value = trained(
        project, "--only", "teacher", "--teacher", "cnn", "--set", "teacher.image_px=40", "--set", "teacher.mean=[0,0,0]"
    )
    assert value["result"]["teacher"]["select_top1"]["value"] > 0.1
    (member,) = facts(project)["members"]
    assert (member["image_px"], member["mean"]) == (40, [0, 0, 0])
    assert (
        trained(project, "--only", "teacher", "--set", "teacher.image_px=40", "--set", "teacher.name=cnn")["result"]
        == value["result"]
    )


def test_classes_in_another_order_are_put_in_ours() -> None:
    assert same_classes(("b", "a", "c"), ("a", "b", "c"), "the run") == [1, 0, 2]
    assert same_classes(("a", "b"), ("a", "b"), "the run") is None
    with pytest.raises(CheckpointError, match=r"the run tells other classes apart\. c it does not know; d the images do not have"):
        same_classes(("a", "d"), ("a", "c"), "the run")


def test_info_names_those_that_teach(project: Path) -> None:
    trained(project, "--only", "teacher", "--teacher", "run:lender", "--teacher", "onnx:net.onnx", "--set", "teacher.weights=[3,1]")
    code, _, err = edgenas_in(project, "info")
    assert code == 0
    assert "teacher: run:lender at 48 px (75.0 %), onnx:net.onnx at 24 px (25.0 %)" in " ".join(err.split())
