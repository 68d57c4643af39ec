"""Going on from what earlier searches evaluated with the same weights, whatever their limits were."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import ArchError, RunFolderError
from edgenas.latency import Memory
from edgenas.project.searching.question import Question
from edgenas.records import PackedPredictions
from edgenas.runs import Journal, Note
from edgenas.search import Candidate, Evaluator, EvolutionSettings, Judge, total_violation
from edgenas.spaces import Genes, SearchSpace
from edgenas.training.sampling import as_key

ORIGIN = "earlier"
NUM_KNOWN = "known when it was continued"  # key in the journal of a question
SPLIT = "select"


@dataclass(frozen=True, slots=True)
class EarlierNets:
    """Nets that were evaluated before.

    Attributes:
        num_known: whatever they cost.
        candidates: those that meet the limits, the best first; generation 0.
    """

    num_known: int
    candidates: tuple[Candidate, ...]

    def begun(self, settings: EvolutionSettings, start: Mapping[str, Genes]) -> tuple[EvolutionSettings, dict[str, Genes]]:
        """A search that starts with the best of them beside what it would start with, and evaluates as many others as it would.

        Half as many as its first population are given to it; they are known, and its sizes grow by their number.
        """
        best = self.candidates[: max(1, settings.population // 2)]
        if not best:
            return settings, dict(start)
        rows_AG = np.array([candidate.genes for candidate in best], dtype=np.int16)
        known = {candidate.genes for candidate in self.candidates}
        fresh = {
            origin: each_AG[[as_key(row_G) not in known for row_G in each_AG]] for origin, each_AG in start.items() if len(each_AG)
        }
        return replace(settings, population=settings.population + len(best)), {ORIGIN: rows_AG, **fresh}


def earlier_nets(question: Question, evaluate: Evaluator, evaluations: Journal, memory: Memory) -> EarlierNets:
    """What is known of the nets that meet the limits.

    Args:
        question: limits and images.
        evaluate: reads predictions from ``evaluations``.
        evaluations: of these weights.
        memory: of this question. How many nets were known when it was first put is kept there, so that a search that was stopped
            takes the same way again.
    """
    known = list(known_rows(question.project.space, evaluations, len(question.labels_N)))
    if memory.recall(NUM_KNOWN) is None and known:
        memory.record(NUM_KNOWN, len(known))
    known = known[: memory.recall(NUM_KNOWN)]
    if not known:
        return EarlierNets(0, ())
    rows_AG = np.array(known, dtype=np.int16)
    allowed_AG = rows_AG[total_violation(question.costing.limits, rows_AG) == 0]
    candidates = Judge(evaluate, question.labels_N, question.floors)(allowed_AG, 0, ORIGIN)
    return EarlierNets(len(known), tuple(sorted(candidates, key=lambda candidate: candidate.rank)))


def known_notes(earlier: EarlierNets | None, evaluations: Journal) -> Iterator[Note]:
    """What is known of these weights, and what of it a search that continues has of it; ``earlier`` is None for another."""
    if earlier is None:
        if len(evaluations):
            yield Note(f"{len(evaluations):,} predictions of these weights are known from before")
    elif earlier.num_known:
        text = f"{earlier.num_known:,} nets were evaluated before with these weights"
        yield Note(f"{text}; {len(earlier.candidates):,} of them meet these hard limits and take part at no cost")
    else:
        what = "the evaluations there are of other weights or images" if evaluations.is_other else "nothing was evaluated yet"
        yield Note(f"{evaluations.path} gives nothing to continue from: {what}; this search begins anew", is_warning=True)


def known_rows(space: SearchSpace, evaluations: Journal, num_images: int) -> Iterator[NDArray[np.int16]]:
    """Rows of the nets whose predictions of all images of select are known, in the order in which they came to be.

    A net may have one entry of all images, or several of some, whose keys end with ``+`` and a number.
    """
    known: dict[str, int] = {}
    for key, value in evaluations.found.items():
        (split, _, genes), num = key.partition(" +")[0].partition(" "), num_predicted(value)
        if split != SPLIT or known.get(genes, 0) >= num_images:
            continue
        known[genes] = known.get(genes, 0) + num
        if known[genes] < num_images:
            continue
        try:
            row = space.row([int(gene) for gene in genes.split()])
        except (ValueError, ArchError):
            continue  # of another space
        yield np.array(row, dtype=np.int16)


def num_predicted(entry: Any) -> int:
    """Images of an entry of the journal; 0 of one that cannot be read."""
    try:
        packed = PackedPredictions.from_json(entry)
        return len(base64.b64decode(packed.float16)) // (2 * packed.classes)
    except (RunFolderError, ValueError, ZeroDivisionError):
        return 0


def merged(earlier: Sequence[Candidate], fresh: Sequence[Candidate]) -> list[Candidate]:
    """All nets once, the earlier ones first."""
    known = {candidate.genes for candidate in earlier}
    return [*earlier, *(candidate for candidate in fresh if candidate.genes not in known)]
