"""Races of a search: how they are set, and what is said of nets that were dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgenas.project.searching.question import Question
from edgenas.project.settings import SearchSettings
from edgenas.records import CandidateRow, Evaluations
from edgenas.search import Candidate, Evaluator, Judge, Raced
from edgenas.search.finalists import Finalist


def raced(settings: SearchSettings, evaluate: Evaluator) -> Evaluator:
    """The evaluator, its nets raced against the last of the finalists, where that is asked for.

    Parents, and nets that are proven, may be among those that were dropped: these are ordered by what is expected of them.
    """
    if settings.racing == "none":
        return evaluate
    return Raced(evaluate, error=settings.racing, keep=settings.num_finalists, margin=settings.racing_margin)


def with_races(evaluations: Evaluations, described: Sequence[CandidateRow]) -> Evaluations:
    """With what races dropped, where they dropped any net."""
    dropped = [row.raced for row in described if row.raced is not None]
    if not dropped:
        return evaluations
    seen = sum(each.images for each in dropped) + (len(described) - len(dropped)) * evaluations.images
    return replace(evaluations, dropped=len(dropped), images_share=seen / (len(described) * evaluations.images))


def whole(candidate: Candidate, question: Question, evaluate: Evaluator) -> Candidate:
    """The net as it is on all images of select, whether a race dropped it or not."""
    if candidate.images_M is None:
        return candidate
    judge = Judge(evaluate, question.labels_N, question.floors)
    return judge(np.array([candidate.genes], dtype=np.int16), candidate.generation, candidate.origin)[0]


def completed(candidates: Sequence[Candidate], finalists: Sequence[Finalist]) -> list[Candidate]:
    """All candidates, finalists that were dropped before as they are now that they have seen all images."""
    seen = {finalist.candidate.genes: finalist.candidate for finalist in finalists}
    return [seen.get(candidate.genes, candidate) for candidate in candidates]


def with_finalists(
    question: Question, candidates: Sequence[Candidate], described: Sequence[CandidateRow], finalists: Sequence[Finalist]
) -> list[CandidateRow]:
    """All rows, those of finalists that were dropped before as they are now that they have seen all images."""
    seen = {finalist.candidate.genes: finalist.candidate for finalist in finalists}
    return [
        row if candidate.images_M is None or candidate.genes not in seen else question.describe(seen[candidate.genes])
        for candidate, row in zip(candidates, described, strict=True)
    ]
