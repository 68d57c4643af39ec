"""Predictive values, F1, AUROC and calibration of predictions, with intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_recall_fscore_support, roc_auc_score, top_k_accuracy_score

from edgenas.records import Proportion, Scores
from edgenas.stats import NUM_BINS, expected_calibration_error, wilson
from edgenas.training.scores import predictive_values, scores

NAMES = ("a", "b", "c")


def predicted(num: int = 300, *, sure: float = 2.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, their argmax and labels of which the likeliest class is mostly right."""
    rng = np.random.default_rng(seed)
    labels_N = rng.integers(3, size=num)
    logits_NC = rng.normal(size=(num, 3))
    logits_NC[np.arange(num), labels_N] += sure
    p_NC = np.exp(logits_NC) / np.exp(logits_NC).sum(1, keepdims=True)
    return p_NC, p_NC.argmax(1), labels_N


def test_shares_are_those_of_scikit_learn() -> None:
    p_NC, decided_N, labels_N = predicted()
    found = scores(p_NC, decided_N, labels_N, NAMES)
    precision, _, f1, _ = precision_recall_fscore_support(labels_N, decided_N, average=None)
    assert [found.classes[name].ppv.value for name in NAMES] == pytest.approx(list(precision))
    assert found.macro_f1.value == pytest.approx(f1.mean())
    for index, name in enumerate(NAMES):
        each = found.classes[name]
        assert each.auroc.value == pytest.approx(roc_auc_score(labels_N == index, p_NC[:, index]))
        assert each.specificity.value == pytest.approx((decided_N[labels_N != index] != index).mean())
        assert each.npv.value == pytest.approx((labels_N[decided_N != index] != index).mean())
        assert each.ppv.n == int((decided_N == index).sum())
        for share in (each.ppv, each.npv, each.specificity, each.auroc, found.macro_f1, found.calibration_error):
            assert 0 <= share.low <= share.value <= share.high <= 1
            assert share.high - share.low > 0.005
    assert found.top5 is None


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")  # its, of classes that no image has
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), num=st.integers(2, 60))
def test_equal_probabilities_and_absent_classes_are_counted_as_scikit_learn_counts_them(seed: int, num: int) -> None:
    rng = np.random.default_rng(seed)
    p_NC = rng.integers(4, size=(num, 7)).astype(np.float32) / 4  # few values: many are equal
    decided_N, labels_N = rng.integers(7, size=num), rng.integers(1, 6, size=num)
    found = scores(p_NC, decided_N, labels_N, tuple("abcdefg"), num_resamples=2)
    present = np.unique(labels_N)
    assert found.macro_f1.value == pytest.approx(f1_score(labels_N, decided_N, labels=present, average="macro", zero_division=0.0))
    for index in present if len(present) > 1 else ():
        theirs = roc_auc_score(labels_N == index, p_NC[:, index])
        assert found.classes["abcdefg"[index]].auroc.value == pytest.approx(theirs)
    assert found.top5 is not None
    assert found.top5.value == pytest.approx(top_k_accuracy_score(labels_N, p_NC, k=5, labels=np.arange(7)))


def test_confidence_that_is_accuracy_has_no_calibration_error_and_too_much_has() -> None:
    rng = np.random.default_rng(0)
    share = 0.8
    labels_N = np.where(rng.random(20_000) < share, 0, 1)
    p_NC = np.tile([share, 1 - share], (len(labels_N), 1))
    well = scores(p_NC, np.zeros_like(labels_N), labels_N, ("a", "b"), num_resamples=50).calibration_error
    assert well.value < 0.01
    sure_NC = np.tile([0.99, 0.01], (len(labels_N), 1))
    badly = scores(sure_NC, np.zeros_like(labels_N), labels_N, ("a", "b"), num_resamples=50).calibration_error
    assert badly.value == pytest.approx(0.19, abs=0.01)
    assert badly.low < 0.19 + 0.01
    assert badly.low > well.high


