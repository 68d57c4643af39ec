from __future__ import annotations

import numpy as np
import pytest

from edgenas.costs import decompose
from edgenas.latency import MeasuringSettings, TimingPlan, make_plan, profile
from edgenas.latency.fit.smoothing import smooth
from edgenas.latency.nets.budget import Shape, round_seconds, shape_of, thinned
from edgenas.latency.nets.plan import components_of
from edgenas.runs import Note
from edgenas.spaces import SearchSpace, get_space
from edgenas.spaces.pvt import PVT_NANO
from tests.latency.toy import ToyRuntime, build, true_ms

TASK = PVT_NANO.default_task


def plan_of(space: SearchSpace) -> TimingPlan:
    return make_plan(space, space.default_task, MeasuringSettings(), rng=np.random.default_rng(0))


@pytest.mark.parametrize("name", ["pvt-nano", "pvt-covidx", "pvt-elastic"])
def test_the_blocks_that_are_left_tell_all_others(name: str) -> None:
    """Where costs are products of one factor a gene, what is interpolated is the truth."""
    space = get_space(name)
    plan, terms = plan_of(space), decompose(space, space.default_task)
    thin = thinned(plan, terms)
    assert len(thin.block_chains) < 0.8 * len(plan.block_chains)
    assert thin.skeletons == plan.skeletons
    costs = smooth(terms, {block: true_ms(block) for block in thin.block_chains})
    for block in plan.block_chains:
        assert costs[block] == pytest.approx(true_ms(block), rel=1e-6)


def test_interpolated_blocks_predict_whole_nets() -> None:
    runtime = ToyRuntime()
    records = list(
        profile(PVT_NANO, TASK, runtime.target(), build, settings=MeasuringSettings(seconds=3.0), rng=np.random.default_rng(0))
    )
    table = records[-1].table  # type: ignore[union-attr]
    assert {entry.origin for entry in table.entries} == {"measured", "interpolated"}
    genes_AG = PVT_NANO.sample(50, np.random.default_rng(9))
    truth = np.array([sum(map(true_ms, components_of(PVT_NANO, genes_G, TASK))) for genes_G in genes_AG])
    assert np.abs(table.to_cost_model(PVT_NANO, TASK)(genes_AG) / truth - 1).max() < 0.05
    texts = [record.text for record in records if isinstance(record, Note)]
    assert any("of 36 blocks, which tell the others" in text for text in texts)


def test_a_budget_first_means_fewer_visits_then_fewer_blocks_then_both() -> None:
    plan = plan_of(PVT_NANO)
    thin = thinned(plan, decompose(PVT_NANO, TASK))
    full_s = round_seconds(plan, MeasuringSettings().timing, 0.01)

    def shape(rounds: float | None) -> Shape:
        seconds = None if rounds is None else rounds * full_s
        return shape_of(MeasuringSettings(seconds=seconds), plan, thin, 0.01)

    assert shape(None) == shape(100.0) == Shape(6, False)
    assert shape(4.01) == Shape(4, False)
    assert shape(3.99) == Shape(int(3.99 * full_s / round_seconds(thin, MeasuringSettings().timing, 0.01)), True)
    assert shape(0.1) == Shape(2, True)
    assert shape_of(MeasuringSettings(seconds=0.1), plan, plan, 0.01) == Shape(2, False)


def test_a_plan_on_a_gpu_keeps_its_blocks() -> None:
    runtime = ToyRuntime(device_kind="cuda")
    settings = MeasuringSettings(seconds=0.01, calibration_nets=4, validation_nets=4)
    table = list(profile(PVT_NANO, TASK, runtime.target(), build, settings=settings, rng=np.random.default_rng(0)))[-1].table  # type: ignore[union-attr]
    assert all(entry.origin == "measured" for entry in table.entries)
    assert table.measuring["visits"] == 2
