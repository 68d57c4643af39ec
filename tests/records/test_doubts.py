"""Records say where nothing shows that a net has learned anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgenas.records import MostFrequent, RetrainResult, SearchResult, SupernetResult, TeacherResult, TrainResult
from edgenas.stats import wilson

WRITTEN: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent.parent / "fixtures" / "records.json").read_text())
COMMON = MostFrequent(class_name="healthy", share=wilson(90, 100))


@pytest.mark.parametrize(("right", "is_doubted"), [(96, False), (95, True), (60, True)])
def test_an_accuracy_is_doubted_unless_its_interval_lies_above(right: int, is_doubted: bool) -> None:
    assert (COMMON.doubts("the net on test", wilson(right, 100)) is not None) == is_doubted


def test_a_doubt_names_both_accuracies() -> None:
    assert COMMON.doubts("the net on test", wilson(92, 100)) == (
        "the net on test: accuracy 92.0 % [85.0, 95.9] of 100 images is not shown to be above 90.0 %, "
        "which always answering healthy gives"
    )


def test_without_images_nothing_is_doubted() -> None:
    assert COMMON.doubts("the net", wilson(0, 0)) is None


def test_training_doubts_teacher_and_subnets() -> None:
    supernet = SupernetResult(epochs=1, select_top1={"smallest": wilson(88, 100), "largest": wilson(99, 100)}, most_frequent=COMMON)
    result = TrainResult(teacher=TeacherResult(name="cnn", select_top1=wilson(91, 100)), supernet=supernet, most_frequent=COMMON)
    assert [text.partition(":")[0] for text in result.doubts] == ["the teacher on select", "the smallest subnet on select"]
    assert SupernetResult(epochs=1, select_top1={"smallest": wilson(1, 100)}).doubts == ()


def test_a_search_doubts_its_winner_and_retraining_every_net() -> None:
    common = {"class_name": "8", "share": wilson(100, 100).as_json()}
    search = SearchResult.from_json(
        WRITTEN["SearchResult"] | {"most_frequent": dict.fromkeys(("select", "confirm", "both"), common)}
    )
    assert search.doubts is not None
    assert search.doubts.startswith("the winner")
    assert SearchResult.from_json(WRITTEN["SearchResult"]).doubts is None
    (said, *_) = RetrainResult.from_json(WRITTEN["RetrainResult"] | {"most_frequent": common}).doubts
    assert said.startswith("the net on test: accuracy ")
    assert RetrainResult.from_json(WRITTEN["RetrainResult"]).doubts == ()
