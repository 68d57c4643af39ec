"""The ways in which a net is trained: their names, and the learning rates of fresh weights."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from edgenas.project.comparing.rivals import ways_for
from edgenas.project.retraining.ways import ways_of
from edgenas.project.settings import RetrainSettings
from edgenas.project.training_settings import TrainSettings
from edgenas.records import RivalFacts
from edgenas.training.ways import Way, fresh_ways

RATES = (1e-3, 4e-3)
TRAIN = TrainSettings()
RIVAL = RivalFacts(kind="timm", model="resnet18", image_px=32)


def project(*rates: float) -> Any:
    retrain = RetrainSettings(start="scratch", teaching="labels", scratch_learning_rates=rates)
    return SimpleNamespace(settings=SimpleNamespace(train=TRAIN, retrain=retrain))


def test_one_learning_rate_is_no_choice_and_no_part_of_a_name() -> None:
    (way,) = fresh_ways("labels", 9, [4e-3, 4e-3])
    assert way == Way("scratch", "labels", 9, 4e-3)
    assert (way.name, str(way), way.chosen_rate) == ("scratch-labels", "fresh weights, labels alone", None)


def test_several_learning_rates_have_a_folder_each() -> None:
    ways = fresh_ways("labels", 9, RATES)
    assert [way.name for way in ways] == ["scratch-labels-0.001", "scratch-labels-0.004"]
    assert str(ways[0]) == "fresh weights, labels alone, learning rate 0.001"
    assert [way.chosen_rate for way in ways] == list(RATES)


@pytest.mark.parametrize("rates", [(), (1e-3,), RATES])
def test_rivals_are_trained_at_the_rates_of_the_runs_own_nets(rates: tuple[float, ...]) -> None:
    expected = list(rates or (TRAIN.learning_rate,))
    own = ways_of(project(*rates), ("labels",), scratch_epochs=9)
    theirs = ways_for(project(*rates).settings, RIVAL, ("labels",), 9)
    assert [way.learning_rate for way in own] == [way.learning_rate for way in theirs] == expected
    assert own == theirs


def test_weights_of_a_file_are_trained_at_the_rate_of_given_weights_alone() -> None:
    (way,) = ways_for(project(*RATES).settings, replace(RIVAL, pretrained="w.pth"), ("labels",), 9)
    assert way == Way("given", "labels", 9, RetrainSettings().learning_rate)
