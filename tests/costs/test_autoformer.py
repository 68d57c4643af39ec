from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from edgenas.costs import cost_models
from edgenas.costs.autoformer import count_ancestor_macs, count_macs, count_params, count_reference_macs
from edgenas.spaces import Task, get_space
from edgenas.spaces.autoformer import AutoFormerSpec, Geometry, assemble
from edgenas.supernets import build_net
from edgenas.supernets.autoformer_net import AutoFormerNet
from tests.macs import fvcore_macs

NAMES = {"T": "autoformer-tiny", "S": "autoformer-small", "B": "autoformer-base"}
IMAGENET = Task(1000, 3, 224)


def readable(conf: Mapping[str, Any]) -> dict[str, Any]:
    return {"embed_dim": conf["embed_dim"][0], "mlp_ratio": conf["mlp_ratio"], "num_heads": conf["num_heads"]}


def spec_of(conf: Mapping[str, Any]) -> AutoFormerSpec:
    return assemble(Geometry(), IMAGENET, readable(conf))


def conv_linear_matmul(row: Mapping[str, Any]) -> int:
    return sum(row["fvcore_by_op"][kind] for kind in ("conv", "linear", "matmul"))


@pytest.mark.parametrize("letter", list(NAMES))
def test_counts_equal_every_published_row_to_the_integer(letter: str, fixture_json: Any) -> None:
    rows = fixture_json("counts_autoformer.json")[letter]["rows"]
    space = get_space(NAMES[letter])
    models = cost_models(space, space.default_task)
    genes = np.concatenate([space.from_json(readable(row["conf"])) for row in rows])
    assert len(genes) == 8
    assert models["params"](genes).tolist() == [row["params"] for row in rows]
    assert models["ancestor_macs"](genes).tolist() == [row["get_complexity_196"] for row in rows]
    counted = [position for position, row in enumerate(rows) if "fvcore_by_op" in row]
    assert counted
    expected = [conv_linear_matmul(rows[position]) for position in counted]
    assert models["reference_macs"](genes[counted]).tolist() == expected


@pytest.mark.parametrize("letter", list(NAMES))
def test_counts_equal_the_published_winner_which_may_lie_outside_its_space(letter: str, fixture_json: Any) -> None:
    row = fixture_json("autoformer_reference.json")[letter]
    components = spec_of(row["subnet"]).components
    assert sum(map(count_params, components)) == row["params"]
    assert sum(map(count_ancestor_macs, components)) == row["get_complexity_196"]
    assert sum(map(count_reference_macs, components)) == conv_linear_matmul(row)


@pytest.mark.parametrize("letter", list(NAMES))
@pytest.mark.parametrize("end", ["smallest", "largest"])
def test_the_ends_of_the_spaces_are_the_published_ones(letter: str, end: str, fixture_json: Any) -> None:
    expected = fixture_json("autoformer_reference.json")[letter][end]
    space = get_space(NAMES[letter])
    models, row = cost_models(space, space.default_task), space.extreme(largest=end == "largest")
    assert models["params"](row)[0] == expected["params"]
    assert models["ancestor_macs"](row)[0] == expected["get_complexity_196"]


@pytest.mark.parametrize("letter", ["T", *(pytest.param(letter, marks=pytest.mark.slow) for letter in "SB")])
def test_the_built_winner_executes_what_is_counted(letter: str, fixture_json: Any) -> None:
    spec = spec_of(fixture_json("autoformer_reference.json")[letter]["subnet"])
    net = AutoFormerNet(spec)
    assert sum(parameter.numel() for parameter in net.parameters()) == sum(map(count_params, spec.components))
    assert fvcore_macs(net, torch.zeros(1, 3, 224, 224)) == sum(map(count_macs, spec.components))


def test_rows_and_columns_are_cheaper_than_pairs() -> None:
    space = get_space("autoformer-tiny")
    models, row = cost_models(space, space.default_task), space.extreme(largest=True)
    assert models["macs"](row)[0] < models["reference_macs"](row)[0]


@pytest.mark.parametrize("task", [Task(7, 1, 48), Task(10, 4, 36)])
def test_counts_follow_classes_channels_and_resolution(task: Task) -> None:
    space = get_space("autoformer-nano")
    row = space.sample(1, np.random.default_rng(0))
    net, models = build_net(space, task, tuple(row[0].tolist())), cost_models(space, task)
    assert models["params"](row)[0] == sum(parameter.numel() for parameter in net.parameters())
    assert models["macs"](row)[0] == fvcore_macs(net, torch.zeros(1, task.in_channels, task.image_px, task.image_px))


def test_only_families_with_a_rule_of_their_ancestor_offer_it() -> None:
    pvt = get_space("pvt-nano")
    assert "ancestor_macs" not in cost_models(pvt, pvt.default_task)
