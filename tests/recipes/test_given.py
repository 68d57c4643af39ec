"""`edgenas retrain --init`: a net starts from what another run, or a larger net, has learnt."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from edgenas.spaces import get_space
from edgenas.training.checkpoints import load_weights
from edgenas.training.headers import facts_in
from tests.recipes.test_end_to_end import edgenas_in

PVT = get_space("pvt-nano")
SETTINGS = {
    "data.max_per_class": "80",
    "train.kd_weight": "0",
    "train.epochs": "1",
    "train.flip": "false",
    "train.threads": "1",
    "train.ema_decay": "0",
    "retrain.scratch_epochs": "1",
    "retrain.epochs": "1",
}
SETS = [part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")]
ARCH = PVT.to_json(PVT.extreme(largest=False)[0])


@pytest.fixture(scope="module")
def lender(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose smallest net was trained alone, without a supernet, and the file of its architecture."""
    folder = tmp_path_factory.mktemp("lender")
    (folder / "arch.json").write_text(json.dumps(ARCH))
    assert edgenas_in(folder, "init", "--data", "digits", *SETS)[0] == 0
    code, value, _ = edgenas_in(folder, "retrain", "--arch", "arch.json", *SETS, "--set", "retrain.start=scratch")
    assert code == 0, value
    return folder


@pytest.fixture
def project(lender: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project beside the lender's run folder."""
    shutil.copytree(lender / "edgenas-run", tmp_path / "lender")
    shutil.copyfile(lender / "arch.json", tmp_path / "arch.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def retrained(project: Path, *more: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The answer of retraining the net, and what the weights say of themselves."""
    code, value, err = edgenas_in(project, "retrain", "--arch", "arch.json", *SETS, *more)
    assert code == 0, (value, err)
    return value, facts_in(project / "edgenas-run" / "retrain" / "weights.safetensors")


def test_a_new_project_starts_where_the_same_net_of_another_ended(project: Path) -> None:
    assert edgenas_in(project, "init", "--data", "digits", *SETS, "--set", "data.image_px=48")[0] == 0
    almost_still = ("--set", "retrain.learning_rate=1e-6", "--set", "retrain.start=given", "--set", "data.image_px=48")
    value, facts = retrained(project, "--init", "lender", *almost_still)
    (start,) = value["result"]["starts"]
    assert (start["weights"], start["teaching"], start["epochs"]) == ("given", "labels", 1)
    assert (facts["weights"], facts["init"]["source"]) == ("given", "lender")
    assert "selection" not in facts["init"]
    begun = load_weights(project / "lender" / "retrain" / "weights.safetensors")[0]
    ended = load_weights(project / "edgenas-run" / "retrain" / "weights.safetensors")[0]
    assert all(torch.allclose(begun[name], ended[name], atol=1e-3) for name in begun)
    (weights,) = (project / "edgenas-run" / "retrain" / "tries").rglob("weights.safetensors")
    written = weights.stat().st_mtime_ns
    retrained(project, "--init", "lender", *almost_still)
    assert weights.stat().st_mtime_ns == written


def test_given_weights_are_one_start_more_and_the_best_is_kept(project: Path) -> None:
    assert edgenas_in(project, "init", "--data", "digits", *SETS)[0] == 0
    value, _ = retrained(project, "--init", "lender")
    starts = {start["weights"]: start["select_top1"]["value"] for start in value["result"]["starts"]}
    assert set(starts) == {"given", "scratch"}
    assert starts["given"] > starts["scratch"]
    assert value["result"]["weights"] == "given"


@pytest.mark.slow
def test_larger_nets_are_selected_from_and_heads_of_other_classes_start_fresh(project: Path) -> None:
    assert edgenas_in(project, "init", "--data", "digits", *SETS)[0] == 0
    torch.manual_seed(0)
    save_file(timm.create_model("pvt_v2_b0", pretrained=False, num_classes=7).state_dict(), project / "b0.safetensors")
    _, facts = retrained(project, "--init", "b0.safetensors", "--set", "retrain.start=given")
    assert facts["init"]["selection"]["asked"] == "auto"
    assert set(facts["init"]["selection"]["select_loss"]) == {"drawn", "leading", "even", "importance"}
    assert any(note.startswith("without a counterpart, and so fresh: ") and "head" in note for note in facts["init"]["notes"])


@pytest.mark.slow
def test_as_many_but_other_classes_get_a_fresh_head(project: Path) -> None:
    splits = project / "lender" / "data" / "splits.json"
    assert edgenas_in(project, "init", "--data", "digits", *SETS)[0] == 0
    assert splits.is_file()
    code, value, _ = edgenas_in(project, "init", "--run", "letters", "--data", "fashion-mnist", *SETS)
    assert code == 0, value
    shutil.copyfile(project / "letters" / "data" / "splits.json", splits)
    _, facts = retrained(project, "--init", "lender", "--set", "retrain.start=given")
    assert any(note.startswith("the head starts fresh: its classes were ") for note in facts["init"]["notes"])


def test_weights_of_another_family_are_refused_before_anything_is_trained(project: Path) -> None:
    assert edgenas_in(project, "init", "--data", "digits", *SETS)[0] == 0
    save_file(timm.create_model("deit_tiny_patch16_224", pretrained=False).state_dict(), project / "deit.safetensors")
    code, value, err = edgenas_in(project, "retrain", "--arch", "arch.json", *SETS, "--init", "deit.safetensors")
    assert (code, value["error"]["type"]) == (1, "CheckpointError")
    assert value["error"]["message"] == "deit.safetensors is a Vision Transformer, and nets of pvt-nano are of another family"
    assert "Traceback" not in err
    assert not (project / "edgenas-run" / "retrain").exists()
    code, value, _ = edgenas_in(project, "retrain", "--arch", "arch.json", *SETS, "--set", "retrain.start=given")
    assert (code, "start given needs init" in json.dumps(value)) == (1, True)
