"""How long a proof is, and what it knows from before."""

from __future__ import annotations

from collections.abc import Generator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenas.project.nets import proof_epochs, scratch_epochs
from edgenas.project.searching.proof import Prover, prove
from edgenas.runs import Record
from edgenas.search.finalists import Finalist, choose
from tests.project.test_proof import finalist

LABELS_N = np.arange(40) % 2
IMAGES = SimpleNamespace(labels=lambda name: LABELS_N[:20])


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Numbers and epochs of the nets that were trained; the higher the number, the surer of the right classes."""
    seen: list[tuple[int, int]] = []

    def predictions(self: Prover, arch: Any, epochs: int, label: str) -> Generator[Record, None, NDArray[np.float16]]:
        seen.append((arch["number"], epochs))
        right = 0.5 + 0.01 * arch["number"]
        yield from ()
        return np.where(LABELS_N[:, None] == np.arange(2), right, 1 - right).astype(np.float16)

    monkeypatch.setattr(Prover, "predictions", predictions)
    monkeypatch.setattr(Prover, "seconds", lambda self, archs, epochs: 60.0)
    monkeypatch.setattr(Prover, "seconds_of_some", lambda self, archs, num, epochs: 60.0)
    monkeypatch.setattr(Prover, "spent", lambda self, finalists: (0.0, 0))
    return seen


def proven(num: int, epochs: int, known: set[tuple[int, ...]]) -> list[Finalist]:
    """The finalists after the proof of ``num`` nets."""
    prover = Prover(None, IMAGES, None, "cpu", None, epochs)  # type: ignore[arg-type]  # it trains nothing here
    steps = prove(prover, [finalist(number) for number in range(num)], (), no_more, known=known)
    while True:
        try:
            next(steps)
        except StopIteration as stopped:
            return list(stopped.value.finalists)


def no_more(num: int, score: object) -> Generator[Record, None, list[Finalist]]:
    yield from ()
    return []


def test_what_is_known_is_in_the_last_rung_whatever_the_first_says(trained: list[tuple[int, int]]) -> None:
    finalists = proven(9, 9, {(0,), (8,)})
    assert {number for number, epochs in trained if epochs == 9} == {0, 6, 7, 8}
    winner = choose(finalists)
    assert winner is not None
    assert winner.row.arch["number"] == 8
    known = finalists[0].proof
    assert known is not None
    assert known.epochs == 9


def test_without_anything_known_the_best_third_goes_on(trained: list[tuple[int, int]]) -> None:
    assert len(proven(9, 9, set())) == 9
    assert {number for number, epochs in trained if epochs == 9} == {6, 7, 8}


@pytest.mark.parametrize(
    ("asked", "retrain", "wanted"),
    [
        (None, {"scratch_epochs": 60, "start": "scratch"}, 36),
        (None, {"scratch_epochs": None, "start": "auto", "epochs": 5}, 9),
        (None, {"scratch_epochs": None, "start": "scratch", "epochs": 5}, 3),
        (None, {"scratch_epochs": None, "start": "inherited", "epochs": 5}, 30),
        (7, {"scratch_epochs": 60}, 7),
        (0, {"scratch_epochs": 60}, 0),
    ],
)
def test_a_proof_is_as_long_as_the_training_that_follows_asks_for(
    asked: int | None, retrain: dict[str, Any], wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgenas.project.nets.supernet_epochs", lambda project: 10)
    settings = SimpleNamespace(search=SimpleNamespace(proof_epochs=asked), retrain=SimpleNamespace(**retrain))
    project: Any = SimpleNamespace(settings=settings)
    assert proof_epochs(project) == wanted
    assert scratch_epochs(project) in (60, 15, 5)
