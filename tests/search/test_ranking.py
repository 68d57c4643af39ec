from __future__ import annotations

import numpy as np
import pytest

from edgenas.search import fidelity, fit_ranker, pick_by_both, pick_evenly, shrunk

RNG = np.random.default_rng(0)


def test_nets_are_picked_evenly_over_cost_the_best_of_every_step_first() -> None:
    costs_A = np.array([0.80, 0.81, 0.82, 0.83, 0.99, 0.98, 0.90, 0.30, 1.20])
    scores_A = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.95, 0.99])
    assert pick_evenly(scores_A, costs_A, 4, low=0.75, high=1.0) == [4, 0, 5, 1]
    assert pick_evenly(scores_A, costs_A, 6, low=0.75, high=1.0)[:3] == [4, 6, 0]


def test_nets_outside_follow_where_those_near_the_limit_do_not_suffice() -> None:
    costs_A, scores_A = np.array([0.9, 0.2, 0.3]), np.array([0.1, 0.5, 0.6])
    assert pick_evenly(scores_A, costs_A, 3, low=0.75, high=1.0) == [0, 2, 1]
    assert pick_evenly(scores_A, costs_A, 9, low=0.75, high=1.0) == [0, 2, 1]


def test_half_of_the_nets_to_be_trained_inherit_best_and_the_others_have_most_capacity() -> None:
    costs_A = np.full(20, 0.95)
    inherited_A, capacity_A = -np.arange(20.0), np.arange(20.0)
    picked = pick_by_both(inherited_A, capacity_A, costs_A, 6, low=0.75, high=1.0)
    assert picked == [0, 1, 2, 19, 18, 17]
    capacity_A[[19, 17]] = -np.inf  # a floor is missed with inherited weights
    assert pick_by_both(inherited_A, capacity_A, costs_A, 6, low=0.75, high=1.0) == [0, 1, 2, 18, 16, 15]
    assert pick_by_both(inherited_A, capacity_A, costs_A, 1, low=0.75, high=1.0) == [0]
    assert pick_by_both(inherited_A, capacity_A, costs_A, 0, low=0.75, high=1.0) == []
    few = pick_by_both(inherited_A[:2], np.array([1.0, -np.inf]), costs_A[:2], 6, low=0.75, high=1.0)
    assert few == [0, 1]
    assert pick_by_both(inherited_A[:0], capacity_A[:0], costs_A[:0], 3, low=0.75, high=1.0) == []


def test_fidelity_is_told_over_the_space_and_at_equal_latency() -> None:
    costs_A = np.concatenate([np.linspace(0.1, 0.2, 6), np.full(10, 1.0)])
    alone_A = np.concatenate([np.linspace(0.1, 0.2, 6), np.linspace(0.5, 0.6, 10)])
    rankings = {"inherited": alone_A + 0.001 * RNG.random(16), "macs": costs_A}
    found = fidelity(alone_A, rankings, costs_A)
    assert found.num_nets == 16
    assert found.tau["inherited"].value > 0.9
    assert found.num_band == 10
    assert found.band == (1.0, 1.0)
    assert np.isnan(found.tau_band["macs"].value)  # equally dear nets cannot be told apart by their cost
    assert (found.tau_band["macs"].low, found.tau_band["macs"].high) == (-1.0, 1.0)


def test_too_few_equally_dear_nets_make_no_band() -> None:
    found = fidelity(RNG.random(6), {"inherited": RNG.random(6)}, np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]))
    assert found.band is None
    assert found.tau_band == {}


def test_held_out_predictions_are_those_of_a_fit_without_the_net() -> None:
    features_AF, alone_A = RNG.normal(size=(12, 3)), RNG.normal(size=12)
    ranker = fit_ranker(features_AF, alone_A)
    x_AF = (features_AF - ranker.mean_F) / ranker.scale_F
    for left_out in range(12):
        rest = np.arange(12) != left_out
        design = np.column_stack([np.ones(11), x_AF[rest]])
        penalty = np.diag([0.0, 1.0, 1.0, 1.0])
        weights = np.linalg.solve(design.T @ design + penalty, design.T @ alone_A[rest])
        assert ranker.held_out_A[left_out] == pytest.approx(weights @ np.array([1.0, *x_AF[left_out]]), abs=1e-9)


def test_a_ranker_finds_what_matters() -> None:
    features_AF = RNG.normal(size=(16, 4))
    alone_A = 0.8 + 0.02 * features_AF[:, 2]
    ranker = fit_ranker(features_AF, alone_A)
    others_AF = RNG.normal(size=(50, 4))
    assert np.corrcoef(ranker(others_AF), others_AF[:, 2])[0, 1] > 0.99


def test_noisy_results_are_drawn_towards_what_is_expected() -> None:
    expected_A = np.array([0.80, 0.81, 0.82, 0.83])
    measured_A = expected_A + np.array([0.02, -0.02, 0.02, -0.02])
    assert shrunk(measured_A, expected_A, noise_var=1.0) == pytest.approx(expected_A)
    assert shrunk(measured_A, expected_A, noise_var=0.0) == pytest.approx(measured_A)
    assert shrunk(measured_A, expected_A, noise_var=0.0002) == pytest.approx((measured_A + expected_A) / 2)
    assert shrunk(expected_A, expected_A, noise_var=0.0) == pytest.approx(expected_A)
