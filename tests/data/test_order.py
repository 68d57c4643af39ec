from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenas.config import build
from edgenas.data.order import batch_slices, class_weights, epoch_length, epoch_order
from edgenas.errors import ConfigError
from edgenas.project.settings import ProjectSettings
from edgenas.project.training_settings import TrainSettings

LABELS_N = np.repeat([0, 2, 3], [40, 7, 13])  # no image of class 1


@given(num=st.integers(2, 400), batch_size=st.integers(1, 64))
def test_batches_are_even_and_never_a_single_image(num: int, batch_size: int) -> None:
    sizes = [len(range(num)[part]) for part in batch_slices(num, batch_size)]
    assert sum(sizes) == num
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= max(batch_size + 1, 3)


def test_a_single_image_is_one_batch() -> None:
    assert batch_slices(1, 8) == [slice(0, 1)]


def test_class_weights_are_inverse_frequencies_with_mean_one() -> None:
    labels_N = np.repeat([0, 1], [30, 10])
    weights_K = class_weights(labels_N, 2)
    assert np.isclose(weights_K[1] / weights_K[0], 3)
    assert np.isclose(weights_K[labels_N].mean(), 1)


@pytest.mark.parametrize(("balance", "repeats"), [("none", 1), ("weights", 3), ("sampler", 1), ("downsample", 1)])
def test_seed_and_epoch_decide_the_order_and_its_length_is_foretold(balance: str, repeats: int) -> None:
    orders = {
        tuple(epoch_order(LABELS_N, balance=balance, repeats=repeats, seed=seed, epoch=epoch).tolist())  # type: ignore[arg-type]
        for seed, epoch in ((0, 0), (0, 1), (1, 0), (0, 0))
    }
    assert len(orders) == 3
    assert {len(order) for order in orders} == {epoch_length(LABELS_N, balance)}  # type: ignore[arg-type]


def test_the_sampler_draws_every_class_as_often() -> None:
    labels_N = np.repeat([0, 1], [380, 20])
    drawn_N = labels_N[epoch_order(labels_N, balance="sampler", repeats=1, seed=0, epoch=0)]
    assert len(drawn_N) == 400
    assert 150 < int(drawn_N.sum()) < 250


def test_downsampling_keeps_as_many_of_every_class_as_the_smallest_has_and_repeats_none() -> None:
    order_N = epoch_order(LABELS_N, balance="downsample", repeats=1, seed=0, epoch=0)
    assert np.bincount(LABELS_N[order_N]).tolist() == [7, 0, 7, 7]
    assert len(set(order_N.tolist())) == 21


def test_downsampling_draws_anew_every_epoch_until_every_image_was_seen() -> None:
    seen: set[int] = set()
    for epoch in range(40):
        seen |= set(epoch_order(LABELS_N, balance="downsample", repeats=1, seed=3, epoch=epoch).tolist())
    assert len(seen) == len(LABELS_N)


@given(num=st.integers(1, 600), repeats=st.integers(2, 10), epoch=st.integers(0, 3))
def test_repeats_follow_each_other_and_the_epoch_keeps_its_length(num: int, repeats: int, epoch: int) -> None:
    order = epoch_order(np.zeros(num, dtype=np.int64), balance="none", repeats=repeats, seed=1, epoch=epoch).tolist()
    runs = [(index, len(list(run))) for index, run in itertools.groupby(order)]
    assert len(order) == num
    assert len({index for index, _ in runs}) == len(runs) == -(-num // repeats)
    assert all(length == repeats for _, length in runs[:-1])


@pytest.mark.parametrize("balance", ["sampler", "downsample"])
def test_repeats_do_not_go_with_a_sampler(balance: str) -> None:
    with pytest.raises(ValueError, match=f"repeats 3 goes with balance none or weights, not with {balance}"):
        TrainSettings(repeats=3, balance=balance)  # type: ignore[arg-type]
    assert TrainSettings(repeats=3).balance == "weights"


def test_settings_of_loading_have_limits() -> None:
    with pytest.raises(ConfigError) as caught:
        build(ProjectSettings, {"data": {"source": "digits", "workers": 65}, "train": {"repeats": 11}}, source="edgenas.toml")
    assert caught.value.problems == (
        "data.workers is 65; allowed: a whole number at least 0 and at most 64",
        "train.repeats is 11; allowed: a whole number at least 1 and at most 10",
    )
    assert build(ProjectSettings, {"data": {"source": "digits", "workers": 0}}, source="edgenas.toml").data.workers == 0
