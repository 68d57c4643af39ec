from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from edgenas.costs import decompose
from edgenas.latency import MeasuringSettings, TimingPlan, make_plan, profile
from edgenas.latency.fit.smoothing import smooth
from edgenas.latency.nets.budget import Shape, round_seconds, shape_of, thinned
from edgenas.latency.nets.plan import components_of
from edgenas.latency.profiling.tracing import tracing_note
from edgenas.runs import Note, Progress
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


def test_tracing_counts_against_the_budget() -> None:
    plan = plan_of(PVT_NANO)
    thin = thinned(plan, decompose(PVT_NANO, TASK))
    full_s = round_seconds(plan, MeasuringSettings().timing, 0.01)
    settings = MeasuringSettings(seconds=6.01 * full_s)
    assert shape_of(settings, plan, thin, 0.01) == Shape(6, False)
    assert shape_of(settings, plan, thin, 0.01, (1.5 * full_s, 0.0)) == Shape(4, False)
    assert shape_of(settings, plan, thin, 0.01, (3.0 * full_s, 0.0)) == Shape(6, True)
    assert shape_of(settings, plan, thin, 0.01, (90.0 * full_s, 80.0 * full_s)) == Shape(2, True)


@dataclass
class ToyTracer:
    """Knows what it has traced; builds nothing of what it has not."""

    traced: set[Hashable] = field(default_factory=set)

    def missing(self, plan: TimingPlan) -> int:
        return len({component for chain, _ in plan.tracing for component in chain} - self.traced)

    def goes(self, plan: TimingPlan) -> int:
        return sum(not self.traced.issuperset(chain) for chain, _ in plan.tracing)

    def prepare(self, plan: TimingPlan) -> Iterator[Progress]:
        yield from self.prepare_chains([chain for chain, _ in plan.tracing])

    def prepare_chains(self, chains: Sequence[Sequence[Hashable]]) -> Iterator[Progress]:
        for number, chain in enumerate(chains, 1):
            self.traced.update(chain)
            yield Progress("tracing", number, len(chains))

    def build(self, chain: Sequence[Hashable]) -> Any:
        assert self.traced.issuperset(chain)
        return build(chain)


@pytest.mark.parametrize("seconds", [None, 3.0])
def test_blocks_that_a_budget_leaves_out_are_not_traced_either(seconds: float | None) -> None:
    tracer, runtime = ToyTracer(), ToyRuntime()
    settings = MeasuringSettings(seconds=seconds, calibration_nets=4, validation_nets=2)
    rng = np.random.default_rng(0)
    records = list(profile(PVT_NANO, TASK, runtime.target(), tracer.build, settings=settings, rng=rng, tracer=tracer))
    whole = make_plan(PVT_NANO, TASK, settings, rng=np.random.default_rng(0))
    left = tracer.missing(whole)
    assert left == 0 if seconds is None else left > 0
    told = [record.text for record in records if isinstance(record, Note) and record.text.startswith("tracing ")]
    assert len(told) == (0 if seconds is None else 1)


def test_tracing_that_takes_the_whole_budget_is_said_before_it_begins() -> None:
    settings = MeasuringSettings(seconds=90.0)
    note = tracing_note(settings, 87, 130.4)
    assert note is not None
    assert note.is_warning
    assert note.text == (
        "tracing 87 components first: about 130 s; they are kept, and no later call traces them again. "
        "That alone is more than the budget of 90 s"
    )
    assert tracing_note(settings, 0, 0.0) is None


def test_a_plan_on_a_gpu_keeps_its_blocks() -> None:
    runtime = ToyRuntime(device_kind="cuda")
    settings = MeasuringSettings(seconds=0.01, calibration_nets=4, validation_nets=4)
    table = list(profile(PVT_NANO, TASK, runtime.target(), build, settings=settings, rng=np.random.default_rng(0)))[-1].table  # type: ignore[union-attr]
    assert all(entry.origin == "measured" for entry in table.entries)
    assert table.measuring.visits == 2
