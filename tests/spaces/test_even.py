from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenas.costs import cost_models, decompose, shape_models
from edgenas.spaces import Genes, SearchSpace, get_space
from edgenas.spaces.base import RESOLUTION
from edgenas.spaces.even import NEAR, EvenPool, even_pool, resolutions_of, tilted

SPACE = get_space("pvt-elastic-nano")
MACS = cost_models(SPACE, SPACE.default_task).macs
DEPTH = shape_models(decompose(SPACE, SPACE.default_task)).depth


def pool(space: SearchSpace = SPACE, limit: float | None = None, near_share: float = 0.0) -> EvenPool:
    return even_pool(space, MACS, DEPTH, np.random.default_rng(0), limit=limit, near_share=near_share)


def test_depths_are_drawn_alike_where_uniform_draws_are_nearly_all_deep() -> None:
    rng = np.random.default_rng(1)
    uniform = Counter(DEPTH(SPACE.sample(2000, rng)).tolist())
    even = Counter(DEPTH(pool().draw(2000, rng)).tolist())
    assert sum(uniform[depth] for depth in (4.0, 5.0)) < 20
    assert min(even.values()) > 200
    assert set(even) == {4.0, 5.0, 6.0, 7.0, 8.0, 9.0}


def test_costs_are_drawn_alike_from_the_cheapest_to_the_dearest() -> None:
    costs_A = np.log(MACS(pool().draw(4000, np.random.default_rng(1))))
    ends = np.log(MACS(np.concatenate([SPACE.extreme(largest=False), SPACE.extreme(largest=True)])))
    counts, _ = np.histogram(costs_A, bins=6, range=(float(ends[0]), float(ends[1])))
    assert counts.min() > 0.04 * 4000  # evenly would be a sixth; cells of both ends have few depths
    assert counts.max() < 0.35 * 4000


def test_the_share_near_a_limit_is_as_asked() -> None:
    limit = 2e6
    costs_A = MACS(pool(limit=limit, near_share=0.7).draw(2000, np.random.default_rng(1)))
    near = ((costs_A <= limit) & (costs_A >= NEAR * limit)).mean()
    assert 0.7 < near < 0.85  # and some of the others
    assert (costs_A > limit).mean() > 0.1


def test_a_limit_that_leaves_nothing_near_is_no_reason_to_stop() -> None:
    found = pool(limit=1.0, near_share=0.7)
    assert not found.near_cells
    assert len(found.draw(5, np.random.default_rng(0))) == 5


@pytest.mark.parametrize("name", ["pvt-nano", "pvt-covidx", "autoformer-nano", "vitas-nano", "pit-nano"])
def test_every_family_has_a_pool_of_canonical_nets(name: str) -> None:
    space = get_space(name)
    macs, depth = cost_models(space, space.default_task).macs, shape_models(decompose(space, space.default_task)).depth
    found = even_pool(space, macs, depth, np.random.default_rng(0), num=2000)
    space.require_valid(found.genes_AG)
    assert sorted(np.concatenate(found.cells).tolist()) == list(range(len(found.genes_AG)))


def test_tilted_draws_reach_both_ends() -> None:
    rows_AG = tilted(SPACE, 3000, np.random.default_rng(0))
    SPACE.require_valid(rows_AG)
    costs_A = MACS(rows_AG)
    smallest, largest = (float(MACS(SPACE.extreme(largest=large))[0]) for large in (False, True))
    assert costs_A.min() < 1.1 * smallest
    assert costs_A.max() > 0.9 * largest


def test_spread_rows_are_distinct_and_allowed() -> None:
    def is_allowed(genes_AG: Genes) -> NDArray[np.bool_]:
        return np.asarray(MACS(genes_AG) < 1.5e6)

    found = even_pool(SPACE, MACS, DEPTH, np.random.default_rng(0), allowed=is_allowed).spread(40, np.random.default_rng(0))
    assert len(np.unique(found, axis=0)) == 40
    assert is_allowed(found).all()
    assert len(set(DEPTH(found).tolist())) >= 4


def test_cheap_mobile_nets_are_drawn_at_every_resolution() -> None:
    space = get_space("pvt-mobile-nano")
    macs, depth = cost_models(space, space.default_task).macs, shape_models(decompose(space, space.default_task)).depth
    column, shares = space.index[RESOLUTION], []
    for strata in (None, resolutions_of(space)):
        drawn_AG = even_pool(space, macs, depth, np.random.default_rng(0), strata=strata).draw(4000, np.random.default_rng(1))
        cheap_A = (macs(drawn_AG) > 1.5e6) & (macs(drawn_AG) < 4e6)
        shares.append(float((drawn_AG[cheap_A, column] == 1).mean()))
    assert shares[0] < 0.35
    assert 0.4 < shares[1] < 0.6


def test_cells_of_different_strata_share_no_row_and_levels_hold_both() -> None:
    column = SPACE.index[RESOLUTION]
    found = even_pool(SPACE, MACS, DEPTH, np.random.default_rng(0), strata=lambda rows: rows[:, column].astype(np.int64), num=4000)
    assert all(len(set(found.genes_AG[cell, column].tolist())) == 1 for cell in found.cells)
    assert sorted(np.concatenate(found.cells).tolist()) == list(range(len(found.genes_AG)))
    resolutions = [{int(found.genes_AG[found.cells[cell][0], column]) for cell in level} for level in found.levels]
    assert {0, 1} in resolutions
    assert resolutions_of(SPACE) is None  # a transformer's shares were not measured to suffer
    assert resolutions_of(get_space("pvt-mobile-pico")) is None  # has one


def test_nothing_allowed_gives_nothing() -> None:
    nothing = even_pool(SPACE, MACS, DEPTH, np.random.default_rng(0), allowed=lambda rows: np.zeros(len(rows), dtype=np.bool_))
    assert len(nothing.spread(4, np.random.default_rng(0))) == 0
