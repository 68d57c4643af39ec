"""Every named recipe from images to a net's report, on a nano space."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgenas.project.named_recipes import ORDER, RECIPES
from tests.recipes.test_end_to_end import edgenas_in

SPACES = {"autoformer": "autoformer-nano", "tftas-retrain": "autoformer-nano", "vitas": "vitas-nano"}
SHORT = (
    *("teacher.epochs=2", "teacher.batch_size=32", "teacher.probe_steps=4", "train.epochs=2", "train.batch_size=32"),
    *("train.warmup_epochs=0.5", "retrain.epochs=1", "train.threads=1"),
    *("search.num_generations=1", "search.population=6", "search.num_mutations=3", "search.num_crossovers=3"),
    *("search.proof_epochs=2", "search.proof_nets=2", "search.proof_hand=1"),
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ORDER)
def test_a_recipe_goes_from_images_to_a_report(tmp_path: Path, name: str) -> None:
    space = next((space for prefix, space in SPACES.items() if name.startswith(prefix)), "pvt-nano")
    sets = [part for setting in SHORT for part in ("--set", setting)]
    code, value, err = edgenas_in(
        tmp_path, "init", "--data", "digits", "--space", space, "--recipe", name, "--max-per-class", "40", "--image-px", "32"
    )
    assert code == 0, (value["error"], err)
    assert f'recipe = "{name}"' in (tmp_path / "edgenas-run" / "edgenas.toml").read_text()
    epochs = RECIPES[name].settings.get("retrain", {}).get("scratch_epochs")
    sets += [] if epochs is None else ["--set", "retrain.scratch_epochs=2"]
    for command in (["train"], ["search", "--max-params", "10M"], ["retrain"], ["evaluate"]):
        code, value, err = edgenas_in(tmp_path, *command, *sets)
        assert code == 0, (command, value["error"], err)
    result = json.loads((tmp_path / "edgenas-run" / "retrain" / "result.json").read_text())
    wanted = RECIPES[name].settings.get("retrain", {}).get("start")
    if wanted is not None:
        assert result["weights"] == {"inherited": "finetuned", "scratch": "scratch"}[wanted]
