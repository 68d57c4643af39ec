"""`edgenas search`: the most accurate subnets under hard limits, the finalists measured before one is chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgenas.costs import CostModel, cost_models
from edgenas.errors import ConfigError, InfeasibleError, MissingInputError
from edgenas.recipes.finalists import Finalist, choose, judge_finalists
from edgenas.recipes.journals import EVALUATIONS, JOURNAL, JournaledEvaluator, journal
from edgenas.recipes.nets import RESULT, RESULT_SCHEMA, SEARCH, WEIGHTS, load_supernet, supernet_sha256
from edgenas.recipes.profile import RunTable, find_table
from edgenas.recipes.project import SET_POSITIVE, Images, Project, decode, open_images, open_project, torch_device
from edgenas.runs import Note, Outcome, Picture, Progress, Record, dump_json, locked, sha256_file, write_sealed, write_text
from edgenas.search import (
    Candidate,
    EvolutionSettings,
    Feasibility,
    SensitivityFloor,
    UpperLimit,
    closest,
    evolve,
    pareto_front,
    survey,
)
from edgenas.stats import sensitivities
from edgenas.training.evaluation import SupernetEvaluator


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """What `edgenas search` was asked for."""

    run: Path
    flags: Mapping[str, Any]
    overrides: tuple[str, ...]
    table: str | None = None
    allow_foreign_table: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """What is searched: limits, costs and the split that is read.

    Attributes:
        costs: params, macs and, with a table, latency_ms.
    """

    project: Project
    images: Images
    table: RunTable | None
    costs: Mapping[str, CostModel]
    limits: tuple[UpperLimit, ...]
    floors: tuple[SensitivityFloor, ...]
    labels_N: NDArray[np.int64]

    @property
    def identity(self) -> dict[str, Any]:
        """What tells this question from others, JSON-ready."""
        return {
            "settings": asdict(self.project.settings.search),
            "table": None if self.table is None else self.table.table.sha256,
        }

    def describe(self, candidate: Candidate) -> dict[str, Any]:
        """The contract's CAND of one candidate, not measured yet."""
        space, images = self.project.space, self.images
        row = np.array([candidate.genes], dtype=np.int16)
        decided_N = candidate.probabilities_NC.argmax(axis=1)  # the threshold is chosen later, on calibrate
        latency = self.costs.get("latency_ms")
        return {
            "arch": space.to_json(row[0]),
            "params": int(self.costs["params"](row)[0]),
            "macs": int(self.costs["macs"](row)[0]),
            "latency_ms_predicted": float(latency(row)[0]) if latency is not None else None,
            "latency_ms_upper": float(self.table.upper(row)[0]) if self.table is not None else None,
            "latency_ms_measured": None,
            "top1": candidate.top1,
            "sensitivity": {k: v.as_json() for k, v in sensitivities(decided_N, self.labels_N, images.class_names).items()},
            "generation": candidate.generation,
            "origin": candidate.origin,
            "rejected_by": list(candidate.rejected_by),
        }


def run(config: SearchConfig) -> Iterator[Record]:
    """Survey, evolve on select, measure and confirm the finalists, choose.

    Raises:
        InfeasibleError: if no architecture meets the limits, with the nearest achievable.
        MissingInputError: naming what an earlier command makes.
        LatencyTableError: if the table does not fit and is not allowed to be foreign.
    """
    project = open_project(config.run, config.flags, config.overrides)
    settings = project.settings.search
    device = torch_device(settings.device)
    images = open_images(project)
    supernet = load_supernet(project, images)
    table = find_table(project, images.task, config.table, allow_foreign=config.allow_foreign_table)
    for warning in table.warnings if table is not None else ():
        yield Note(warning, is_warning=True)
    question = _question(project, images, table)
    rng = np.random.default_rng(settings.seed)
    with locked(project.run), ExitStack() as stack:
        found = survey(project.space, question.limits, rng)
        space_facts = _space_facts(question, found)
        yield Note(_survey_line(question, found))
        if not found.feasible_A.any():
            raise _infeasible(question, found, space_facts)
        yield from decode(images, "select", "confirm")
        images_NCHW, labels_N = images.arrays("select")
        predictor = SupernetEvaluator(supernet, images_NCHW, device=torch.device(device), training_NCHW=images.norm_images())
        weights = _weights_identity(project, images, device)
        evaluations = stack.enter_context(journal(project.run.search / EVALUATIONS, weights, keep=True))
        timings = stack.enter_context(journal(project.run.search / JOURNAL, {**weights, "question": question.identity}))
        if len(evaluations):
            yield Note(f"{len(evaluations)} predictions of these weights are known from before")
        evaluator = JournaledEvaluator(predictor, evaluations, "select")
        candidates: list[Candidate] = []
        sizes = EvolutionSettings(
            settings.num_generations,
            settings.population,
            settings.num_parents,
            settings.num_mutations,
            settings.num_crossovers,
            settings.mutation_prob,
        )
        for generation in evolve(project.space, evaluator, labels_N, question.limits, question.floors, rng=rng, settings=sizes):
            candidates += generation.fresh
            best = {"nets": generation.num_evaluated, "top1": generation.elite[0].top1}
            yield Progress("searching", int(100 * generation.done), 100, best, unit="%")
        described = [question.describe(candidate) for candidate in candidates]
        finalists = yield from judge_finalists(
            project, images, supernet, candidates, described, question, device, evaluations=evaluations, memory=timings
        )
        result = _result(question, found, space_facts, described, finalists)
        outputs, picture = _write(project, question, described, result)
        yield picture
        if result["winner"] is None:
            timings.remove()
            raise _nothing_left(question, result)
    yield Outcome(result, outputs)


