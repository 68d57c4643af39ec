"""Costs of every registered space: those of the built nets, and between those of the two ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenas.costs import CostModel, cost_models
from edgenas.spaces import SPACES, get_space
from edgenas.supernets import build_net
from tests.costs.bounds import exact_bounds
from tests.macs import fvcore_macs

NAMES = sorted(SPACES)
ALONE = ("pvt-mobile-mqa",)  # large, and no small space has its blocks


@cache
def costs_of(name: str) -> Mapping[str, CostModel]:
    """A space's models, made when its first test asks: not by every worker that collects this file."""
    return cost_models(SPACES[name], SPACES[name].default_task)


def is_large(name: str) -> bool:
    return SPACES[name].default_task.image_px > 64


DRAWN = [
    pytest.param(seed, name, marks=[pytest.mark.slow] if seed or (is_large(name) and name not in ALONE) else [])
    for seed in (0, 1)
    for name in NAMES
]


@pytest.mark.parametrize(("seed", "name"), DRAWN)
def test_counts_equal_the_built_module(seed: int, name: str) -> None:
    space = get_space(name)
    row = space.sample(1, np.random.default_rng(seed))
    net = build_net(space, space.default_task, tuple(row[0].tolist()))
    px, channels = space.default_task.image_px, space.default_task.in_channels
    assert costs_of(name)["params"](row)[0] == sum(parameter.numel() for parameter in net.parameters())
    assert costs_of(name)["macs"](row)[0] == fvcore_macs(net, torch.zeros(1, channels, px, px))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_ends_bound_every_cost(name: str, seed: int) -> None:
    space = SPACES[name]
    rows = space.sample(500, np.random.default_rng(seed))
    assert {"params", "macs", "reference_macs"} <= set(costs_of(name)) <= {"params", "macs", "reference_macs", "ancestor_macs"}
    for cost, model in costs_of(name).items():
        low, high = model(space.corners(largest=False)).min(), model(space.corners(largest=True)).max()
        assert (low <= model(rows)).all(), cost
        assert (model(rows) <= high).all(), cost


@pytest.mark.parametrize("name", NAMES)
def test_no_architecture_at_all_lies_outside_of_the_ends(name: str) -> None:
    """Proven over the whole space, which draws cannot do: the cheapest of 10^20 networks is never drawn."""
    space = SPACES[name]
    for cost, model in costs_of(name).items():
        ends = [model(space.corners(largest=False)).min(), model(space.corners(largest=True)).max()]
        assert list(exact_bounds(space, model)) == ends, cost


@pytest.mark.parametrize("name", NAMES)
def test_costs_are_positive_integers(name: str) -> None:
    rows = SPACES[name].sample(200, np.random.default_rng(0))
    for cost, model in costs_of(name).items():
        values = model(rows)
        assert (values > 0).all(), cost
        assert (values == np.rint(values)).all(), cost


@pytest.mark.parametrize("name", NAMES)
def test_other_classes_and_channels_change_what_reads_them(name: str) -> None:
    """A class more costs the same parameters in every net that has the same head."""
    space = SPACES[name]
    row, task = space.extreme(largest=False), space.default_task
    counts = [float(cost_models(space, replace(task, num_classes=task.num_classes + more))["params"](row)[0]) for more in (0, 1, 2)]
    assert counts[2] - counts[1] == counts[1] - counts[0] > 0
