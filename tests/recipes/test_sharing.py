"""`train.sharing = "classical"` goes the whole way, and checkpoints of both kinds are kept apart."""

from __future__ import annotations

from pathlib import Path

from edgenas.training.checkpoints import load_weights
from tests.recipes.test_end_to_end import edgenas_in

SMALL = (
    "data.max_per_class=80",
    *("teacher.name=self", "teacher.epochs=1", "train.epochs=1", "train.threads=1", "train.kd_weight=0.5", "train.flip=false"),
    *(
        "retrain.start=inherited",
        "retrain.teaching=labels",
        "retrain.epochs=1",
        "retrain.scratch_epochs=1",
        "search.num_generations=1",
        "search.proof_epochs=0",
    ),
    *("search.population=4", "search.num_mutations=2", "search.num_crossovers=2", "search.num_finalists=1"),
)
CLASSICAL = ("--set", "train.sharing=classical")


def test_private_weights_are_trained_searched_and_inherited(tmp_path: Path) -> None:
    sets = [part for setting in SMALL for part in ("--set", setting)]
    for command in (
        ("init", "--data", "digits", "--image-px", "16"),
        ("train",),
        ("search", "--max-params", "200000"),
        ("retrain",),
    ):
        code, value, _ = edgenas_in(tmp_path, *command, *sets, *CLASSICAL)
        assert code == 0, value["error"]
    tensors, facts = load_weights(tmp_path / "edgenas-run" / "supernet" / "weights.safetensors")
    assert facts["sharing"] == "classical"
    assert any(name.startswith("options.") for name in tensors)
    winner = load_weights(tmp_path / "edgenas-run" / "retrain" / "weights.safetensors")[0]
    assert "stages.0.blocks.0.attn.q.weight" in winner  # a plain net like any other

    code, value, _ = edgenas_in(tmp_path, "search", "--max-params", "200000", *sets, "--set", "train.sharing=entangled")
    assert (code, value["error"]["type"]) == (1, "CheckpointError")
    assert value["error"]["problems"] == ["sharing is 'classical' there, 'entangled' here"]
    code, value, _ = edgenas_in(tmp_path, "train", *sets, *CLASSICAL, "--init", "w.safetensors")
    assert code == 1
    assert "init goes with sharing entangled" in str(value["error"])
