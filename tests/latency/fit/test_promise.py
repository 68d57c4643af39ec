from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from edgenas.costs import cost_models
from edgenas.errors import LatencyTableError
from edgenas.latency import LatencyTable, MeasuringSettings, ProfileResult, Promise, nets_needed, profile
from edgenas.latency.fit.promise import QUANTILES, conformal_factor
from edgenas.latency.nets.plan import _shared_out, components_of, make_plan
from edgenas.records import BoundNet
from edgenas.spaces import get_space
from edgenas.spaces.pvt import PVT_NANO
from tests.latency.toy import ToyRuntime, build, true_ms

TASK = PVT_NANO.default_task


def nets(ratios: list[float], quantile: str = "p95", runs: int = 40) -> list[BoundNet]:
    """Nets predicted at 2 ms whose quantile is a ratio of that."""
    plain = BoundNet(arch={}, predicted_ms=2.0, measured_ms=2.0, p50_ms=2.0, p90_ms=2.0, p95_ms=2.0, p99_ms=2.0, n=runs)
    changes: list[dict[str, Any]] = [{f"{quantile}_ms": 2.0 * ratio} for ratio in ratios]
    return [replace(plain, **change) for change in changes]


def test_coverage_is_what_was_asked_for_within_its_exact_binomial_interval() -> None:
    """One fresh net a draw, so that draws are independent; heavy-tailed errors, as conformal bounds need no distribution."""
    rng = np.random.default_rng(7)
    num, confidence, draws = 39, 0.9, 3000
    scores = 1.0 + 0.1 * rng.standard_t(2, size=(draws, num + 1))
    kept = sum(float(row[-1]) <= conformal_factor(row[:-1], confidence) for row in scores)
    low, high = scipy_stats.binomtest(kept, draws).proportion_ci(0.999, method="exact")
    assert low <= 36 / 40 <= high  # ceil(40 x 0.9) of 40 equally likely ranks


def test_more_nets_make_the_coverage_exact_and_not_larger() -> None:
    rng = np.random.default_rng(8)
    for num, confidence in ((19, 0.95), (40, 0.95), (99, 0.99)):
        draws = 2000
        scores = rng.lognormal(0.0, 0.05, size=(draws, num + 1))
        kept = sum(float(row[-1]) <= conformal_factor(row[:-1], confidence) for row in scores)
        low, high = scipy_stats.binomtest(kept, draws).proportion_ci(0.999, method="exact")
        exact = np.ceil((num + 1) * confidence - 1e-9) / (num + 1)
        assert exact >= confidence
        assert low <= exact <= high, (num, confidence)


@given(confidence=st.floats(0.5, 0.999))
def test_the_number_of_nets_that_is_named_is_the_fewest_that_do(confidence: float) -> None:
    needed = nets_needed(confidence)
    assert conformal_factor(np.linspace(1.0, 2.0, needed), confidence) <= 2.0
    with pytest.raises(LatencyTableError, match=f"needs {needed} nets"):
        conformal_factor(np.linspace(1.0, 2.0, needed - 1), confidence)


def test_a_confidence_that_the_nets_cannot_give_says_how_many_are_needed() -> None:
    with pytest.raises(LatencyTableError) as raised:
        Promise(nets([1.0] * 40), ()).bound("p95", 0.99)
    assert raised.value.message == "a confidence of 0.99 needs 99 nets that fitted nothing; the latency table has 40"
    assert "--set profile.bound_nets=99" in raised.value.hint
    assert "0.975 or less" in raised.value.hint
    conformal_factor(np.ones(40), 0.975)
    with pytest.raises(LatencyTableError, match="the latency table has 0"):
        Promise((), ()).bound("p50", 0.5)
    for wrong in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="a confidence is in"):
            nets_needed(wrong)


def test_coverage_and_slack_come_from_other_nets() -> None:
    fitted, checks = nets([1.0 + 0.01 * i for i in range(20)]), nets([1.10, 1.19, 1.30, 1.00])
    found = Promise(fitted, checks).bound("p95", 0.95)
    assert found.factor == pytest.approx(1.19)
    assert (found.num_nets, found.coverage.value, found.coverage.n) == (20, 0.75, 4)
    assert found.coverage.low == pytest.approx(scipy_stats.beta.ppf(0.025, 3, 2))
    assert found.slack.value == pytest.approx(np.mean([1.19 / r - 1 for r in (1.10, 1.19, 1.30, 1.00)]))
    assert "1.19 x predicted, from 20 nets that fitted nothing; it held for 75.0 % [19.4, 99.4] of 4 other nets" in str(found)
    assert "no net checked it" in str(Promise(fitted, ()).bound("p95", 0.95))


def test_quantiles_of_few_calls_are_called_coarse() -> None:
    few = Promise(nets([1.0] * 19, "p95", 19) + nets([1.0], "p95", 99), ()).bound("p95", 0.95)
    assert few.is_coarse
    assert not Promise(nets([1.0] * 19, "p95", 20), ()).bound("p95", 0.95).is_coarse
    assert Promise(nets([1.0] * 19, "p99", 99), ()).bound("p99", 0.95).is_coarse


