"""The answers of a search: its result, that nothing meets the limits, or that nothing was left of what did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgenas.errors import InfeasibleError
from edgenas.project.searching.continuing import EarlierNets
from edgenas.project.searching.costing import infeasible, nearest_of
from edgenas.project.searching.elsewhere import other_spaces
from edgenas.project.searching.floors import floor_confidence, nearest_floors
from edgenas.project.searching.proof import Proven
from edgenas.project.searching.question import Question
from edgenas.project.searching.races import with_races
from edgenas.records import (
    AT_LEAST,
    CandidateRow,
    Evaluations,
    MostFrequent,
    Nearest,
    NothingFound,
    SearchResult,
    SpaceFacts,
    lower_name,
)
from edgenas.search import Feasibility
from edgenas.search.constraints import FLOOR
from edgenas.search.finalists import Finalist, choose, optimism
from edgenas.search.limits import in_reach
from edgenas.search.proof_scores import first_epochs
from edgenas.training.evaluation import most_frequent_class
from edgenas.training.folder import weights_sha256


def nothing_found(question: Question, surveyed: Feasibility, facts: SpaceFacts) -> InfeasibleError:
    """No net that was looked at meets the limits, so none was evaluated."""
    costing, nearest = question.costing, nearest_of(question.costing, surveyed)
    others = other_spaces(costing, question.images.task)
    known = NothingFound(
        space=facts,
        limits=question.limits,
        table=costing.table,
        tables=costing.tables,
        promises=costing.promises,
        evaluations=_evaluations(question, surveyed, ()),
        closest=nearest,
        binding=surveyed.binding,
        other_spaces=others,
    )
    return infeasible(costing, surveyed, nearest, others, known)


def _evaluations(question: Question, surveyed: Feasibility, described: Sequence[CandidateRow]) -> Evaluations:
    """What was looked at; floors reject evaluated nets alone."""
    low = {floor.name: sum(floor.name in row.rejected_by for row in described) for floor in question.floors if described}
    evaluations = Evaluations(
        candidates=len(surveyed.genes_AG),
        evaluated=len(described),
        images=len(question.labels_N),
        rejected={**surveyed.rejected, **low},
    )
    return with_races(evaluations, described)


def result_of(
    question: Question,
    surveyed: Feasibility,
    facts: SpaceFacts,
    described: Sequence[CandidateRow],
    proven: Proven,
    search_s: float,
    earlier: EarlierNets | None,
) -> SearchResult:
    """What the search found; ``search_s`` are its seconds without the proof."""
    strict = question.project.settings.search.strict_sensitivity
    winner, (proof_s, proof_epochs) = choose(proven.finalists, strict=strict), proven.spent
    first = first_epochs(question.proof_epochs)
    return SearchResult(
        splits_sha256=question.images.splits.sha256,
        supernet_sha256=weights_sha256(question.project.run.supernet),
        space=facts,
        limits=question.limits,
        table=question.costing.table,
        tables=question.costing.tables,
        promises=question.costing.promises,
        evaluations=replace(
            _evaluations(question, surveyed, described), earlier=None if earlier is None else len(earlier.candidates)
        ),
        finalists=tuple(finalist.row for finalist in proven.finalists),
        winner=winner.row if winner is not None else None,
        closest=None if winner is None or not winner.row.rejected_by else nearest_floors(question.floors, proven.finalists),
        binding=surveyed.binding,
        optimism=optimism(proven.finalists, question.labels_N, winner) or None,
        floor_confidence=floor_confidence(question.floors),
        seed=question.project.settings.search.seed,
        fidelity=proven.result(first) if any(finalist.proof is not None for finalist in proven.finalists) else None,
        seconds=round(search_s + proof_s, 1),
        proof_epochs=proof_epochs,
        positive=None if question.images.positive is None else question.images.class_names[question.images.positive],
        most_frequent=_most_frequent(question),
    )


def _most_frequent(question: Question) -> dict[str, MostFrequent]:
    """The most frequent class of the splits that judge, and what always answering it gives."""
    select_N, confirm_N = question.images.labels("select"), question.images.labels("confirm")
    labels = {"select": select_N, "confirm": confirm_N, "both": np.concatenate([select_N, confirm_N])}
    classes = {name: most_frequent_class(labels_N, question.images.class_names) for name, labels_N in labels.items()}
    return {name: each for name, each in classes.items() if each is not None}


def nothing_left(question: Question, result: SearchResult, judged: Sequence[Finalist]) -> InfeasibleError:
    """Nets were feasible as predicted, but none of the best met the floors, or the latency when measured."""
    nearest: dict[str, Nearest] = {}
    for device in question.costing.devices:
        name, limit_ms = device.name, device.limit_ms
        if limit_ms is not None and judged and all(name in finalist.row.rejected_by for finalist in judged):
            fastest = min(judged, key=lambda finalist: finalist.measured[name])
            nearest[name] = Nearest(asked=limit_ms, achievable=fastest.measured[name], arch=fastest.row.arch)
        name, least_ms = lower_name(device.name), device.least_ms
        if least_ms is not None and judged and all(name in finalist.row.rejected_by for finalist in judged):
            slowest = max(judged, key=lambda finalist: finalist.measured[device.name])
            nearest[name] = Nearest(asked=least_ms, achievable=slowest.measured[device.name], arch=slowest.row.arch)
    nearest |= nearest_floors(question.floors, judged)
    problems = [f"{name}: asked {entry.asked:.12g}, best found {_found(name, entry)}" for name, entry in nearest.items()]
    return InfeasibleError(
        "none of the nets that were tried meets every limit",
        problems=problems,
        hint="loosen the limit, search longer, or train the supernet longer",
        result=replace(result, closest=nearest).as_json(),
    )


def _found(name: str, entry: Nearest) -> str:
    """The best that was found, never rounded to what was not."""
    is_lower = name.endswith(AT_LEAST) or name.startswith(FLOOR)
    return "none" if entry.achievable is None else in_reach(entry.achievable, is_lower=is_lower)
