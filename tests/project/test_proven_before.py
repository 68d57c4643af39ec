"""A search that continues takes the best nets that earlier ones have proven."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgenas.project.journals import journal
from edgenas.project.searching.proven_before import proven_before
from edgenas.runs import Note, Record
from edgenas.search.finalists import Finalist
from tests.project.test_proof import finalist

NETS = [finalist(number) for number in range(6)]
LIKELIHOODS: dict[int, float] = {0: -0.5, 2: -0.3, 3: -0.4, 5: -0.6}  # of those that were proven


class FakePanel:
    """Candidates 0 to 5, of which those that are asked for are judged."""

    def __init__(self, proof_nets: int) -> None:
        settings = SimpleNamespace(search=SimpleNamespace(proof_nets=proof_nets))
        space = SimpleNamespace(to_json=lambda row_G: {"number": int(row_G[0])})
        self.project = SimpleNamespace(settings=settings, space=space)
        self.candidates = [net.candidate for net in NETS]

    def judge(self, chosen: Sequence[int]) -> Generator[Record, None, list[Finalist]]:
        yield from ()
        return [NETS[place] for place in chosen]


def asked(
    folder: Path, likelihoods: dict[int, float], finalists: Sequence[int], *, proof_nets: int = 2, has_others: bool = False
) -> tuple[list[int], set[int], list[str]]:
    """Numbers of the nets that are added and of all that are known, and what is told."""
    known = {str(number): likelihood for number, likelihood in likelihoods.items()}
    known |= {"of other epochs": -0.1} if has_others else {}
    prover: Any = SimpleNamespace(epochs=9, memory=known, log_likelihood=lambda arch, epochs: likelihoods.get(arch["number"]))
    earlier: Any = SimpleNamespace(candidates=[net.candidate for net in NETS])
    panel: Any = FakePanel(proof_nets)
    told = []
    with journal(folder / "journal.jsonl", {}, keep=True) as memory:
        steps = proven_before(panel, prover, [NETS[number] for number in finalists], earlier, memory)
        while True:
            try:
                record = next(steps)
            except StopIteration as stopped:
                fresh, known = stopped.value
                return [each.row.arch["number"] for each in fresh], {genes[0] for genes in known}, told
            told += [str(record.text)] if isinstance(record, Note) else []


def test_the_best_proven_ones_take_part_beside_the_finalists(tmp_path: Path) -> None:
    text = "proof: 1 net that earlier searches have proven, beside the finalists, at no cost"
    assert asked(tmp_path, LIKELIHOODS, [3, 4]) == ([2], {2, 3}, [text])


@pytest.mark.parametrize(("likelihoods", "known"), [(LIKELIHOODS, {2, 3}), ({}, set())])
def test_where_nothing_is_new_nothing_is_told(tmp_path: Path, likelihoods: dict[int, float], known: set[int]) -> None:
    assert asked(tmp_path, likelihoods, [2, 3]) == ([], known, [])


def test_where_none_of_those_that_were_proven_counts_it_is_told_once(tmp_path: Path) -> None:
    fresh, known, told = asked(tmp_path, {}, [2, 3], has_others=True)
    assert (fresh, known) == ([], set())
    (text,) = told
    assert text.startswith("proof: no net that earlier searches have proven takes part: ")
    assert "trained alone for 9 epochs with these settings" in text
    assert asked(tmp_path, {}, [2, 3], has_others=True) == ([], set(), [])


def test_a_search_that_was_stopped_takes_what_was_known_when_it_began(tmp_path: Path) -> None:
    first = asked(tmp_path, LIKELIHOODS, [4])
    assert first[0] == [2, 3]
    assert asked(tmp_path, {**LIKELIHOODS, 1: -0.1, 4: -0.2}, [4]) == first
