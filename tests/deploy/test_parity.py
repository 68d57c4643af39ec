"""Parity: gates are proven, refuted or undecided, never assumed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgenas import stats
from edgenas.deploy.parity import Gates, compare, not_run, probabilities
from edgenas.errors import ParityError
from edgenas.records import Parity
from edgenas.runs import dump_json

CLASSES = ("healthy", "covid-19", "other")


def logits(labels: NDArray[np.int64], *, margin: float = 4.0) -> NDArray[np.float32]:
    return (margin * np.eye(len(CLASSES))[labels]).astype(np.float32)


def labels_of(num: int, *, positives: int | None = None) -> NDArray[np.int64]:
    if positives is None:
        return np.arange(num) % 3
    return np.array([1] * positives + [0] * (num - positives))


def judge(reference: NDArray[np.float32], candidate: NDArray[np.float32], labels: NDArray[np.int64], **options: Any) -> Parity:
    settings: dict[str, Any] = {"class_names": CLASSES, "positive": 1, "threshold": 0.5, "gates": Gates()} | options
    return compare(reference, candidate, labels, **settings)


def gate(parity: Parity, name: str) -> Any:
    return next(gate for gate in parity.gates if gate.name == name)


def shaken(labels: NDArray[np.int64], *, error: float = 0.3, margin: float = 4.0, seed: int = 0) -> NDArray[np.float32]:
    """What a conversion answers that changes every number a little and no decision."""
    noise = np.random.default_rng(seed).uniform(-error, error, (len(labels), len(CLASSES)))
    return (logits(labels, margin=margin) + noise).astype(np.float32)


def test_equal_logits_pass_however_few_the_images_and_say_why() -> None:
    labels = labels_of(30)
    candidate = logits(labels) * np.float32(1 + 1e-7)
    parity = judge(logits(labels), candidate, labels)
    assert (parity.verdict, parity.word, parity.reason, parity.top1_agreement) == ("passed", "equal within rounding", "", 1.0)
    assert gate(parity, "min_agreement").basis == gate(parity, "max_new_false_negative_share").basis == "rounding"
    assert parity.equality is not None
    words = "largest logit error 4.8e-07, 1.2e-07 of the logits' range; nearest other decision 3.3 away, 6,93"
    assert parity.equality.words.startswith(words)
    parity.require()


@pytest.mark.parametrize(("threshold", "margin", "error"), [(0.5, 4.0, 1e-3), (0.999, 7.6006, 1e-5), (None, 1e-4, 1e-5)])
def test_an_error_beyond_rounding_or_a_decision_near_by_is_not_equal(threshold: float | None, margin: float, error: float) -> None:
    labels = labels_of(30)  # an image 1e-5 of the range away, by the threshold and then by the margin
    parity = judge(logits(labels, margin=margin), shaken(labels, error=error, margin=margin), labels, threshold=threshold)
    assert parity.equality is not None
    assert not parity.equality.is_equal
    assert parity.word == parity.verdict != "equal within rounding"


def test_numbers_that_changed_on_too_few_images_are_undecided_and_say_how_many_decide() -> None:
    needed = stats.trials_to_prove(0.99)
    labels = labels_of(needed - 1)
    parity = judge(logits(labels), shaken(labels), labels, gates=Gates(max_new_false_negative_share=1.0))
    assert parity.verdict == "undecided"
    assert f"{needed} images without a flip would" in parity.reason
    with pytest.raises(ParityError, match=rf"undecided over {needed - 1} images"):
        parity.require()
    labels = labels_of(needed)
    assert judge(logits(labels), shaken(labels), labels, gates=Gates(max_new_false_negative_share=1.0)).verdict == "passed"


def test_no_new_miss_among_38_positives_is_no_proof() -> None:
    labels = labels_of(395, positives=38)
    judged = gate(judge(logits(labels), shaken(labels, error=0.9), labels), "max_new_false_negative_share")
    assert (judged.value, judged.high, judged.verdict) == (0.0, pytest.approx(0.0918, abs=1e-4), "undecided")
    assert "189 positives without a new miss would" in judged.reason


def test_margins_far_beyond_the_error_prove_what_few_images_cannot() -> None:
    labels = labels_of(395, positives=38)
    judged = gate(judge(logits(labels), shaken(labels, error=0.05), labels), "max_new_false_negative_share")
    assert (judged.verdict, judged.basis) == ("passed", "margins")
    assert "0 of 38 images are within 10 times the largest error" in judged.reason
    assert judged.high == pytest.approx(0.0918, abs=1e-4)


def test_disagreement_that_excludes_the_limit_fails() -> None:
    labels = labels_of(1000)
    candidate = logits(labels)
    candidate[::20] = logits((labels[::20] + 1) % 3)
    parity = judge(logits(labels), candidate, labels, positive=None)
    assert parity.verdict == "failed"
    assert gate(parity, "min_agreement").high < 0.99
    assert "0.9500 of 1,000" in parity.reason
    assert sum(parity.flips.values()) == 50


def test_scaled_logits_that_keep_the_argmax_but_not_the_decisions_fail() -> None:
    rng = np.random.default_rng(0)
    labels = labels_of(600, positives=200)
    reference = (logits(labels, margin=2.0) + rng.normal(0, 1.5, (600, 3))).astype(np.float32)
    candidate = reference * np.float32(0.2)  # every p(positive) moves towards 1/3
    parity = judge(reference, candidate, labels, threshold=0.25)
    assert (parity.top1_agreement, parity.new_false_negatives, parity.verdict) == (1.0, 0, "failed")
    assert parity.new_false_positives is not None
    assert parity.new_false_positives > 50
    assert gate(parity, "max_new_false_positive_share").verdict == gate(parity, "min_agreement").verdict == "failed"
    assert gate(parity, "min_p_mcnemar").verdict == "failed"
    assert parity.p_mcnemar is not None
    assert parity.p_mcnemar < 1e-6


def test_one_new_false_negative_fails_however_many_images_agree() -> None:
    labels = labels_of(5000, positives=300)
    candidate = logits(labels)
    candidate[0] = [4, 0, 0]
    parity = judge(logits(labels), candidate, labels)
    assert (parity.verdict, parity.new_false_negatives, parity.num_positives) == ("failed", 1, 300)
    assert parity.reason == "max_new_false_negatives 1 of 300 positives newly missed, allowed 0"
    assert parity.flips == {"healthy": 0, "covid-19": 1, "other": 0}
    assert judge(logits(labels), candidate, labels, gates=Gates(max_new_false_negatives=1)).verdict == "passed"


def test_false_alarms_are_counted_where_a_count_is_asked_for() -> None:
    labels = labels_of(5000, positives=300)
    candidate = logits(labels)
    candidate[-2:] = [0, 4, 0]
    parity = judge(logits(labels), candidate, labels)
    assert (parity.verdict, parity.new_false_positives) == ("passed", 2)
    strict = judge(logits(labels), candidate, labels, gates=Gates(max_new_false_positives=1))
    assert strict.reason == "max_new_false_positives 2 of 4,700 others newly called positive, allowed 1"


@pytest.mark.parametrize("dead", ["reference", "candidate", "both"])
def test_a_net_whose_answer_does_not_depend_on_the_image_never_passes(dead: str) -> None:
    labels = labels_of(1000, positives=600)
    constant = np.tile(np.float32([0.1, 0.3, 0.2]), (1000, 1))
    constant += np.random.default_rng(0).normal(0, 1e-8, constant.shape).astype(np.float32)
    reference, candidate = (constant if dead in (name, "both") else logits(labels) for name in ("reference", "candidate"))
    parity = judge(reference, candidate, labels, positive=None)
    assert parity.verdict == "failed"
    assert "do not depend on the image" in parity.reason
    assert gate(parity, "above_most_frequent").verdict == "failed"


def test_a_single_image_shows_neither_life_nor_learning() -> None:
    labels = labels_of(1)
    parity = judge(logits(labels), logits(labels), labels, positive=None)
    assert parity.verdict == gate(parity, "varies_with_image").verdict == gate(parity, "above_most_frequent").verdict == "undecided"


def test_a_screening_net_that_pays_for_its_finds_with_false_alarms_has_learned() -> None:
    labels = labels_of(1000, positives=50)
    screened = np.where((labels == 1) | (np.arange(1000) % 4 == 3), 1, 0)  # a quarter of the healthy are false alarms
    parity = judge(logits(screened), logits(screened), labels)
    judged = gate(parity, "above_most_frequent")
    assert judged.value < judged.limit == 0.95
    assert judged.verdict == parity.verdict == "passed"


def test_a_net_no_better_than_the_most_frequent_class_never_passes() -> None:
    labels = labels_of(1000, positives=100)
    guesses = np.random.default_rng(0).permutation(labels)
    parity = judge(logits(guesses), logits(guesses), labels)
    assert parity.verdict == "failed"
    assert "always answering the most frequent class 0.9000: nothing shows that anything was learned" in parity.reason
    assert gate(parity, "varies_with_image").verdict == "passed"


def test_positives_that_the_reference_misses_too_are_no_new_false_negatives() -> None:
    labels = labels_of(1000, positives=10)
    missed = logits(labels)
    missed[:5] = [4, 0, 0]
    assert judge(missed, missed, labels).new_false_negatives == 0


def test_the_decision_rule_counts_not_the_argmax() -> None:
    labels = labels_of(1000, positives=1)
    reference, candidate = logits(labels), logits(labels)
    reference[0] = np.log([0.55, 0.35, 0.10])
    candidate[0] = np.log([0.65, 0.25, 0.10])
    parity = judge(reference, candidate, labels, threshold=0.3)
    assert (parity.top1_agreement, parity.new_false_negatives) == (1.0, 1)
    assert parity.as_json()["decision"]["flips"] == 1


def test_without_positives_new_false_negatives_are_undecided() -> None:
    labels = labels_of(1000) // 2 * 2  # healthy and other
    parity = judge(logits(labels), shaken(labels), labels)
    assert parity.verdict == "undecided"
    expected = "max_new_false_negative_share there are no positives; 189 positives without a new miss would decide it"
    assert parity.reason == expected


def test_without_a_positive_class_its_gates_are_absent() -> None:
    labels = labels_of(1000)
    parity = judge(logits(labels), logits(labels), labels, positive=None, gates=Gates(min_sensitivity=0.9))
    names = ["non_finite_images", "min_agreement", "min_p_mcnemar", "accuracy_margin", "varies_with_image", "above_most_frequent"]
    assert [gate.name for gate in parity.gates] == names
    assert (parity.verdict, parity.num_positives, parity.new_false_negatives) == ("passed", None, None)


def test_sensitivity_is_the_candidates_and_needs_proof() -> None:
    labels = labels_of(1000, positives=27)
    parity = judge(logits(labels), logits(labels), labels, gates=Gates(min_sensitivity=0.95))
    assert parity.verdict == "undecided"
    assert "73 positives without a miss would" in parity.reason


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_never_passes(bad: float) -> None:
    labels = labels_of(5000, positives=100)
    candidate = logits(labels)
    candidate[0, 1] = bad
    parity = judge(logits(labels), candidate, labels, gates=Gates(max_new_false_negatives=9, max_abs_logit=1e9))
    assert parity.verdict == "failed"
    assert gate(parity, "non_finite_images").value == 1
    assert gate(parity, "max_abs_logit").verdict == "failed"
    assert parity.new_false_negatives == 1
    assert json.loads(dump_json(parity))["logits"]["max_abs"] is None


def test_a_reference_that_is_not_finite_fails_too() -> None:
    labels = labels_of(1000)
    reference = logits(labels)
    reference[3] = np.nan
    assert judge(reference, reference, labels).verdict == "failed"


def test_logits_may_be_limited() -> None:
    labels = labels_of(1000)
    candidate = logits(labels) + np.float32(0.25)
    assert judge(logits(labels), candidate, labels, gates=Gates(max_abs_logit=0.25)).verdict == "passed"
    parity = judge(logits(labels), candidate, labels, gates=Gates(max_abs_logit=0.1))
    assert parity.reason == "max_abs_logit 0.25 > 0.1"


def test_a_wrong_shape_is_no_tolerance_question() -> None:
    labels = labels_of(6)
    with pytest.raises(ParityError, match=r"shape \(6, 2\), its source \(6, 3\)"):
        judge(logits(labels), logits(labels)[:, :2], labels)
    with pytest.raises(ValueError, match="do not fit"):
        judge(logits(labels), logits(labels), labels[:5])
    with pytest.raises(ValueError, match="there are 3 classes"):
        judge(logits(labels), logits(labels), labels + 1)


def test_no_images_prove_nothing() -> None:
    labels = labels_of(0)
    assert judge(logits(labels), logits(labels), labels).verdict == "undecided"


def test_the_emulation_s_verdict_is_the_file_s_unless_it_passed() -> None:
    labels = labels_of(60)
    undecided = not_run("no GPU", emulated=judge(logits(labels), shaken(labels), labels))
    assert undecided.verdict == "undecided"
    assert undecided.reason.startswith("no GPU; its emulation is undecided: min_agreement 1.0000 of 60")
    with pytest.raises(ParityError, match="undecided over 60 images"):
        undecided.require()


def test_not_run_carries_its_emulation_and_fails_with_it() -> None:
    labels = labels_of(1000, positives=100)
    good = judge(logits(labels), logits(labels), labels)
    bad = judge(logits(labels), np.full_like(logits(labels), np.nan), labels)
    assert not_run("no GPU").verdict == "not_run"
    assert not_run("no GPU", emulated=good).as_json()["emulated"]["verdict"] == "passed"
    failed = not_run("no GPU", emulated=bad)
    assert failed.verdict == "failed"
    assert failed.reason.startswith("no GPU; its emulation failed: non_finite_images 1,000 > 0, of 1,000 images")
    with pytest.raises(ParityError, match="emulated min_agreement"):
        failed.require()


def test_json_has_the_keys_of_the_contract() -> None:
    labels = labels_of(9)
    value = json.loads(dump_json(judge(logits(labels), logits(labels), labels)))
    assert list(value) == [
        "verdict",
        "reason",
        "reference",
        "num_images",
        "num_positives",
        "top1_agreement",
        "flips",
        "new_false_negatives",
        "logits",
        "gates",
        "decision",
        "emulated",
        "new_false_positives",
        "p_mcnemar",
        "equality",
        "margins",
        "unseen",
        "unseen_positives",
        "calibration",
    ]
    assert set(value["gates"][0]) == {"name", "limit", "value", "low", "high", "verdict", "reason"}
    assert value["decision"]["agreement"]["n"] == 9


def drifted(labels: NDArray[np.int64], lost: int, won: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A source and a file of which just one finds some positives: the first ``lost`` and the next ``won``."""
    mine, miss = np.flatnonzero(labels == 1), np.float32([4, 0, 0])
    before, after = logits(labels), shaken(labels, error=0.1)
    after[mine[:lost]], before[mine[lost : lost + won]] = miss, miss
    return before, after


