from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pytest

from edgenas.latency import LatencyTable
from edgenas.latency.nets.plan import components_of, reference_net
from edgenas.latency.table.drift import Drift, drift_of, nets_to_time, same_timing
from edgenas.latency.timing.sessions import Session, time_nets
from edgenas.spaces.pvt import BlockSpec
from tests.latency.tables import nano, toy_table
from tests.latency.toy import ToyNet, ToyRuntime, build


def again(
    table: LatencyTable, runtime: ToyRuntime, *, num: int = 8, cost: Callable[[Hashable, float], float] | None = None
) -> Drift:
    """Time nets on ``runtime``; ``cost`` changes what components cost since then."""
    genes_AG = nets_to_time(table, nano(), num, np.random.default_rng(1))

    def net(chain: Any) -> Any:
        made: ToyNet = build(chain)
        if cost is not None:
            made.ms = sum(cost(component, ToyNet((component,)).ms) for component in chain)
        return made

    chains = [components_of(nano(), genes_G, table.task) for genes_G in genes_AG]
    reference = net(reference_net(nano(), table.task))
    records = time_nets(runtime.target(), [net(c) for c in chains], reference, same_timing(table), rng=np.random.default_rng(2))
    *_, session = records
    assert isinstance(session, Session)
    return drift_of(table, nano(), genes_AG, session)


def gates(drift: Drift) -> dict[str, str]:
    return {gate.name: gate.verdict for gate in drift.gates}


def test_a_table_holds_on_the_machine_it_was_measured_on() -> None:
    drift = again(toy_table(), ToyRuntime(noise=0.02))
    assert gates(drift) == {"speed": "passed", "error": "passed"}
    assert drift.words.startswith("still holds: the machine now takes 1.0")
    assert drift.ratios.median == pytest.approx(1.0, abs=0.02)
    assert len(drift.rows) == drift.ratios.n == 8
    assert all(row.measured_ms > 0 and row.error < 0.05 for row in drift.rows)


def test_a_slower_machine_is_told_from_other_costs() -> None:
    drift = again(toy_table(), ToyRuntime(noise=0.02, slow=lambda now: True))
    assert gates(drift) == {"speed": "failed", "error": "passed"}
    assert drift.verdict == "failed"
    assert "no longer holds: the machine now takes 1.5" in drift.words
    assert drift.ratios.median == pytest.approx(1.5, rel=0.03)


def test_costs_that_moved_apart_fail_at_any_speed() -> None:
    def wider(component: Hashable, ms: float) -> float:
        return ms * (3.0 if isinstance(component, BlockSpec) and component.mlp_hidden >= 160 else 0.6)

    drift = again(toy_table(), ToyRuntime(noise=0.02), num=16, cost=wider)
    assert gates(drift)["error"] == "failed"
    assert "no longer holds: predictions are" in drift.words


def test_a_machine_between_two_speeds_is_undecided() -> None:
    drift = again(toy_table(), ToyRuntime(noise=0.02, slow=lambda now: now // 40_000_000 % 2 == 0))
    assert gates(drift)["speed"] == "undecided"
    assert drift.verdict == "undecided"
    assert "cannot be judged" in drift.words


def test_nets_are_new_and_reach_both_ends() -> None:
    table = toy_table()
    genes_AG = nets_to_time(table, nano(), 12, np.random.default_rng(0))
    assert len({tuple(genes_G) for genes_G in genes_AG.tolist()}) == 12
    known = [*(net.arch for net in table.checks), *(net.arch for net in table.measuring.calibration_rows or ())]
    assert not [genes_G for genes_G in genes_AG[2:] if nano().to_json(genes_G) in known]
    everything = table.to_cost_model(nano(), table.task)(nano().enumerate())
    ends = table.to_cost_model(nano(), table.task)(genes_AG[:2])
    assert ends.tolist() == [everything.min(), everything.max()]


def test_nets_are_timed_as_often_as_the_tables_own() -> None:
    table = toy_table()
    timing = same_timing(table)
    assert (timing.visits, timing.runs, timing.visit_ms) == (3, table.measuring.runs_per_visit, 0.0)