def _weights_identity(project: Project, images: Images, device: str) -> dict[str, Any]:
    """Everything that a prediction of a subnet depends on."""
    return {
        "supernet": sha256_file(project.run.supernet / WEIGHTS),
        "data": images.splits.fingerprint,
        "images": {name: images.splits[name] for name in ("train", "select", "confirm")},
        "preprocessing": images.preprocess.as_json(),
        "device": device,
        "torch": [torch.__version__, torch.get_num_threads()],
    }


def _question(project: Project, images: Images, table: RunTable | None) -> Question:
    settings = project.settings.search
    costs = dict(cost_models(project.space, images.task))
    if table is not None:
        costs["latency_ms"] = table.predicted
    elif settings.latency_ms is not None:
        raise MissingInputError(f"{project.run.latency} holds no latency table", hint="run `edgenas profile` first")
    wanted = {"latency_ms": settings.latency_ms, "params": settings.max_params, "macs": settings.max_macs}
    limits = tuple(UpperLimit(name, limit, costs[name]) for name, limit in wanted.items() if limit is not None)
    if settings.min_sensitivity and images.positive is None:
        raise ConfigError("a sensitivity is asked for, but no positive class is set", hint=SET_POSITIVE)
    unknown = [name for name in settings.min_sensitivity if name not in images.class_names]
    if unknown:
        raise ConfigError(
            f"min_sensitivity names no class of the data: {', '.join(unknown)}",
            hint=f"classes are: {', '.join(images.class_names)}",
        )
    floors = tuple(
        SensitivityFloor(name, images.class_names.index(name), floor, positive=None, threshold=None)
        for name, floor in settings.min_sensitivity.items()
    )
    return Question(project, images, table, costs, limits, floors, images.labels("select"))


