"""`edgenas search`: the most accurate subnets under hard limits, the finalists measured before one is chosen."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from edgenas.config import Flags
from edgenas.data.images import Images, decode
from edgenas.project.early import require_classes
from edgenas.project.journals import EVALUATIONS, JOURNAL, PROOFS, journal
from edgenas.project.nets import load_supernet
from edgenas.project.opening import open_images, open_project
from edgenas.project.paging.writing import page_beside
from edgenas.project.planning.pace import evolution_settings
from edgenas.project.searching.answers import nothing_found, nothing_left, result_of
from edgenas.project.searching.continuing import EarlierNets, earlier_nets, known_notes, merged
from edgenas.project.searching.costing import open_costing, space_facts, survey_line
from edgenas.project.searching.evaluating import by_workers, evaluator_on
from edgenas.project.searching.finalists import Panel, further, judge_finalists
from edgenas.project.searching.floors import (
    are_thresholds_needed,
    idle_notes,
    require_floors,
    told_low,
    with_thresholds,
)
from edgenas.project.searching.proof import Proven, Prover, prove
from edgenas.project.searching.proven_before import proven_before
from edgenas.project.searching.question import Question, ask, require_algorithm
from edgenas.project.searching.races import completed, raced, with_finalists
from edgenas.project.searching.ray_workers import Workers, require_address
from edgenas.project.searching.scoring import KnownScore, opened_score, preferred, report_line, report_of
from edgenas.project.searching.writing import analysis_of, write
from edgenas.project.trainings.loaded_teacher import load_teacher, require_teacher
from edgenas.project.trainings.teaching import teaching_of
from edgenas.records import ProxyReport, SpaceFacts
from edgenas.runs import Found, Front, Journal, Note, Outcome, Progress, Record, locked, sha256_file
from edgenas.search import ALGORITHMS, Candidate, Evaluator, Feasibility, extra_arguments, survey, total_violation
from edgenas.search.finalists import Finalist
from edgenas.search.population import first_population
from edgenas.search.proof_scores import Score
from edgenas.spaces import Genes
from edgenas.spaces.designed import hand_designed_rows
from edgenas.training.devices import torch_device
from edgenas.training.folder import WEIGHTS
from edgenas.training.recalibration import Recalibration, identity_of, recalibration_of
from edgenas.training.sampling import as_key
from edgenas.training.teacher import remembering

SEARCHING = "searching"  # on the progress bar


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """What `edgenas search` was asked for.

    Attributes:
        tables: names or files of latency tables by the alias of their limit.
        continued: nets that were evaluated before with the same weights take part as far as they meet the limits.
        workers: processes that evaluate nets; None takes this one, or with an address all that the cluster has.
        ray_address: of a Ray cluster that runs; None starts one for more than one worker.
    """

    run: Path
    flags: Flags
    overrides: tuple[str, ...]
    tables: Mapping[str, str] = field(default_factory=dict)
    allow_foreign_table: bool = False
    continued: bool = False
    workers: int | None = None
    ray_address: str | None = None


def run(config: SearchConfig) -> Iterator[Record]:
    """Survey, evolve on select, measure and confirm the finalists, choose.

    Raises:
        InfeasibleError: if no architecture meets the limits, with the nearest achievable.
        MissingInputError: naming what an earlier command makes.
        LatencyTableError: if the table does not fit and is not allowed to be foreign.
    """
    project = open_project(config.run, config.flags, config.overrides)
    device = torch_device(project.settings.search.device)
    require_algorithm(project.settings.search)  # before an image is read
    require_classes(project)
    if config.ray_address is not None:
        require_address(config.ray_address)
    images = open_images(project)
    require_floors(project.settings.search, images)
    supernet = load_supernet(project, images)
    costing = open_costing(project, images.task, config.tables, allow_foreign=config.allow_foreign_table)
    yield from costing.notes()
    yield from idle_notes(project.settings.search)
    question = _answerable(ask(project, images, costing))
    rng = np.random.default_rng(project.settings.search.seed)
    began = time.monotonic()
    with locked(project.run), ExitStack() as stack:
        surveyed, facts = yield from _surveyed(question, rng)
        judges = yield from _opened(question, supernet, device, stack, continued=config.continued)
        evaluate = raced(project.settings.search, _shared_out(config, judges, stack))
        question, score = judges.question, opened_score(project, images.task, stack)
        candidates = yield from _evolved(judges, evaluate, surveyed, rng, score)
        ranking = yield from _ended(judges, candidates, score)
        panel = judges.panel(candidates)
        finalists = yield from judge_finalists(panel)
        search_s = time.monotonic() - began
        proven = yield from _prove(judges, panel, finalists)
        rows = with_finalists(question, candidates, panel.described, proven.finalists)
        result = result_of(question, surveyed, facts, rows, proven, search_s, judges.earlier)
        result = replace(result, analysis=analysis_of(question, completed(candidates, proven.finalists), rows))
        result = replace(result, objectives=question.goals, front=question.front(candidates, rows), proxy=ranking)
        outputs, pictures = write(question, rows, result)
        yield from pictures
        if result.winner is None:
            judges.timings.remove()
            raise nothing_left(question, result, proven.finalists)
        yield from told_low(question.floors, result)
        yield from [] if result.doubts is None else [Note(result.doubts, is_warning=True, in_view=True)]
        outputs |= yield from page_beside(project, images)
    yield Outcome(result, outputs)


def _answerable(question: Question) -> Question:
    """The question, where all that its proof needs is there: said before hours of search.

    Raises:
        MissingInputError: if finalists are to learn from a teacher that was never trained.
        CheckpointError: if that belongs to another project.
    """
    if question.proof_epochs and teaching_of(question.project)[0] > 0:
        require_teacher(question.project, question.images)
    return question


def _surveyed(question: Question, rng: np.random.Generator) -> Generator[Note, None, tuple[Feasibility, SpaceFacts]]:
    """What of the space meets the limits.

    Raises:
        InfeasibleError: if nothing does, with the nearest achievable.
    """
    costing = question.costing
    surveyed = survey(costing.space, costing.limits, rng)
    facts = space_facts(costing, surveyed)
    yield Note(survey_line(costing, surveyed))
    if not surveyed.feasible_A.any():
        raise nothing_found(question, surveyed, facts)
    return surveyed, facts


@dataclass(frozen=True, slots=True)
class _Judges:
    """What nets are judged with.

    Attributes:
        question: with the thresholds of its floors.
        statistics: of subnets' batch norms; None where there are none.
        evaluations: predictions with these weights, of all searches.
        timings: of finalists, of this question.
        select: predicts on select.
        earlier: nets that were evaluated before; None where the search does not go on from them.
        hand_AG: genes of the space's hand-designed nets.
    """

    question: Question
    supernet: nn.Module
    device: str
    statistics: Recalibration | None
    evaluations: Journal
    timings: Journal
    select: Evaluator
    earlier: EarlierNets | None
    hand_AG: Genes

    @property
    def hand_designed(self) -> frozenset[tuple[int, ...]]:
        """Genes of the space's hand-designed nets."""
        return frozenset(as_key(row) for row in self.hand_AG)

    def panel(self, candidates: Sequence[Candidate]) -> Panel:
        """What measures and confirms candidates."""
        question = self.question
        return Panel(
            question.project,
            question.images,
            self.supernet,
            candidates,
            [question.describe(candidate) for candidate in candidates],
            self.hand_designed,
            question,
            self.device,
            self.evaluations,
            self.timings,
            self.select,
            self.statistics,
        )