MANY = {"min_agreement": 0.5, "max_new_false_negatives": None, "max_new_false_negative_share": 1.0, "min_p_mcnemar": 0}


@pytest.mark.parametrize(
    ("lost", "won", "verdict", "words"),
    [
        (0, 0, "passed", ""),
        (6, 6, "undecided", "a loss of 6 less 6 gained of 300 positives"),
        (40, 5, "failed", "a loss of 40 less 5 gained of 300 positives (95 % interval 0.0771 to 0.1621) is above 0.02"),
    ],
)
def test_a_file_is_not_inferior_only_where_the_paired_interval_shows_it(lost: int, won: int, verdict: str, words: str) -> None:
    labels = labels_of(3000, positives=300)
    gates = Gates(**MANY, sensitivity_margin=0.02, accuracy_margin=0.05)
    parity = judge(*drifted(labels, lost, won), labels, gates=gates)
    judged = gate(parity, "sensitivity_margin")
    assert (judged.verdict, gate(parity, "accuracy_margin").verdict) == (verdict, "passed")
    assert judged.reason.startswith(words)
    assert (judged.limit, judged.n) == (0.02, 300)
    assert judged.value == pytest.approx((lost - won) / 300)


def test_an_undecided_loss_says_how_many_positives_would_decide_it() -> None:
    labels = labels_of(3000, positives=300)
    parity = judge(*drifted(labels, 6, 6), labels, gates=Gates(**MANY, sensitivity_margin=0.02))
    judged = gate(parity, "sensitivity_margin")
    assert "at these rates 475 positives would, there are 300" in judged.reason
    assert judged.needs == 475
    more = labels_of(3000, positives=500)
    decided = judge(*drifted(more, 10, 10), more, gates=Gates(**MANY, sensitivity_margin=0.02))
    assert gate(decided, "sensitivity_margin").verdict == "passed"


