"""A space whose nets choose their resolution, from `init` to an artefact: each net is trained, judged and exported at its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from edgenas.spaces import get_space
from edgenas.spaces.designed import hand_designed
from tests.recipes.test_end_to_end import edgenas_in

NANO = get_space("pvt-elastic-nano")
SMALL = {
    "teacher.name": "self",
    "teacher.epochs": 1,
    "train.epochs": 1,
    "retrain.epochs": 1,
    "retrain.start": "inherited",
    "retrain.teaching": "labels",
    "retrain.race_epochs": 1,
    "search.num_generations": 1,
    "search.population": 4,
    "search.num_mutations": 2,
    "search.num_crossovers": 2,
    "search.num_finalists": 1,
    "search.proof_epochs": 1,
    "search.proof_nets": 1,
    "search.proof_hand": 1,
    "train.kd_weight": 0.5,
    "train.flip": "false",
    "retrain.scratch_epochs": 1,
}


def images(root: Path, *, num: int = 150) -> Path:
    """Noise of 48 px, one class darker; so large that both resolutions are made by averaging."""
    for index in range(num):
        pixels = np.random.default_rng(index).integers(0, 256 - 60 * (index % 2), (48, 48, 3), dtype=np.uint8)
        path = root / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return root


def run(folder: Path, *arguments: str) -> dict[str, Any]:
    code, value, err = edgenas_in(folder, *arguments)
    assert code == 0, (arguments, value["error"], err)
    result: dict[str, Any] = value["result"]
    return result


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained supernet and a searched winner."""
    folder = tmp_path_factory.mktemp("elastic")
    sets = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    source = f"folder:{images(folder / 'images')}"
    made = run(folder, "init", "--data", source, "--positive", "b", "--space", NANO.name, *sets)
    assert made["task"]["image_px"] == 32
    trained = run(folder, "train")
    assert set(trained["supernet"]["select_top1"]) == {"smallest", "random", "largest"}
    return folder


def exported_px(folder: Path) -> int:
    """Side of the image that an exported net takes; its graph must not resize."""
    artefact = folder / "edgenas-run" / "export" / "onnx"
    manifest = json.loads((artefact / "manifest.json").read_text())
    for file in manifest["files"]:
        model = onnx.load(artefact / file["path"])
        assert not {node.op_type for node in model.graph.node} & {"Resize", "Upsample"}
        (given,) = model.graph.input
        sides = {dim.dim_value for dim in given.type.tensor_type.shape.dim[2:]}
        assert sides == {manifest["preprocessing"]["image_px"]}
        assert manifest["architecture"]["arch"]["resolution_px"] in sides
    return int(manifest["preprocessing"]["image_px"])


@pytest.mark.slow
def test_the_winner_is_exported_at_its_own_resolution(project: Path) -> None:
    winner = run(project, "search", "--max-params", "60k")["winner"]["arch"]
    run(project, "export", "--format", "onnx")
    assert exported_px(project) == winner["resolution_px"]


@pytest.mark.usefixtures("one_batch_size")
@pytest.mark.parametrize("resolution_px", [24, pytest.param(32, marks=pytest.mark.slow)])
def test_a_retrained_net_is_judged_and_exported_at_its_own_resolution(project: Path, resolution_px: int) -> None:
    arch = NANO.to_json(NANO.extreme(largest=False)[0]) | {"resolution_px": resolution_px}
    (project / "net.json").write_text(json.dumps(arch))
    retrained = run(project, "retrain", "--arch", "net.json", "--force", *(["--baseline"] if resolution_px == 32 else []))
    exported = run(project, "export", "--format", "onnx", "--net", "searched")
    assert exported["weights"] == "finetuned"
    assert {file["parity"]["verdict"] for file in exported["files"]} == {"passed"}
    assert exported_px(project) == resolution_px
    run(project, "verify", "edgenas-run/export/onnx", "--data", f"folder:{project / 'images'}")
    evaluated = run(project, "evaluate", "--split", "test", "--set", "export.net=searched")
    manifest = json.loads((project / "edgenas-run" / "export" / "onnx" / "manifest.json").read_text())
    assert evaluated["top1"] == retrained["top1"] == manifest["metrics"]["top1"]
    if resolution_px == 32:
        baseline = retrained["baseline"]
        assert baseline["arch"] in hand_designed(NANO)
        assert baseline["macs"] <= retrained["macs"] or baseline["num_nets"] == 1  # there is no table
