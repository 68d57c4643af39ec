from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenas.costs import cost_models, decompose, shape_models
from edgenas.search import UpperLimit, best_within, survey, total_violation
from edgenas.spaces import Genes, SearchSpace, get_space
from edgenas.spaces.autoformer import BlockSpec as AutoFormerBlock
from edgenas.spaces.autoformer import lower as lower_autoformer
from edgenas.spaces.pvt import PVT_NANO, BlockSpec, lower

MODELS = cost_models(PVT_NANO, PVT_NANO.default_task)
SHAPES = shape_models(decompose(PVT_NANO, PVT_NANO.default_task))


def width(genes_AG: Genes) -> NDArray[np.float64]:
    return SHAPES.inner_dims(genes_AG) / SHAPES.depth(genes_AG)


def limits_at(share: float) -> list[UpperLimit]:
    """Limits on MACs and parameters that leave about so much of the span."""
    result = []
    for name in ("macs", "params"):
        low, high = MODELS[name].bounds()
        result.append(UpperLimit(name, low + share * (high - low), MODELS[name]))
    return result


@pytest.mark.parametrize("share", [0.1, 0.35, 0.7])
@pytest.mark.parametrize("objective", [MODELS["macs"], MODELS["params"], SHAPES.depth, width])
def test_evolution_finds_what_enumeration_proves(share: float, objective: object) -> None:
    """62,208 nets; the evolution sees a sample of 300 of them, the exact answer all."""
    limits, objectives = limits_at(share), [objective, MODELS["macs"]]
    exact = survey(PVT_NANO, limits, np.random.default_rng(0))
    sampled = survey(PVT_NANO, limits, np.random.default_rng(0), max_rows=300)
    assert (exact.is_exact, sampled.is_exact) == (True, False)
    rows = [best_within(PVT_NANO, limits, objectives, found, np.random.default_rng(1)) for found in (exact, sampled)]  # type: ignore[arg-type]
    best, evolved = (row[None] for row in rows if row is not None)
    everything_AG = PVT_NANO.enumerate()
    feasible_AG = everything_AG[total_violation(limits, everything_AG) == 0]
    assert MODELS["macs"](best) <= limits[0].limit
    assert objective(best) == objective(feasible_AG).max()  # type: ignore[operator]
    PVT_NANO.require_valid(evolved)
    assert total_violation(limits, evolved)[0] == 0
    assert [f(evolved)[0] for f in objectives] == [f(best)[0] for f in objectives]  # type: ignore[operator]


def test_limits_that_no_sample_meets_are_reached_by_repair() -> None:
    space = get_space("autoformer-nano")
    macs = cost_models(space, space.default_task)["macs"]
    smallest = float(macs(space.extreme(largest=False))[0])
    limits = [UpperLimit("macs", 1.02 * smallest, macs)]
    found = survey(space, limits, np.random.default_rng(0), max_rows=500)
    blind = type(found)(found.genes_AG[2:], found.feasible_A[2:], False, found.rejected, found.binding)
    assert not blind.feasible_A.any()
    row_G = best_within(space, limits, [macs], blind, np.random.default_rng(0))
    assert row_G is not None
    assert macs(row_G[None])[0] <= 1.02 * smallest


def test_nothing_is_nothing() -> None:
    for max_rows in (200_000, 300):
        limits = [UpperLimit("macs", 1.0, MODELS["macs"])]
        found = survey(PVT_NANO, limits, np.random.default_rng(0), max_rows=max_rows)
        assert best_within(PVT_NANO, limits, [MODELS["macs"]], found, np.random.default_rng(0)) is None


@pytest.mark.parametrize(
    ("name", "lowered", "block"), [("pvt-nano", lower, BlockSpec), ("autoformer-nano", lower_autoformer, AutoFormerBlock)]
)
def test_depth_and_width_are_those_of_the_net(name: str, lowered: object, block: type) -> None:
    space: SearchSpace = get_space(name)
    shapes = shape_models(decompose(space, space.default_task))
    genes_AG = space.sample(20, np.random.default_rng(3))
    for row, genes_G in enumerate(genes_AG):
        blocks = [c for c in lowered(space, genes_G, space.default_task).components if isinstance(c, block)]  # type: ignore[operator]
        assert shapes.depth(genes_AG)[row] == len(blocks)
        assert shapes.inner_dims(genes_AG)[row] == sum(b.qkv_dim + b.mlp_hidden for b in blocks)  # type: ignore[attr-defined]