def _opened(
    question: Question, supernet: nn.Module, device: str, stack: ExitStack, *, continued: bool
) -> Generator[Record, None, _Judges]:
    """Images, journals and thresholds, and what is known of nets that earlier searches have evaluated."""
    images, run = question.images, question.project.run
    yield from decode(images, "select", "confirm")
    statistics = recalibration_of(supernet, images.norm_images())
    weights = {**_weights_identity(run.supernet, images, device), **identity_of(statistics)}
    evaluations = stack.enter_context(journal(run.search / EVALUATIONS, weights, keep=True))
    timings = stack.enter_context(journal(run.search / JOURNAL, {**weights, "question": question.identity}))
    if are_thresholds_needed(question.floors, images.positive):
        yield from decode(images, "calibrate")
        calibrate = evaluator_on(images, supernet, "calibrate", device, statistics, evaluations)
        question = replace(question, floors=with_thresholds(question.floors, images.positive, calibrate, images))
    select = evaluator_on(images, supernet, "select", device, statistics, evaluations)
    earlier = earlier_nets(question, select, evaluations, timings) if continued else None
    yield from known_notes(earlier, evaluations)
    hand_AG = hand_designed_rows(question.project.space)
    return _Judges(question, supernet, device, statistics, evaluations, timings, select, earlier, hand_AG)


def _shared_out(config: SearchConfig, judges: _Judges, stack: ExitStack) -> Evaluator:
    """What predicts on select: this process, or several where that is asked for."""
    if config.ray_address is None and (config.workers or 1) <= 1:
        return judges.select
    workers = Workers(config.workers, config.ray_address)
    images = judges.question.images
    return stack.enter_context(by_workers(images, judges.supernet, "select", judges.device, workers, judges.evaluations))


