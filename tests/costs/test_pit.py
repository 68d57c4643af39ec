from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from edgenas.costs import cost_models
from edgenas.costs.pit import count_macs, count_params, count_reference_macs
from edgenas.spaces import Task, get_space
from edgenas.spaces.named import NAMED
from edgenas.spaces.pit import Geometry, assemble
from edgenas.supernets import build_net
from edgenas.supernets.pit_net import PitNet
from tests.macs import fvcore_macs

WINNERS = {"PiT-T": "pit-ti", "PiT-XS": "pit-xs", "PiT-S": "pit-s"}
IMAGENET = Task(1000, 3, 224)
LAYER_NORM = 5  # what fvcore counts for a number that is normalised


def readable(conf: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "base_dim": conf["base_dim"][0],
        "mlp_ratio": conf["mlp_ratio"][0],
        "num_heads": conf["num_heads"],
        "depths": conf["layer_num"],
    }


@pytest.mark.parametrize("name", list(WINNERS))
def test_counts_equal_tf_tas_winners_to_the_integer(name: str, fixture_json: Any) -> None:
    row = fixture_json("tftas_pit.json")[name]
    space = get_space(WINNERS[name])
    models, genes = cost_models(space, space.default_task), space.from_json(readable(row["conf"]))
    assert models["params"](genes)[0] == row["params"]
    assert models["reference_macs"](genes)[0] == row["fvcore_by_op"]["conv"] + row["fvcore_by_op"]["linear"]
    assert "matmul" not in row["fvcore_by_op"]


@pytest.mark.parametrize(
    ("name", "space", "base_dim", "num_heads"),
    [
        ("pit_ti_224", "pit-ti", 32, [2, 4, 8]),
        ("pit_xs_224", "pit-xs", 48, [2, 4, 8]),
        ("pit_s_224", "pit-s", 48, [3, 6, 12]),
    ],
)
def test_counts_equal_timms_nets_which_lie_in_the_spaces(
    name: str, space: str, base_dim: int, num_heads: list[int], fixture_json: Any
) -> None:
    expected = fixture_json("tftas_pit.json")[name]
    arch = {"base_dim": base_dim, "mlp_ratio": 4, "num_heads": num_heads, "depths": [2, 6, 4]}
    models, genes = cost_models(get_space(space), IMAGENET), get_space(space).from_json(arch)
    assert models["params"](genes)[0] == expected["params"]
    stages = assemble(Geometry(), IMAGENET, arch).stages
    normed = sum(2 * (block.grid**2 + 1) * block.embed_dim for stage in stages for block in stage.blocks)
    normed += base_dim * num_heads[-1]
    assert models["reference_macs"](genes)[0] + LAYER_NORM * normed == expected["fvcore_macs"]


@pytest.mark.parametrize("name", list(WINNERS))
def test_the_built_winner_executes_what_is_counted(name: str, fixture_json: Any) -> None:
    spec = assemble(Geometry(), IMAGENET, readable(fixture_json("tftas_pit.json")[name]["conf"]))
    net = PitNet(spec)
    assert sum(parameter.numel() for parameter in net.parameters()) == sum(map(count_params, spec.components))
    assert fvcore_macs(net, torch.zeros(1, 3, 224, 224)) == sum(map(count_macs, spec.components))


def test_only_the_products_of_attention_are_counted_beyond_the_reference() -> None:
    arch = {"base_dim": 32, "mlp_ratio": 4, "num_heads": [2, 4, 8], "depths": [2, 6, 4]}
    components = assemble(Geometry(), IMAGENET, arch).components
    attention = 2 * (2 * 730**2 * 64 + 6 * 197**2 * 128 + 4 * 50**2 * 256)
    assert sum(map(count_macs, components)) - sum(map(count_reference_macs, components)) == attention


@pytest.mark.parametrize("task", [Task(7, 1, 48), Task(10, 4, 36)])
@pytest.mark.parametrize("num_heads", [[1, 2, 4], [4, 1, 2], [2, 2, 1]])
def test_counts_follow_the_task_with_more_and_with_fewer_heads(task: Task, num_heads: list[int]) -> None:
    space = get_space("pit-nano")
    row = space.from_json({"base_dim": 6, "mlp_ratio": 2, "num_heads": num_heads, "depths": [1, 2, 1]})
    net, models = build_net(space, task, tuple(row[0].tolist())), cost_models(space, task)
    assert models["params"](row)[0] == sum(parameter.numel() for parameter in net.parameters())
    assert models["macs"](row)[0] == fvcore_macs(net, torch.zeros(1, task.in_channels, task.image_px, task.image_px))


def test_tf_tas_has_no_rule_for_pit() -> None:
    space = get_space("pit-ti")
    models = cost_models(space, space.default_task)
    assert list(models) == ["params", "macs", "reference_macs"]
    assert np.isfinite(models["macs"](space.enumerate())).all()


@pytest.mark.parametrize("name", ["pit_ti", "pit_xs", "pit_s"])
def test_published_counts_reproduce_with_the_products_of_attention(name: str) -> None:
    named = NAMED[name]
    assert named.reported is not None
    models = cost_models(get_space(named.space), IMAGENET)
    row = get_space(named.space).from_json(named.arch)
    assert models["params"](row)[0] == pytest.approx(named.reported.params, rel=0.011)
    assert models["macs"](row)[0] == pytest.approx(named.reported.macs, rel=0.016)
    assert models["reference_macs"](row)[0] < 0.85 * models["macs"](row)[0]
