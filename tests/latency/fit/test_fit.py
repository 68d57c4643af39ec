from __future__ import annotations

import math
from collections.abc import Hashable

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenas.costs import decompose, distinct_components
from edgenas.latency.fit.calibration import calibrate
from edgenas.latency.fit.smoothing import smooth
from edgenas.latency.fit.validation import bootstrap_mean, kendall_tau, mape, validation_of
from edgenas.records import CheckedNet
from edgenas.spaces.pvt import PVT_NANO, BlockSpec
from tests.latency.toy import true_ms

TERMS = decompose(PVT_NANO, PVT_NANO.default_task)
BLOCKS = [component for component in distinct_components(TERMS) if isinstance(component, BlockSpec)]
TRUTH: dict[Hashable, float] = {block: true_ms(block) for block in BLOCKS}


def test_smoothing_leaves_products_of_factors_alone() -> None:
    assert smooth(TERMS, TRUTH) == pytest.approx(TRUTH, rel=1e-9)


def test_smoothing_removes_the_noise_that_a_projection_removes() -> None:
    """36 blocks, 18 free effects: the root mean square error falls to sqrt(18 / 36)."""
    rng = np.random.default_rng(0)
    before, after = [], []
    for _ in range(60):
        noisy = {block: ms * math.exp(0.05 * rng.standard_normal()) for block, ms in TRUTH.items()}
        smoothed = smooth(TERMS, noisy)
        before += [math.log(noisy[block] / ms) ** 2 for block, ms in TRUTH.items()]
        after += [math.log(smoothed[block] / ms) ** 2 for block, ms in TRUTH.items()]
    assert math.sqrt(np.mean(after) / np.mean(before)) == pytest.approx(math.sqrt(0.5), rel=0.05)


def test_blocks_that_were_not_timed_are_interpolated() -> None:
    some = {block: ms for position, (block, ms) in enumerate(TRUTH.items()) if position % 7 != 3}
    assert smooth(TERMS, some) == pytest.approx(TRUTH, rel=1e-9)


def test_an_option_that_was_never_seen_stays_unknown() -> None:
    widest = max(block.qkv_dim for block in BLOCKS if block.embed_dim == 16)
    some = {b: ms for b, ms in TRUTH.items() if not (b.embed_dim == 16 and b.qkv_dim == widest)}  # type: ignore[attr-defined]
    assert smooth(TERMS, some).keys() == some.keys()


def test_nothing_is_shared_across_widths_of_a_stage() -> None:
    changed = dict(TRUTH)
    victim = next(block for block in BLOCKS if block.embed_dim == 24)
    changed[victim] *= 3
    smoothed = smooth(TERMS, changed)
    assert all(smoothed[b] == pytest.approx(TRUTH[b]) for b in BLOCKS if b.embed_dim != 24)


def test_a_negative_difference_does_not_spoil_its_stage() -> None:
    smoothed = smooth(TERMS, TRUTH | {BLOCKS[0]: -0.001})
    assert all(0 < smoothed[block] < 10 * TRUTH[block] for block in BLOCKS)


def test_calibration_finds_scale_and_offset() -> None:
    raw = np.linspace(1.0, 3.0, 20)
    found = calibrate(raw, 1.2 * raw + 0.3)
    assert (found.scale, found.offset_ms, found.upper_factor) == pytest.approx((1.2, 0.3, 1.0))
    assert found.predict(np.array([2.0]), np.array([1e6])) == pytest.approx([2.7])


def test_weights_are_counted_where_nets_that_are_left_out_are_predicted_better_so() -> None:
    rng = np.random.default_rng(0)
    raw, params = rng.uniform(10, 40, 20), rng.uniform(2e6, 16e6, 20)
    noise = np.exp(0.01 * rng.standard_normal(20))
    found = calibrate(raw, (1.05 * raw + 0.2 * params / 1e6 + 0.5) * noise, params)
    assert found.weights_ms == pytest.approx(0.2, rel=0.2)
    truth = 1.05 * 25.0 + 0.2 * 8 + 0.5
    assert found.predict(np.array([25.0]), np.array([8e6])) == pytest.approx([truth], rel=0.01)
    for without in (1.05 * raw * noise, (1.05 * raw - 0.1 * params / 1e6) * noise):  # no cost of weights, one below nothing
        assert calibrate(raw, without, params).weights_ms == 0.0
    assert calibrate(raw[:9], (raw + params / 1e6)[:9], params[:9]).weights_ms == 0.0  # too few nets to tell


