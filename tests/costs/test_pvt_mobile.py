"""Counts of MobileNetV4's and StarNet's nets, which are points of the mobile spaces."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

from edgenas.costs import cost_models
from edgenas.spaces import Genes, SearchSpace, get_space
from edgenas.spaces.designed import hand_designed_rows
from edgenas.spaces.named import NAMED
from edgenas.supernets import build_net
from edgenas.training.cnn import cnn_for, shape_of
from tests.macs import fvcore_macs

NAMES = ["mobilenetv4_conv_small", "mobilenetv4_conv_medium", "mobilenetv4_hybrid_medium", "starnet_s050", "starnet_s1"]


def at(space: SearchSpace, resolution_px: int, rows_AG: Genes) -> Genes:
    rows_AG = rows_AG.copy()
    rows_AG[:, space.index["resolution_px"]] = space.choices[0].options.index(resolution_px)
    return rows_AG


@pytest.mark.parametrize("name", NAMES)
def test_counts_equal_timms_nets_to_the_integer(name: str) -> None:
    space = get_space(NAMED[name].space)
    row_AG = space.from_json(NAMED[name].arch)
    with torch.random.fork_rng(devices=()):
        net = timm.create_model(name)
    models = cost_models(space, space.default_task)
    assert models["params"](row_AG)[0] == sum(parameter.numel() for parameter in net.parameters())
    counted = fvcore_macs(net, torch.zeros(1, 3, 160, 160))
    for cost in ("macs", "reference_macs"):
        assert models[cost](at(space, 160, row_AG))[0] == counted


@pytest.mark.parametrize("width", [16, 32])
def test_the_plain_cnn_of_comparisons_is_a_hand_designed_net_of_the_plain_space(width: int) -> None:
    space = get_space("pvt-mobile-plain")
    task, rows_AG = space.default_task, hand_designed_rows(space)
    models = cost_models(space, task)
    counts = set(zip(models["params"](rows_AG), models["macs"](rows_AG), strict=True))
    assert shape_of(cnn_for(task, width), task) in counts


def test_the_mobile_space_reaches_from_a_thirtieth_of_to_four_gmacs_with_more_than_1e15_nets() -> None:
    space = get_space("pvt-mobile")
    rows_AG = at(space, 224, np.concatenate([space.extreme(largest=largest) for largest in (False, True)]))
    low, high = cost_models(space, space.default_task)["macs"](rows_AG) / 1e9
    assert (round(low, 3), round(high, 1)) == (0.029, 4.3)
    assert space.cardinality > 10**15


@pytest.mark.parametrize(("name", "seed"), [*(("pvt-mobile-nano", seed) for seed in range(4)), ("pvt-mobile-plain", 0)])
def test_a_drawn_net_executes_what_is_counted(name: str, seed: int) -> None:
    space = get_space(name)
    row_AG = space.sample(1, np.random.default_rng(seed))
    task = space.task_of(row_AG[0], space.default_task)
    net = build_net(space, space.default_task, tuple(row_AG[0].tolist()))
    assert fvcore_macs(net, torch.zeros(1, 3, task.image_px, task.image_px)) == cost_models(space, task)["macs"](row_AG)[0]


@pytest.mark.parametrize(
    "name", ["pvt-mobile-nano", "pvt-mobile-plain", "pvt-mobile-star", "pvt-mobile-small", "pvt-mobile", "pvt-mobile-mqa"]
)
def test_the_smallest_and_the_largest_net_bound_every_cost(name: str) -> None:
    space = get_space(name)
    drawn_AG = space.sample(2000, np.random.default_rng(0))
    for cost in cost_models(space, space.default_task).values():
        low, high = (cost(space.extreme(largest=largest))[0] for largest in (False, True))
        assert low < cost(drawn_AG).min()
        assert cost(drawn_AG).max() < high
