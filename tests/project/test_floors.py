"""Floors on sensitivities: refused where nothing could show them, judged by intervals, gates afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenas.data.images import Images
from edgenas.deploy.parity import floor_gate
from edgenas.errors import ConfigError, InfeasibleError
from edgenas.project.gates import Floors, failure_of
from edgenas.project.searching.floors import (
    are_thresholds_needed,
    floor_rows,
    floors_asked,
    num_needed,
    require_floors,
    with_thresholds,
)
from edgenas.project.settings import SearchSettings
from edgenas.records import CandidateRow
from edgenas.search import Candidate, Judge, SensitivityFloor
from edgenas.search.finalists import Finalist, choose, optimism
from edgenas.spaces import Genes
from edgenas.stats import Proportion, difference_of_means, pick_threshold, share_to_show, wilson
from edgenas.training.evaluation import report

LABELS = np.repeat([0, 1], [80, 120])


class Labelled:
    """The parts of a data set that floors read."""

    class_names = ("ill", "well")
    positive: int | None = 0

    def labels(self, split: str) -> NDArray[np.int64]:
        return LABELS


def images() -> Images:
    return cast(Images, Labelled())


def asked(**settings: Any) -> SearchSettings:
    return SearchSettings(**settings)


def test_a_class_that_is_none_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="no class of the data: sick") as caught:
        require_floors(asked(min_sensitivity={"sick": 0.9}), images())
    assert caught.value.hint == "classes are: ill, well"


def test_a_floor_that_the_images_cannot_show_is_told_how_many_are_needed() -> None:
    require_floors(asked(min_sensitivity={"ill": 0.95}, confidence=0.95), images())
    with pytest.raises(
        InfeasibleError, match=r"sensitivity\[ill\] >= 0.96 with confidence 0.95 .* 80 images .* 93 without"
    ) as caught:
        require_floors(asked(min_sensitivity={"ill": 0.96}, confidence=0.95), images())
    assert caught.value.exit_code == 3
    assert caught.value.result["needed"] == {"sensitivity[ill]": {"images": 80, "needed": 93}}
    with pytest.raises(InfeasibleError, match="no number of them shows 1"):
        require_floors(asked(min_sensitivity={"ill": 1.0}, confidence=0.5), images())
    require_floors(asked(min_sensitivity={"ill": 1.0}), images())
    assert (num_needed(0.95, 0.95), num_needed(0.5, None)) == (73, 1)


class Answers:
    """Every net gives the positives 0.45 but for its first gene's number of them, which get 0.2, and all others 0.1."""

    def __call__(self, genes_AG: Genes, image_indices: NDArray[np.int64], /) -> NDArray[np.float16]:
        ill_AN = np.where(LABELS == 0, 0.45, 0.1)[None].repeat(len(genes_AG), axis=0)
        for ill_N, row in zip(ill_AN, genes_AG, strict=True):
            ill_N[: row[0]] = 0.2
        return np.stack([ill_AN, 1 - ill_AN], axis=2).astype(np.float16)[:, image_indices]


def test_the_positive_class_is_decided_from_a_threshold_of_each_net_and_the_lower_end_counts() -> None:
    settings = asked(min_sensitivity={"ill": 0.9}, confidence=0.95)
    floors = floors_asked(settings, images())
    assert are_thresholds_needed(floors, 0)
    by_argmax = Judge(Answers(), LABELS, [floor.plain for floor in floors])(np.array([[0]], dtype=np.int16), 0, "test")
    assert by_argmax[0].rejected_by == ("sensitivity[ill]",)  # the argmax never finds it
    floors = with_thresholds(floors, 0, Answers(), images())
    good, bad = Judge(Answers(), LABELS, floors)(np.array([[1], [70]], dtype=np.int16), 0, "test")
    assert good.rejected_by == bad.rejected_by == ()
    rows = floor_rows(good, floors, LABELS)
    assert rows is not None
    judged = rows["sensitivity[ill]"]
    assert judged.threshold is not None
    assert 0.1 < judged.threshold < 0.45
    assert judged.sensitivity.low >= 0.9
    assert floor_rows(replace(good, images_M=np.array([1])), floors, LABELS) is None