def test_a_margin_that_is_not_set_follows_from_the_other_gates_and_repeats_no_reason() -> None:
    labels = labels_of(60)
    parity = judge(logits(labels), shaken(labels), labels)
    assert (gate(parity, "accuracy_margin").limit, gate(parity, "sensitivity_margin").limit) == (pytest.approx(0.01), 0.02)
    assert gate(parity, "accuracy_margin").verdict == "undecided"
    assert "_margin" not in parity.reason
    assert "accuracy_margin" in judge(logits(labels), shaken(labels), labels, gates=Gates(accuracy_margin=0.005)).reason


@given(
    flips=st.lists(st.tuples(st.integers(0, 199), st.integers(0, 2)), max_size=12),
    limit=st.floats(0.8, 0.99),
)
def test_a_margin_that_is_not_set_never_refuses_what_agreement_proves(flips: list[tuple[int, int]], limit: float) -> None:
    labels = labels_of(200)
    candidate = shaken(labels)
    for index, decided in flips:
        candidate[index] = logits(np.array([decided]))[0]
    parity = judge(logits(labels), candidate, labels, positive=None, gates=Gates(min_agreement=limit))
    if gate(parity, "min_agreement").verdict == "passed":
        assert gate(parity, "accuracy_margin").verdict == "passed"