@pytest.mark.slow
def test_the_intervals_of_auroc_and_macro_f1_hold_the_truth_as_often_as_they_say() -> None:
    whole = predicted(200_000, sure=1.0, seed=1)
    truth_auroc = roc_auc_score(whole[2] == 0, whole[0][:, 0])
    truth_f1 = precision_recall_fscore_support(whole[2], whole[1], average="macro")[2]
    held = np.zeros(2)
    for seed in range(30):
        found = scores(*predicted(150, sure=1.0, seed=seed + 2), NAMES, confidence=0.9, num_resamples=60)
        auroc = found.classes["a"].auroc
        held += [auroc.low <= truth_auroc <= auroc.high, found.macro_f1.low <= truth_f1 <= found.macro_f1.high]
    assert (held / 30 > 0.8).all()


def test_predictive_values_at_a_prevalence_are_bayes_rule() -> None:
    sensitivity, specificity = wilson(90, 100), wilson(190, 200)
    ppv, npv = predictive_values(sensitivity, specificity, 0.01)
    assert ppv.value == pytest.approx(0.9 * 0.01 / (0.9 * 0.01 + 0.05 * 0.99))
    assert npv.value == pytest.approx(0.95 * 0.99 / (0.95 * 0.99 + 0.1 * 0.01))
    assert ppv.low < ppv.value < ppv.high
    same, _ = predictive_values(sensitivity, specificity, 1 / 3)
    assert same.value == pytest.approx(90 / 100)


@pytest.mark.parametrize("prevalence", [0.0, 1.0, -0.1, math.nan])
def test_a_prevalence_of_none_or_all_is_refused(prevalence: float) -> None:
    with pytest.raises(ValueError, match="a prevalence is between 0 and 1"):
        predictive_values(wilson(1, 2), wilson(1, 2), prevalence)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), num=st.integers(0, 12))
def test_few_or_one_sided_images_have_wide_intervals_and_never_crash(seed: int, num: int) -> None:
    rng = np.random.default_rng(seed)
    p_NC = rng.dirichlet(np.ones(7), size=num)
    labels_N = np.minimum(rng.integers(7, size=num), rng.integers(7))
    found = scores(p_NC, p_NC.argmax(1) if num else labels_N, labels_N, tuple("abcdefg"), prevalence=0.1, num_resamples=20)
    assert Scores.from_json(found.as_json()).classes.keys() == found.classes.keys()
    shares: list[Proportion | None] = [found.macro_f1, found.calibration_error, found.top5]
    for each in found.classes.values():
        shares += [each.ppv, each.npv, each.specificity, each.auroc, each.ppv_at_prevalence, each.npv_at_prevalence]
    for share in shares:
        assert share is not None
        assert 0 <= share.low <= share.high <= 1
        assert math.isnan(share.value) or share.low <= share.value <= share.high


def test_right_pairs_alone_prove_no_perfect_auroc() -> None:
    p_NC = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8]])
    labels_N = np.array([0, 0, 1])
    auroc = scores(p_NC, p_NC.argmax(1), labels_N, ("a", "b")).classes["a"].auroc
    assert auroc.value == 1.0
    assert auroc.low < 0.5


def test_the_calibration_error_is_that_of_torchmetrics() -> None:
    from torchmetrics.functional.classification import multiclass_calibration_error

    p_NC, _, labels_N = predicted(num=500, sure=1.5, seed=3)
    p_NC[0] = (1.0, 0.0, 0.0)  # the last end of all bins
    ours = expected_calibration_error(p_NC.max(axis=1), p_NC.argmax(axis=1) == labels_N)
    theirs = multiclass_calibration_error(torch.from_numpy(p_NC), torch.from_numpy(labels_N), num_classes=3, n_bins=NUM_BINS)
    assert ours == pytest.approx(float(theirs), abs=1e-6)
