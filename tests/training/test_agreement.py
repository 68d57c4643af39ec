"""A given net whose outputs mean other classes is found out."""

from __future__ import annotations

import numpy as np
import pytest

from edgenas.errors import CheckpointError
from edgenas.training.agreement import agreement, natural_key, require_agreement, require_no_better


def answers(labels_N: np.ndarray, meant: list[int], *, right: float = 1.0) -> np.ndarray:
    """Of a net that says ``k`` for the class ``meant[k]``, and anything for a share of the images."""
    rng = np.random.default_rng(0)
    said = np.argsort(meant)[labels_N]
    return np.where(rng.random(len(labels_N)) < right, said, rng.integers(0, len(meant), len(labels_N)))


def test_natural_sorting_is_found_and_named_with_its_setting() -> None:
    names = ["1", "10", "2", "x"]
    labels_N = np.repeat(np.arange(4), 12)
    found = agreement(answers(labels_N, [0, 2, 1, 3], right=0.9), labels_N, 4)
    with pytest.raises(CheckpointError, match=r"that of natural sorting, 1, 2, 10, x of its outputs") as caught:
        require_agreement(found, "teacher t", names, names)
    assert caught.value.hint == """--set 'teacher.classes=["1", "2", "10", "x"]'"""


def test_an_order_that_was_given_and_is_wrong_is_mended_from_there() -> None:
    names, given = ["a", "b", "c"], ["b", "c", "a"]  # the outputs truly are c, b, a
    labels_N = np.repeat(np.arange(3), 12)
    true_output = np.array([2, 1, 0])[labels_N]
    answered_N = np.array([names.index(given[output]) for output in true_output])
    with pytest.raises(CheckpointError) as caught:
        require_agreement(agreement(answered_N, labels_N, 3), "teacher t", given, names)
    assert 'teacher.classes=["c", "b", "a"]' in caught.value.hint


def test_random_answers_of_many_classes_are_no_other_order() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        labels_N = np.repeat(np.arange(10), 6)
        assert agreement(rng.integers(0, 10, 60), labels_N, 10).meant is None


def test_a_good_net_passes_without_a_word() -> None:
    labels_N = np.repeat(np.arange(3), 10)
    assert require_agreement(agreement(labels_N, labels_N, 3), "teacher t", "abc", "abc") is None


@pytest.mark.parametrize("num", [200, 1000])
def test_constant_answers_are_no_better_than_chance(num: int) -> None:
    labels_N = np.arange(num) % 2
    with pytest.raises(CheckpointError, match="nothing to teach"):
        require_agreement(agreement(np.zeros(num, dtype=np.int64), labels_N, 2), "teacher t", "ab", "ab")


def test_few_images_that_tell_nothing_are_a_warning() -> None:
    labels_N = np.arange(12) % 2
    warning = require_agreement(agreement(np.zeros(12, dtype=np.int64), labels_N, 2), "teacher t", "ab", "ab")
    assert warning is not None
    assert "by chance: too few images" in warning


def test_a_rare_class_that_is_found_is_worth_more_than_always_saying_the_other() -> None:
    labels_N = (np.arange(1000) % 20 == 0).astype(np.int64)
    answered_N = labels_N.copy()
    answered_N[1:120:2] = 1  # 60 false alarms: less often right than always saying 0
    assert (answered_N == labels_N).mean() < 0.95
    assert require_agreement(agreement(answered_N, labels_N, 2), "teacher t", "ab", "ab") is None


def test_another_mean_and_deviation_that_fit_better_are_named() -> None:
    labels_N = np.arange(40) % 2
    chance, swapped = agreement(np.zeros(40, dtype=np.int64), labels_N, 2), agreement(1 - labels_N, labels_N, 2)
    with pytest.raises(CheckpointError) as caught:
        require_no_better(chance, swapped, "teacher t", ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2)), "ab", "ab")
    assert "teacher.mean=[0.5, 0.5, 0.5]" in caught.value.hint
    assert 'teacher.classes=["b", "a"]' in caught.value.hint


def test_numbers_in_names_sort_as_numbers() -> None:
    assert sorted(["img10", "IMG2", "b1", "2", "10"], key=natural_key) == ["2", "10", "b1", "IMG2", "img10"]