def _space_facts(question: Question, found: Feasibility) -> dict[str, Any]:
    """The contract's ``space``: smallest, median and largest net of what was looked at, by latency or MACs."""
    space = question.project.space
    by = question.costs.get("latency_ms", question.costs["macs"])
    order = np.argsort(by(found.genes_AG), kind="stable")

    def net(position: int) -> dict[str, Any]:
        row = found.genes_AG[order[position]][None]
        costs: dict[str, float] = {name: int(question.costs[name](row)[0]) for name in ("params", "macs")}
        if "latency_ms" in question.costs:
            costs["latency_ms"] = float(question.costs["latency_ms"](row)[0])
        return {"arch": space.to_json(row[0]), **costs}

    return {
        "name": space.name,
        "num_subnets": space.cardinality,
        "feasible_share": found.share,
        "is_exact": found.is_exact,
        "smallest": net(0),
        "median": net(len(order) // 2),
        "largest": net(-1),
    }


def _survey_line(question: Question, found: Feasibility) -> str:
    looked = "all" if found.is_exact else "a sample of"
    limits = ", ".join(str(limit) for limit in question.limits) or "no limits"
    latency = question.costs.get("latency_ms")
    span = ""
    if latency is not None:
        values_A = latency(found.genes_AG)
        span = f"; predicted latency {values_A.min():.3g} to {values_A.max():.3g} ms, median {np.median(values_A):.3g}"
    of = f"{looked} {len(found.genes_AG):,} nets of {question.project.space.name}"
    return f"feasible: {100 * found.share:.1f} % of {of} ({limits}){span}"


def _infeasible(question: Question, found: Feasibility, space_facts: Mapping[str, Any]) -> InfeasibleError:
    nearest = closest(question.project.space, question.limits, found)
    problems = [f"{name}: asked {entry['asked']:g}, achievable {entry['achievable']:.4g}" for name, entry in nearest.items()]
    result: dict[str, Any] = {
        "space": space_facts,
        "limits": _limits(question),
        "finalists": [],
        "winner": None,
        "closest": nearest,
    }
    limits = ", ".join(str(limit) for limit in question.limits)
    return InfeasibleError(
        f"no architecture of {question.project.space.name} meets {limits}",
        problems=problems,
        hint="loosen the limit, or take another space",
        result={**result, "evaluations": _evaluations(question, found, 0), "binding": list(found.binding)},
    )


def _limits(question: Question) -> dict[str, float]:
    return {limit.name: limit.limit for limit in question.limits} | {floor.name: floor.floor for floor in question.floors}


def _evaluations(question: Question, found: Feasibility, evaluated: int) -> dict[str, Any]:
    return {
        "candidates": len(found.genes_AG),
        "evaluated": evaluated,
        "images": len(question.labels_N),
        "rejected": dict(found.rejected),
    }


def _result(
    question: Question,
    found: Feasibility,
    space_facts: Mapping[str, Any],
    described: Sequence[Mapping[str, Any]],
    finalists: Sequence[Finalist],
) -> dict[str, Any]:
    winner = choose(finalists)
    evaluations = _evaluations(question, found, len(described))
    for floor in question.floors:
        evaluations["rejected"][floor.name] = sum(floor.name in row["rejected_by"] for row in described)
    return {
        "schema_version": RESULT_SCHEMA,
        "splits_sha256": question.images.splits.sha256,
        "supernet_sha256": supernet_sha256(question.project),
        "space": space_facts,
        "limits": _limits(question),
        "table": question.table.facts if question.table is not None else None,
        "evaluations": evaluations,
        "finalists": [finalist.row for finalist in finalists],
        "winner": winner.row if winner is not None else None,
        "closest": None,
        "binding": list(found.binding),
        "seed": question.project.settings.search.seed,
    }


def _nothing_left(question: Question, result: Mapping[str, Any]) -> InfeasibleError:
    """Nets were feasible as predicted, but none of the best met the floors, or the latency when measured."""
    nearest: dict[str, dict[str, Any]] = {}
    finalists = result["finalists"]
    for limit in question.limits:
        if limit.name == "latency_ms" and finalists and all(limit.name in row["rejected_by"] for row in finalists):
            best = min(finalists, key=lambda row: row["latency_ms_measured"])
            nearest[limit.name] = {"asked": limit.limit, "achievable": best["latency_ms_measured"], "arch": best["arch"]}
    for floor in question.floors:
        rows = [row for row in finalists if floor.name in row["rejected_by"]]
        if rows:
            best = max(rows, key=lambda row: row["sensitivity"][floor.class_name]["value"] or 0.0)
            value = best["sensitivity"][floor.class_name]["value"]
            nearest[floor.name] = {"asked": floor.floor, "achievable": value, "arch": best["arch"]}
    problems = [f"{name}: asked {entry['asked']:g}, best found {entry['achievable']:.4g}" for name, entry in nearest.items()]
    return InfeasibleError(
        "none of the nets that were tried meets every limit",
        problems=problems,
        hint="loosen the limit, search longer, or train the supernet longer",
        result={**result, "closest": nearest},
    )


def _write(
    project: Project, question: Question, described: Sequence[Mapping[str, Any]], result: Mapping[str, Any]
) -> tuple[dict[str, Path], Picture]:
    """Candidates and result; what is to be drawn of them."""
    folder = project.run.search
    outputs = {"candidates": folder / "search.jsonl", "pareto_png": folder / "pareto.png", "pareto_svg": folder / "pareto.svg"}
    write_text(outputs["candidates"], "".join(dump_json(row, indent=None) + "\n" for row in described))
    cost, name = ("latency_ms_predicted", "latency_ms") if question.table is not None else ("macs", "macs")
    front = pareto_front(np.array([row[cost] for row in described]), np.array([row["top1"] for row in described]))
    data = {
        "rows": described,
        "front": front.tolist(),
        "cost": cost,
        "limit": _limits(question).get(name),
        "winner": result["winner"],
        "title": f"{project.space.name} on {project.settings.data.source}: {len(described)} nets evaluated",
    }
    if result["winner"] is not None:
        outputs["result"] = folder / RESULT
        write_sealed(outputs["result"], SEARCH, result)
    return outputs, Picture("pareto", (outputs["pareto_png"], outputs["pareto_svg"]), data)
