"""What a search that continues knows from before."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgenas.project.journals import pack
from edgenas.project.searching.continuing import EarlierNets, known_notes, known_rows, merged, num_predicted
from edgenas.runs import Journal
from edgenas.search import Candidate, EvolutionSettings
from edgenas.spaces import get_space

SPACE = get_space("pvt-nano")
ROWS = SPACE.sample(4, np.random.default_rng(0))


def candidate(row: np.ndarray, top1: float = 0.5) -> Candidate:
    return Candidate(tuple(int(gene) for gene in row), 0, "earlier", np.zeros((2, 2), dtype=np.float16), top1, -0.5, 0.0)


def predictions(num: int) -> object:
    return pack(np.full((num, 3), 0.25))


def key(row: np.ndarray, split: str = "select") -> str:
    return f"{split} {' '.join(map(str, row.tolist()))}"


def test_nets_are_known_whose_predictions_of_all_images_are_there_in_one_piece_or_in_parts(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "evaluations.jsonl", {"weights": 1})
    journal.record(f"{key(ROWS[1])} +0", predictions(4))
    journal.record(key(ROWS[0]), predictions(10))
    journal.record(f"{key(ROWS[2])} +0", predictions(4))
    journal.record(key(ROWS[3], "confirm"), predictions(10))
    journal.record(f"{key(ROWS[1])} +4", predictions(6))
    journal.record("select 1 2 3", predictions(10))
    journal.close()
    assert [row.tolist() for row in known_rows(SPACE, journal, 10)] == [ROWS[0].tolist(), ROWS[1].tolist()]


def test_an_entry_that_cannot_be_read_is_of_no_image() -> None:
    assert num_predicted({"classes": 0, "float16": ""}) == num_predicted({}) == num_predicted({"classes": 2, "float16": "?"}) == 0
    assert num_predicted(predictions(7).as_json()) == 7  # type: ignore[attr-defined]  # a record


def test_the_best_earlier_nets_are_given_to_a_search_that_evaluates_as_many_others() -> None:
    sizes = EvolutionSettings(num_generations=2, population=6, num_mutations=3, num_crossovers=3)
    earlier = EarlierNets(4, tuple(candidate(row) for row in ROWS))
    begun, start = earlier.begun(sizes, {"even": ROWS[:1]})
    assert begun.budget - sizes.budget == 3
    assert list(start) == ["earlier", "even"]
    assert start["earlier"].tolist() == ROWS[:3].tolist()
    assert EarlierNets(4, ()).begun(sizes, {"even": ROWS[:1]})[0] == sizes


def test_a_net_that_is_evaluated_again_stands_once_among_the_candidates() -> None:
    first, second, third = (candidate(row) for row in ROWS[:3])
    assert merged([first, second], [candidate(ROWS[1], 0.9), third]) == [first, second, third]


def test_what_is_known_is_said(tmp_path: Path) -> None:
    path = tmp_path / "evaluations.jsonl"
    journal = Journal(path, {"weights": 1})
    assert list(known_notes(None, journal)) == []
    (nothing,) = known_notes(EarlierNets(0, ()), journal)
    assert nothing.is_warning
    assert nothing.text == f"{path} gives nothing to continue from: nothing was evaluated yet; this search begins anew"
    journal.record(key(ROWS[0]), predictions(10))
    journal.close()
    (known,) = known_notes(None, journal)
    assert known.text == "1 predictions of these weights are known from before"
    (some,) = known_notes(EarlierNets(3, (candidate(ROWS[0]),)), journal)
    assert some.text == "3 nets were evaluated before with these weights; 1 of them meet these hard limits and take part at no cost"
    (other,) = known_notes(EarlierNets(0, ()), Journal(path, {"weights": 2}))
    assert "the evaluations there are of other weights or images" in other.text