def _evolved(
    judges: _Judges, evaluate: Evaluator, surveyed: Feasibility, rng: np.random.Generator, score: KnownScore | None
) -> Generator[Record, None, list[Candidate]]:
    """All candidates of a search that starts with hand-designed nets, evenly spread ones or those that a proxy prefers, and, where
    it continues, earlier ones.
    """
    question, earlier, hand_AG = judges.question, judges.earlier, judges.hand_AG
    project, costing, sizes = question.project, question.costing, evolution_settings(question.project.settings.search)
    seed = project.settings.search.seed
    start = first_population(
        project.space, costing.costs, costing.limits, hand_AG, surveyed, population=sizes.population, seed=seed
    )
    if earlier is not None:
        sizes, start = earlier.begun(sizes, start)
    if score is not None and project.settings.search.prefilter is not None:
        start = yield from preferred(start, project.space, costing.limits, score, sizes, rng)
    labels_N, floors = question.labels_N, question.floors
    candidates: list[Candidate] = []
    name = project.settings.search.algorithm
    algorithm = ALGORITHMS.find(name)
    more = extra_arguments(algorithm, question.objectives, score)
    for generation in algorithm(
        project.space, evaluate, labels_N, costing.limits, floors, rng=rng, settings=sizes, start=start, **more
    ):
        rows_AG = np.array([candidate.genes for candidate in generation.fresh], dtype=np.int16)
        if len(rows_AG) and (total_violation(costing.limits, rows_AG) > 0).any():
            raise ALGORITHMS.refused(name, "has evaluated a net that breaks the limits that it was given")
        candidates += generation.fresh
        yield _front(question, judges.hand_designed, generation.fresh)
        best: dict[str, float] = {"nets": generation.num_evaluated}
        best |= {"top1": generation.elite[0].top1} if generation.elite else {}
        yield Progress(SEARCHING, int(100 * generation.done), 100, best, unit="%")
    if not candidates and name not in ALGORITHMS.own:
        raise ALGORITHMS.refused(name, "has evaluated no net")
    return merged(earlier.candidates, candidates) if earlier is not None else candidates


def _ended(judges: _Judges, candidates: Sequence[Candidate], score: KnownScore | None) -> Generator[Note, None, ProxyReport | None]:
    """Say what was evaluated, and how right the training-free indicator was; None where none was asked, or about no net."""
    question, earlier = judges.question, judges.earlier
    most = evolution_settings(question.project.settings.search).budget
    yield Note(question.ended(candidates, most, 0 if earlier is None else len(earlier.candidates)))
    if score is None:
        return None
    ranking = report_of(score, candidates, question.costing.costs)
    yield from [] if ranking is None else [Note(report_line(ranking))]
    return ranking


def _front(question: Question, hand_designed: frozenset[tuple[int, ...]], fresh: Sequence[Candidate]) -> Front:
    """What was just evaluated, over the cost that limits it; over MACs where nothing does."""
    costing = question.costing
    limit = costing.main_limit
    name, value = ("macs", None) if limit is None else (limit.name, limit.limit)
    costs = costing.costs.macs if limit is None else limit.cost
    seen = [each for each in fresh if each.images_M is None]  # those that a race dropped have seen other images
    genes_AG = np.array([each.genes for each in seen], dtype=np.int16)
    costs_A = costs(genes_AG) if seen else np.empty(0)
    nets = [
        Found(float(cost), each.top1, each.genes in hand_designed and each.generation == 0)
        for cost, each in zip(costs_A, seen, strict=True)
    ]
    return Front(SEARCHING, name, value, tuple(nets))


def _prove(judges: _Judges, panel: Panel, finalists: list[Finalist]) -> Generator[Record, None, Proven]:
    """Train the finalists alone for a few epochs, where that is asked for; what was trained before is known."""
    project, images = panel.project, panel.images
    if not panel.question.proof_epochs or all(finalist.row.rejected_by for finalist in finalists):
        return Proven(finalists, None, "none")
    yield from decode(images, "train")
    teacher = remembering(load_teacher(project, images).to(panel.device) if teaching_of(project)[0] > 0 else None)
    with journal(project.run.search / PROOFS, {"kind": "proof"}, keep=True) as memory:
        prover = Prover(project, images, teacher, panel.device, memory, panel.question.proof_epochs)
        known: set[tuple[int, ...]] = set()
        if judges.earlier is not None:
            more_finalists, known = yield from proven_before(panel, prover, finalists, judges.earlier, judges.timings)
            finalists = [*finalists, *more_finalists]

        def more(num: int, score: Score) -> Generator[Record, None, list[Finalist]]:
            return further(panel, finalists, num, score)

        floors = [floor.plain for floor in panel.question.floors]
        return (yield from prove(prover, finalists, floors, more, panel.question.losses, known))


def _weights_identity(supernet: Path, images: Images, device: str) -> Mapping[str, object]:
    """Everything that a prediction of a subnet depends on."""
    return {
        "supernet": sha256_file(supernet / WEIGHTS),
        "data": images.splits.fingerprint,
        "images": {name: images.splits[name] for name in ("train", "select", "confirm")},
        "preprocessing": images.preprocess.as_json(),
        "device": device,
        "torch": [torch.__version__, torch.get_num_threads()],
    }