def test_impossible_gates_are_refused() -> None:
    with pytest.raises(ValueError, match="no number of images proves 1"):
        Gates(min_top1_agreement=1.0)
    with pytest.raises(ValueError, match="no number of images proves 0"):
        Gates(max_new_false_positive_share=0.0)
    with pytest.raises(ValueError, match="max_new_false_negatives -1 is below 0, which no export can meet"):
        Gates(max_new_false_negatives=-1)
    with pytest.raises(ValueError, match="max_new_false_positives -2 is below 0"):
        Gates(max_new_false_positives=-2)


def test_the_gates_of_a_manifest_are_those_in_force() -> None:
    limits = Gates(0.8, floors={"covid-19": 0.9}).limits
    assert (limits["min_agreement"], limits["min_top1_agreement"], limits["sensitivity[covid-19]"]) == (0.8, 0.8, 0.9)
    assert (limits["max_new_false_negatives"], limits["max_new_false_positive_share"]) == (0, 0.02)


@given(
    num=st.integers(1, 60),
    flips=st.lists(st.integers(0, 59), max_size=8),
    limit=st.floats(0.5, 0.999),
)
def test_a_verdict_never_contradicts_its_interval(num: int, flips: list[int], limit: float) -> None:
    labels = labels_of(num)
    candidate = logits(labels)
    for index in {flip % num for flip in flips}:
        candidate[index] = logits(np.array([(labels[index] + 1) % 3]))
    candidate[:, 0] += 0.1  # no rounding
    judged = gate(judge(logits(labels), candidate, labels, gates=Gates(min_top1_agreement=limit)), "min_top1_agreement")
    expected = "passed" if judged.low >= limit else "failed" if judged.high < limit else "undecided"
    assert judged.verdict == expected


def test_softmax_survives_large_logits() -> None:
    np.testing.assert_allclose(probabilities(np.array([[1e4, 0, -1e4]])), [[1, 0, 0]])
