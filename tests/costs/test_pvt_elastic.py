"""Counts of PVT v2's published nets, which are points of the elastic spaces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from edgenas.costs import cost_models
from edgenas.spaces import get_space
from edgenas.spaces.named import NAMED
from edgenas.spaces.pvt import BlockSpec, HeadSpec, PatchEmbedSpec, PvtSpec
from edgenas.spaces.pvt_elastic import lower
from edgenas.supernets import build_net
from tests.macs import fvcore_macs

NAMES = ["pvt_v2_b0", "pvt_v2_b1", "pvt_v2_b2", "pvt_v2_b2_li"]


def counts(name: str, resolution_px: int) -> tuple[dict[str, int], PvtSpec]:
    space = get_space(NAMED[name].space)
    row = space.from_json({**NAMED[name].arch, "resolution_px": resolution_px})
    models = cost_models(space, space.default_task)
    return {cost: int(model(row)[0]) for cost, model in models.items()}, lower(space, row[0], space.default_task)


def norms_and_pooling(spec: PvtSpec) -> int:
    """What fvcore counts beside: 5 a number that a LayerNorm reads, 1 a number that adaptive pooling reads."""
    total = 0
    for part in spec.components:
        if isinstance(part, HeadSpec):
            continue
        values = part.grid**2 * part.embed_dim
        if not isinstance(part, BlockSpec):
            total += 5 * values
            continue
        keys = {"none": 0, "pool": part.reduction_size, "conv": part.grid // part.reduction_size}[part.reduction] ** 2
        total += 10 * values + 5 * keys * part.embed_dim + values * (part.reduction == "pool")
    assert any(isinstance(part, PatchEmbedSpec) for part in spec.components)
    return total


@pytest.mark.parametrize("name", NAMES)
def test_counts_equal_timms_nets_to_the_integer(name: str, fixture_json: Any) -> None:
    expected = fixture_json("timm_pvt_v2.json")[name]
    small, spec = counts(name, 224)
    assert small["params"] == expected["params"]
    assert small["reference_macs"] == sum(expected["by_op_224"][kind] for kind in ("conv", "linear", "matmul"))
    assert small["reference_macs"] + norms_and_pooling(spec) == expected["macs_224"]
    large, spec = counts(name, 256)
    assert large["params"] == expected["params"]
    assert large["reference_macs"] + norms_and_pooling(spec) == expected["macs_256"]


@pytest.mark.parametrize("name", NAMES)
def test_only_pooling_runs_more_than_the_literature_counts(name: str) -> None:
    small, _ = counts(name, 224)
    assert (small["macs"] > small["reference_macs"]) == name.endswith("_li")


def test_the_elastic_space_reaches_from_a_tenth_of_to_four_gmacs_with_more_than_1e15_nets() -> None:
    space = get_space("pvt-elastic")
    rows = np.concatenate([space.extreme(largest=largest) for largest in (False, True)])
    rows[:, space.index["resolution_px"]] = space.choices[0].options.index(224)
    low, high = cost_models(space, space.default_task)["macs"](rows) / 1e9
    assert (round(low, 2), round(high, 2)) == (0.16, 4.2)
    assert space.cardinality > 10**15


@pytest.mark.parametrize("seed", range(4))
def test_a_drawn_net_executes_what_is_counted(seed: int) -> None:
    space = get_space("pvt-elastic-nano")
    row = space.sample(1, np.random.default_rng(seed))
    task = space.task_of(row[0], space.default_task)
    net = build_net(space, space.default_task, tuple(row[0].tolist()))
    assert fvcore_macs(net, torch.zeros(1, 3, task.image_px, task.image_px)) == cost_models(space, task)["macs"](row)[0]
