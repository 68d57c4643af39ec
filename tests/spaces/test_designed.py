"""Nets that need no search exist in every space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from edgenas.costs import cost_models
from edgenas.spaces import SPACES
from edgenas.spaces.designed import hand_designed
from edgenas.spaces.uniform import STEPS, at_step, uniform_nets


@pytest.mark.parametrize("name", sorted(SPACES))
def test_every_space_has_hand_designed_nets_from_small_to_large(name: str) -> None:
    space = SPACES[name]
    rows = np.concatenate([space.from_json(net) for net in hand_designed(space)])
    macs = cost_models(space, space.default_task)["macs"](rows)
    assert len({tuple(row) for row in rows.tolist()}) == len(rows) >= 3
    assert macs.max() > 1.5 * macs.min()


def test_uniform_nets_take_one_step_for_depths_and_one_for_everything_else() -> None:
    space = SPACES["autoformer-tiny"]
    nets = uniform_nets(space)
    assert hand_designed(space) == nets
    assert len(nets) == 9
    assert nets[0] == space.to_json(space.extreme(largest=False)[0])
    assert nets[-1] == space.to_json(space.extreme(largest=True)[0])
    assert all(len(set(net[gene])) == 1 for net in nets for gene in ("mlp_ratio", "num_heads"))
    assert sorted({len(net["mlp_ratio"]) for net in nets}) == [12, 13, 14]


def test_the_middle_of_two_options_is_the_larger_and_of_more_the_middle() -> None:
    assert [[at_step(step, number) for step in STEPS] for number in (1, 2, 3, 4, 5)] == [
        [0, 0, 0],
        [0, 1, 1],
        [0, 1, 2],
        [0, 2, 3],
        [0, 2, 4],
    ]


def test_a_middle_net_is_not_the_small_one_where_lists_have_two_options() -> None:
    middle = [net["mlp_ratio"] for net in hand_designed(SPACES["pit-nano"]) if net["base_dim"] == 6]
    assert set(middle) == {2}  # of 1 and 2


@pytest.mark.parametrize("name", sorted(SPACES))
def test_no_hand_designed_net_is_listed_twice(name: str) -> None:
    nets = hand_designed(SPACES[name])
    assert all(net not in nets[:position] for position, net in enumerate(nets))


def test_star_spaces_have_plain_convolutions_from_the_whole_grid_on() -> None:
    space = SPACES["pvt-mobile-star"]
    plain = [net for net in hand_designed(space) if net["stem_stride"] == 1 and kernels_of(net) == {(0, 0, 3, 0)}]
    widths = [(net["stem_dim"], *(stage["embed_dim"] for stage in net["stages"])) for net in plain]
    assert list(dict.fromkeys(widths)) == [(16, 32, 64, 64, 96), (24, 48, 96, 96, 96), (32, 48, 96, 128, 128)]
    assert [len(stage["blocks"]) for net in plain[:2] for stage in net["stages"]] == [1] * 4 + [2] * 4
    assert len(plain) == 6


def kernels_of(net: Mapping[str, Any]) -> set[tuple[int, ...]]:
    """Of all of its blocks."""
    return {tuple(block["kernels"].values()) for stage in net["stages"] for block in stage["blocks"]}