def test_what_factors_cannot_say_is_kept_in_proportion_to_the_noise() -> None:
    """Interactions of 4 % and noise of 2 %: the error is below that of the raw costs and of the nearest products."""
    rng = np.random.default_rng(0)
    truth = {block: ms * math.exp(0.04 * rng.standard_normal()) for block, ms in TRUTH.items()}
    error: dict[str, list[float]] = {"raw": [], "products": [], "drawn": []}
    for _ in range(40):
        raw = {block: ms * math.exp(0.02 * rng.standard_normal()) for block, ms in truth.items()}
        noise = {block: 0.02 * ms for block, ms in raw.items()}
        for name, costs in (("raw", raw), ("products", smooth(TERMS, raw)), ("drawn", smooth(TERMS, raw, noise))):
            error[name] += [math.log(costs[block] / ms) ** 2 for block, ms in truth.items()]
    mean = {name: math.sqrt(np.mean(values)) for name, values in error.items()}
    assert mean["drawn"] < 0.95 * min(mean["raw"], mean["products"])


def test_noise_alone_is_smoothed_away_and_its_absence_keeps_everything() -> None:
    rng = np.random.default_rng(1)
    raw = {block: ms * math.exp(0.03 * rng.standard_normal()) for block, ms in TRUTH.items()}
    assert smooth(TERMS, raw, {block: 0.06 * ms for block, ms in raw.items()}) == pytest.approx(smooth(TERMS, raw))
    assert smooth(TERMS, raw, dict.fromkeys(raw, 0.0)) == pytest.approx(raw)


def test_calibration_of_nets_that_are_all_alike_has_no_offset() -> None:
    found = calibrate(np.full(5, 2.0), np.full(5, 2.2))
    assert (found.scale, found.offset_ms) == pytest.approx((1.1, 0.0))
    with pytest.raises(ValueError, match="at least one"):
        calibrate(np.array([]), np.array([]))


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), confidence=st.sampled_from([0.8, 0.9, 0.95]))
def test_the_bound_is_an_order_statistic_that_covers_its_own_nets(seed: int, confidence: float) -> None:
    rng = np.random.default_rng(seed)
    raw = rng.uniform(1, 3, 40)
    measured = raw * np.exp(0.05 * rng.standard_normal(40))
    found = calibrate(raw, measured, confidence=confidence)
    covered = (measured <= found.upper_factor * found.predict(raw, raw)).mean()
    assert found.upper_factor >= 1.0
    assert covered >= confidence - 0.05


def test_the_bound_holds_for_fresh_nets_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    shares = []
    for _ in range(150):
        raw = rng.uniform(1, 3, 240)
        measured = (1.1 * raw + 0.2) * np.exp(0.04 * rng.standard_normal(240))
        found = calibrate(raw[:40], measured[:40], confidence=0.9)
        shares.append(float((measured[40:] <= found.upper_factor * found.predict(raw[40:], raw[40:])).mean()))
    assert 0.88 <= np.mean(shares) <= 0.95


def test_kendalls_tau_is_scipys_with_ties_and_without() -> None:
    rng = np.random.default_rng(0)
    for num, high in ((2, 9), (10, 4), (40, 8), (60, 10_000)):
        first, second = rng.integers(0, high, (2, num)).astype(float)
        first[:2] = second[:2] = 0.0, 1.0
        assert kendall_tau(first, second) == pytest.approx(scipy.stats.kendalltau(first, second).statistic, abs=1e-12)


def test_errors_are_computed_as_in_the_textbook() -> None:
    assert mape(np.array([1.1, 1.8]), np.array([1.0, 2.0])) == pytest.approx(0.1)
    assert kendall_tau(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])) == pytest.approx(1 / 3)
    assert math.isnan(kendall_tau(np.array([1.0]), np.array([1.0])))
    assert math.isnan(mape(np.array([]), np.array([])))
    interval = bootstrap_mean(np.array([0.0, 1.0] * 50))
    assert interval.low < 0.5 < interval.high


def test_validation_has_what_the_contract_names() -> None:
    pairs = [(1.0, 1.0), (2.0, 2.08), (3.0, 3.24), (4.0, 5.0)]
    rows = [CheckedNet(arch={}, predicted_ms=p, upper_ms=1.1 * p, measured_ms=m, mad_ms=0.0) for p, m in pairs]
    found = validation_of(rows, 0.02).as_json()
    assert found["num_subnets"] == 4
    assert (found["within_5"], found["within_10"], found["kendall_tau"]) == (0.5, 0.75, pytest.approx(1.0))
    assert found["noise_floor_mape"] == 0.02
    assert found["intervals"]["upper_coverage"]["value"] == 0.75
    assert set(found["rows"][0]) >= {"arch", "predicted_ms", "upper_ms", "measured_ms", "mad_ms"}