@pytest.mark.parametrize(("found", "is_met"), [(78, True), (75, False)])
def test_a_floor_with_a_confidence_needs_the_lower_end_and_says_by_how_much_it_is_missed(found: int, is_met: bool) -> None:
    floor = SensitivityFloor("ill", 0, 0.9, positive=None, threshold=None, confidence=0.95)
    p_NC = np.zeros((len(LABELS), 2))
    p_NC[np.arange(len(LABELS)), LABELS] = 1
    p_NC[: 80 - found] = (0, 1)
    violation = floor.violation(p_NC[None], LABELS)[0]
    assert (violation == 0) == is_met
    assert violation == pytest.approx(max(0.0, 1 - wilson(found, 80).low / 0.9))
    assert floor.plain.violation(p_NC[None], LABELS)[0] == 0


def test_a_threshold_with_a_confidence_leaves_room_for_chance() -> None:
    scores = np.concatenate([np.linspace(0.2, 0.9, 200), np.linspace(0.0, 0.6, 200)])
    positive = np.arange(400) < 200
    point, shown = (pick_threshold(scores, positive, min_sensitivity=0.9, confidence=c) for c in (None, 0.95))
    assert shown < point
    assert wilson(int((scores[positive] >= shown).sum()), 200).low >= 0.9
    assert share_to_show(0.99, 10, confidence=0.95) == 1.0


def finalist(number: int, top1: float, shortfall: float, *rejected_by: str) -> Finalist:
    row = CandidateRow(
        arch={"number": number}, params=10, macs=100, latency_ms_predicted=None, top1=top1, sensitivity={}, generation=0,
        origin="random", rejected_by=rejected_by, top1_confirm=Proportion(top1, 0.0, 1.0, 100),
    )  # fmt: skip
    return Finalist(Candidate((number,), 0, "random", np.zeros((1, 2), dtype=np.float16), top1, -0.5, shortfall), row)


def test_where_all_miss_a_floor_the_nearest_is_taken_unless_the_floor_is_strict() -> None:
    near, far = finalist(1, 0.8, 0.01, "sensitivity[ill]"), finalist(2, 0.9, 0.2, "sensitivity[ill]")
    slow = finalist(3, 0.95, 0.0, "latency_ms")
    assert choose([far, slow, near], strict=False) is near
    assert choose([far, slow, near], strict=True) is None
    fits = finalist(4, 0.5, 0.0)
    assert choose([far, near, fits], strict=False) is fits
    assert choose([slow], strict=False) is None


def test_floors_are_gates_on_what_a_report_says() -> None:
    metrics = report(np.eye(2)[np.where(np.arange(200) < 4, 1, LABELS)], LABELS, ["ill", "well"])
    assert [gate.verdict for gate in Floors({"ill": 0.95}).judge(metrics)] == ["passed"]
    (gate,) = Floors({"ill": 0.95}, 0.95).judge(metrics)
    assert (gate.name, gate.verdict) == ("sensitivity[ill]", "undecided")
    failure = failure_of([gate])
    assert failure is not None
    assert failure.exit_code == 4
    assert failure_of(Floors({"ill": 0.8}, 0.95).judge(metrics)) is None
    assert floor_gate("ill", 40, 80, 0.9, 0.9).verdict == "failed"
    assert floor_gate("ill", 40, 80, 0.9, None).reason == "40 of 80 is below 0.9"
    assert floor_gate("ill", 0, 0, 0.9, None).verdict == "undecided"


def test_what_choosing_on_select_has_won_comes_with_an_interval() -> None:
    labels_N = np.zeros(100, dtype=np.int64)
    p_NC = np.zeros((100, 2), dtype=np.float16)
    p_NC[:, 0], p_NC[:, 1] = np.arange(100) < 90, np.arange(100) >= 90
    nets = [replace(finalist(i, 0.9, 0.0), right_confirm_N=np.arange(50) < 40 + i) for i in (0, 2)]
    nets = [replace(net, candidate=replace(net.candidate, probabilities_NC=p_NC)) for net in nets]
    found = optimism(nets, labels_N, nets[0])
    assert found["winner"].value == pytest.approx(0.1)
    assert found["winner"].low < 0 < found["winner"].high
    assert found["finalists"].value == pytest.approx(0.08)
    assert optimism([], labels_N, None) == {}


def test_a_difference_of_two_shares_is_newcombes() -> None:
    found = difference_of_means(np.arange(70) < 56, np.arange(80) < 48)  # Newcombe 1998, table II (a): 0.0524 to 0.3339
    assert (found.value, found.low, found.high) == (
        pytest.approx(0.2),
        pytest.approx(0.0524, abs=1e-4),
        pytest.approx(0.3339, abs=1e-4),
    )
