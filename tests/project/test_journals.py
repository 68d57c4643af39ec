"""Predictions are kept image by image, and nothing that is known is predicted again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenas.errors import RunFolderError
from edgenas.project.journals import JournaledEvaluator
from edgenas.runs import Journal
from edgenas.spaces import Genes

ROWS = np.array([[0, 1], [1, 1], [2, 0]], dtype=np.int16)
NUM = 10


class Counting:
    """Gives every net and image its own prediction, and counts them."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def __call__(self, genes_AG: Genes, image_indices: NDArray[np.int64], /) -> NDArray[np.float16]:
        self.asked.append((len(genes_AG), len(image_indices)))
        value_AM = genes_AG.sum(axis=1)[:, None] * 0.25 + image_indices * 0.03
        return np.stack([value_AM, 1 - value_AM], axis=2).astype(np.float16)


def evaluator(path: Path, at_once: int = 1) -> tuple[JournaledEvaluator, Counting]:
    inner = Counting()
    return JournaledEvaluator(inner, Journal(path, {"weights": 1}), "select", NUM, at_once), inner


def test_a_second_search_predicts_only_what_no_race_has_seen(tmp_path: Path) -> None:
    first, _ = evaluator(tmp_path / "j.jsonl")
    first(ROWS[:2], np.array([7, 2, 5]))
    first(ROWS[:1], np.array([2, 9]))
    first.journal.close()
    again, inner = evaluator(tmp_path / "j.jsonl")
    found_ANC = again(ROWS, np.arange(NUM))
    assert inner.asked == [(1, 6), (1, 7), (1, 10)]
    assert np.array_equal(found_ANC, Counting()(ROWS, np.arange(NUM)))
    assert np.array_equal(again(ROWS, np.array([9, 0, 5])), found_ANC[:, [9, 0, 5]])
    assert len(inner.asked) == 3
    again.journal.close()
    known, inner = evaluator(tmp_path / "j.jsonl")
    assert np.array_equal(known(ROWS, np.arange(NUM)), found_ANC)
    assert inner.asked == []


def test_predictions_of_all_images_are_entries_as_they_always_were(tmp_path: Path) -> None:
    journaled, _ = evaluator(tmp_path / "j.jsonl")
    journaled(ROWS, np.arange(NUM))
    assert sorted(journaled.journal.found) == ["select 0 1", "select 1 1", "select 2 0"]
    assert set(journaled.journal.found["select 0 1"]) == {"classes", "float16"}
    journaled.journal.close()


def test_nets_are_asked_together_where_they_miss_the_same_images(tmp_path: Path) -> None:
    journaled, inner = evaluator(tmp_path / "j.jsonl", at_once=8)
    journaled(ROWS[1:2], np.array([4]))
    journaled(ROWS, np.array([4, 6]))
    assert inner.asked == [(1, 1), (2, 2), (1, 1)]
    journaled.journal.close()


def test_images_beyond_the_split_are_refused_asked_for_or_kept(tmp_path: Path) -> None:
    journaled, _ = evaluator(tmp_path / "j.jsonl")
    with pytest.raises(ValueError, match="not all of 10"):
        journaled(ROWS, np.array([10]))
    wide, _ = evaluator(tmp_path / "j.jsonl")
    wide(ROWS, np.array([9]))
    wide.journal.close()
    narrow = JournaledEvaluator(Counting(), Journal(tmp_path / "j.jsonl", {"weights": 1}), "select", 9)
    with pytest.raises(RunFolderError, match="damaged"):
        narrow(ROWS, np.array([1]))
