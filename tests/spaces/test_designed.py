"""Nets that need no search exist in every space."""

from __future__ import annotations

import numpy as np
import pytest

from edgenas.costs import cost_models
from edgenas.spaces import SPACES
from edgenas.spaces.designed import hand_designed, uniform_nets


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
