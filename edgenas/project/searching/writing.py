"""Files of a search: its candidates, its result, and what is to be drawn of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from edgenas.project.results import RESULT
from edgenas.project.searching.analysis import TOP1, analyse, evaluated
from edgenas.project.searching.objective_axes import axes_of
from edgenas.project.searching.question import Question
from edgenas.records import AnalysisPicture, CandidateRow, FrontFacts, ParetoPicture, SearchAnalysis, SearchResult
from edgenas.runs import Picture, dump_json, write_text
from edgenas.search import Candidate, UpperLimit
from edgenas.search.objectives import ACCURACY

Part = Literal["hypervolume", "top", "importance", "prices"]


def main_cost(question: Question) -> tuple[str, float | None]:
    """The cost that nets are drawn over, as a key of their rows, and the limit on it: the first device's latency, else MACs."""
    if not question.costing.devices:
        return "macs", question.limits.get("macs")
    first = question.costing.devices[0]
    return ("latency_ms_predicted" if first.bound is None else "latency_ms_upper"), question.limits.get(first.name)


def _others(question: Question) -> list[UpperLimit]:
    """Upper limits on other costs than the main one."""
    main = question.costing.devices[0].name if question.costing.devices else "macs"
    return [limit for limit in question.costing.limits if isinstance(limit, UpperLimit) and limit.name != main]


def analysis_of(question: Question, candidates: Sequence[Candidate], described: Sequence[CandidateRow]) -> SearchAnalysis | None:
    """What the evaluated nets say together; None where none has seen all images."""
    cost, limit = main_cost(question)
    images, space = question.images, question.project.space
    nets = evaluated(
        candidates,
        described,
        question.labels_N,
        [choice.name for choice in space.choices],
        cost=cost,
        limit=limit,
        positive=None if images.positive is None else (images.class_names[images.positive], images.positive),
        limited=_others(question),
        drawn=axes_of(question, candidates, described),
    )
    return analyse(nets, question.project.settings.search.seed) if nets.rows else None


def write(
    question: Question, described: Sequence[CandidateRow], result: SearchResult
) -> tuple[dict[str, Path], list[Picture[ParetoPicture | AnalysisPicture]]]:
    """Write candidates and result.

    Returns:
        All files by name, and the pictures that are still to be drawn into theirs.
    """
    folder = question.project.run.search
    rows, outcome = folder / "search.jsonl", folder / RESULT
    write_text(rows, "".join(dump_json(row, indent=None) + "\n" for row in described))
    outputs = {"candidates": rows}
    pictures = list(_pictures(question, described, result, outputs))
    result.write(outcome)  # without a winner too: an earlier one did not meet these limits
    return {**outputs, "result": outcome}, pictures


def _pictures(
    question: Question, described: Sequence[CandidateRow], result: SearchResult, outputs: dict[str, Path]
) -> Iterator[Picture[ParetoPicture | AnalysisPicture]]:
    """What is to be drawn; the files are added to ``outputs``."""
    (cost, limit), analysis, rows = main_cost(question), result.analysis, tuple(described)
    name = f"{question.project.space.name} on {question.project.settings.data.source}"
    pareto = ParetoPicture(
        rows=rows,
        front=() if analysis is None else analysis.front.drawn,
        cost=cost,
        limit=limit,
        winner=result.winner,
        title=f"{name}: {len(rows):,} nets evaluated",
        words=None if analysis is None else _words(question, analysis.front),
        axes=() if analysis is None else analysis.front.axes or (),
        asked=question.goals or (),
        unbeaten=() if analysis is None or len(question.objectives) < 3 else analysis.front.rows,
    )
    folder = question.project.run.search
    yield Picture(pareto, _files(folder, "pareto", outputs))
    if analysis is None:
        return
    shown: Mapping[Part, bool] = {
        "hypervolume": analysis.hypervolume is not None,
        "top": analysis.top is not None,
        "importance": any(each.rows for each in analysis.importance),
        "prices": bool(analysis.prices),
    }
    for part in get_args(Part):
        paths = _files(folder, part, outputs if shown[part] else {})
        if shown[part]:
            yield Picture(
                AnalysisPicture(part=part, analysis=analysis, rows=rows, cost=cost, winner=result.winner, title=name), paths
            )
        for path in paths if not shown[part] else ():
            path.unlink(missing_ok=True)  # an earlier search's, which says nothing of this one


def _words(question: Question, front: FrontFacts) -> str | None:
    """That the images are too few to tell nets of the drawn front apart, where that was tried: over the main cost."""
    if front.axes is None:
        return front.words.get(TOP1)
    x, y = front.axes[:2]
    main = question.costing.devices[0].name if question.costing.devices else "macs"
    return front.words.get(TOP1 if y.name == ACCURACY else y.name) if x.name == main and not x.maximize else None


def _files(folder: Path, name: str, outputs: dict[str, Path]) -> tuple[Path, ...]:
    """A picture's files, added to ``outputs``."""
    paths = {f"{name}_{kind}": folder / f"{name}.{kind}" for kind in ("png", "svg")}
    outputs.update(paths)
    return tuple(paths.values())