@pytest.fixture(scope="module")
def table() -> LatencyTable:
    settings = MeasuringSettings(bound_nets=39, validation_nets=60)
    runtime = ToyRuntime(noise=0.05)
    *_, last = profile(PVT_NANO, TASK, runtime.target(), build, settings=settings, rng=np.random.default_rng(1))
    assert isinstance(last, ProfileResult)
    assert [bound["quantile"] for bound in last.as_json()["promises"]] == list(QUANTILES)
    return last.table


def test_bound_nets_are_others_and_are_timed_in_both_sessions() -> None:
    plan = make_plan(PVT_NANO, TASK, MeasuringSettings(bound_nets=30), rng=np.random.default_rng(0))
    groups = (plan.calibration_chains, plan.bound_chains, plan.validation_chains)
    assert [len(group) for group in groups] == [20, 30, 20]
    assert len({chain for group in groups for chain in group}) == 70
    assert plan.second_chains == plan.first_chains[-50:]
    assert [components_of(PVT_NANO, genes_G, TASK) for genes_G in plan.bound] == list(plan.bound_chains)


def test_half_of_every_set_of_whole_nets_is_spread_over_costs() -> None:
    space = get_space("pvt-mobile-pico")
    macs = cost_models(space, space.default_task).macs
    plan = make_plan(space, space.default_task, MeasuringSettings(bound_nets=30), rng=np.random.default_rng(0))
    low, high = (np.log(macs(space.extreme(largest=largest)))[0] for largest in (False, True))
    uniform_A = macs(space.sample(2000, np.random.default_rng(0)))
    for rows_AG in (plan.calibration, plan.bound, plan.validation):
        quarters_A = ((np.log(macs(rows_AG)) - low) / (high - low) * 4).astype(int)
        assert set(quarters_A) == {0, 1, 2, 3}
        assert macs(rows_AG).min() < np.quantile(uniform_A, 0.01)


@pytest.mark.parametrize("num", [0, 1, 2, 3, 4, 40])
def test_a_space_of_few_nets_gives_every_set_that_is_needed_some(num: int) -> None:
    calibration, bound, validation = _shared_out(num, (20, 40, 20))
    assert calibration + bound + validation == num
    assert calibration >= min(num, 1)
    assert validation >= min(num, 2) - 1
    assert bound == (num // 2 if num >= 4 else max(0, num - 2))
    assert tuple(_shared_out(num, (20, 0, 20)))[1] == 0


def test_a_space_of_three_nets_is_calibrated_bounded_and_validated() -> None:
    every = (*(f"mlp_ratio[{block}]=1.5" for block in range(3)), *(f"num_heads[{block}]=1" for block in range(3)))
    space = get_space(f"autoformer-nano[embed_dim=16,{','.join(every)}]")
    assert space.cardinality == 3
    plan = make_plan(space, space.default_task, MeasuringSettings(bound_nets=40), rng=np.random.default_rng(0))
    assert [len(each) for each in (plan.calibration, plan.bound, plan.validation)] == [1, 1, 1]


def test_a_profile_promises_quantiles_of_calls(table: LatencyTable) -> None:
    """Calls of the toy cost their net times 1 + 0.05 exp(1): the 95th percentile is 1.15, the median 1.03 times it."""
    genes_AG = PVT_NANO.sample(300, np.random.default_rng(5))
    truth = np.array([sum(map(true_ms, components_of(PVT_NANO, genes_G, TASK))) for genes_G in genes_AG])
    bounds = {quantile: table.promise.bound(quantile, 0.9) for quantile in QUANTILES}
    factors = [bound.factor for bound in bounds.values()]
    assert factors == sorted(factors)
    for quantile, call in (("p50", 1 + 0.05 * np.log(2)), ("p95", 1 + 0.05 * np.log(20))):
        bound = bounds[quantile]  # type: ignore[index]
        upper = table.upper(PVT_NANO, TASK, bound)(genes_AG)
        assert (call * truth <= upper).mean() >= 0.85
        assert np.median(upper / (call * truth)) < 1.15
        assert bound.coverage.n == 60
        assert bound.coverage.low <= 0.9 <= bound.coverage.high
        np.testing.assert_allclose(upper, bound.factor * table.to_cost_model(PVT_NANO, TASK)(genes_AG))


def test_promises_survive_the_file_and_can_be_read_in_it(table: LatencyTable, tmp_path: Path) -> None:
    path = table.save(tmp_path)
    assert LatencyTable.load(path) == table
    stored = json.loads(path.read_text())["promise"]
    assert len(stored["nets"]) == 39
    assert {"arch", "predicted_ms", "measured_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "n"} == set(stored["nets"][0])
    assert stored["bounds"] == [bound.as_json() for bound in table.promise.bounds()]


def test_a_table_without_such_nets_is_read_and_promises_nothing(table: LatencyTable, tmp_path: Path) -> None:
    plain = replace(table, bound_nets=())
    path = plain.save(tmp_path)
    assert "promise" not in json.loads(path.read_text())
    read = LatencyTable.load(path)
    assert read.sha256 == plain.sha256 == json.loads(path.read_text())["sha256"]
    assert read.promise.bounds() == ()
    with pytest.raises(LatencyTableError, match="needs 19 nets"):
        read.promise.bound("p95", 0.95)
