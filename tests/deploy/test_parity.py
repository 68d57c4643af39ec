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


def test_equal_logits_on_enough_images_pass() -> None:
    labels = labels_of(stats.trials_to_prove(0.99))
    parity = judge(logits(labels), logits(labels), labels)
    assert (parity.verdict, parity.reason, parity.top1_agreement) == ("passed", "", 1.0)
    assert parity.flips == {"healthy": 0, "covid-19": 0, "other": 0}
    assert (parity.logits.max_abs, parity.logits.min_cosine) == (0.0, pytest.approx(1.0))
    parity.require()


def test_too_few_images_are_undecided_and_say_how_many_decide() -> None:
    needed = stats.trials_to_prove(0.99)
    labels = labels_of(needed - 1)
    parity = judge(logits(labels), logits(labels), labels)
    assert parity.verdict == "undecided"
    assert f"{needed} images without a flip would" in parity.reason
    with pytest.raises(ParityError, match=rf"undecided over {needed - 1} images"):
        parity.require()


def test_disagreement_that_excludes_the_limit_fails() -> None:
    labels = labels_of(1000)
    candidate = logits(labels)
    candidate[::20] = logits((labels[::20] + 1) % 3)
    parity = judge(logits(labels), candidate, labels, positive=None)
    assert parity.verdict == "failed"
    assert gate(parity, "min_top1_agreement").high < 0.99
    assert "0.9500 of 1000" in parity.reason
    assert sum(parity.flips.values()) == 50


def test_one_new_false_negative_fails_however_many_images_agree() -> None:
    labels = labels_of(5000, positives=100)
    candidate = logits(labels)
    candidate[0] = [4, 0, 0]
    parity = judge(logits(labels), candidate, labels)
    assert (parity.verdict, parity.new_false_negatives, parity.num_positives) == ("failed", 1, 100)
    assert parity.reason == "max_new_false_negatives 1 of 100 positives newly missed, allowed 0"
    assert parity.flips == {"healthy": 0, "covid-19": 1, "other": 0}
    assert judge(logits(labels), candidate, labels, gates=Gates(max_new_false_negatives=1)).verdict == "passed"


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
    labels = labels_of(1000, positives=0)
    parity = judge(logits(labels), logits(labels), labels)
    assert parity.verdict == "undecided"
    assert "no positive images" in parity.reason


def test_without_a_positive_class_its_gates_are_absent() -> None:
    labels = labels_of(1000)
    parity = judge(logits(labels), logits(labels), labels, positive=None, gates=Gates(min_sensitivity=0.9))
    assert [gate.name for gate in parity.gates] == ["non_finite_images", "min_top1_agreement"]
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


def test_not_run_carries_its_emulation_and_fails_with_it() -> None:
    labels = labels_of(1000, positives=100)
    good = judge(logits(labels), logits(labels), labels)
    bad = judge(logits(labels), np.full_like(logits(labels), np.nan), labels)
    assert not_run("no GPU").verdict == "not_run"
    assert not_run("no GPU", emulated=good).as_json()["emulated"]["verdict"] == "passed"
    failed = not_run("no GPU", emulated=bad)
    assert failed.verdict == "failed"
    assert failed.reason.startswith("no GPU; its emulation failed: non_finite_images 1000 > 0")
    with pytest.raises(ParityError, match="emulated min_top1_agreement"):
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
    ]
    assert set(value["gates"][0]) == {"name", "limit", "value", "low", "high", "verdict", "reason"}
    assert value["decision"]["agreement"]["n"] == 9


def test_impossible_gates_are_refused() -> None:
    with pytest.raises(ValueError, match="no number of images proves 1"):
        Gates(min_top1_agreement=1.0)


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
    judged = gate(judge(logits(labels), candidate, labels, gates=Gates(min_top1_agreement=limit)), "min_top1_agreement")
    expected = "passed" if judged.low >= limit else "failed" if judged.high < limit else "undecided"
    assert judged.verdict == expected


def test_softmax_survives_large_logits() -> None:
    np.testing.assert_allclose(probabilities(np.array([[1e4, 0, -1e4]])), [[1, 0, 0]])
