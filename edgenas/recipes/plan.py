"""`edgenas plan`: what limits leave of a space and how long every later command would train, before any training."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from edgenas.config import Flags
from edgenas.costs import decompose, shape_models
from edgenas.data.images import Images, decode
from edgenas.errors import ConfigError, InfeasibleError
from edgenas.project.choosing.asking import look_again, told_earlier
from edgenas.project.nets import new_supernet
from edgenas.project.opening import Project, open_images, open_project
from edgenas.project.planning.pace import stand_in, time_search, time_training
from edgenas.project.planning.plain_pace import proof_facts, retrain_facts, time_nets, time_probes
from edgenas.project.searching.costing import Costing, infeasible, nearest_of, open_costing, space_facts, survey_line
from edgenas.project.searching.elsewhere import other_spaces
from edgenas.proxies import PROXIES
from edgenas.records import FittingNets, NothingFits, NumNets, OtherSpace, PlannedNet, PlannedTimes, PlanResult, SpaceFacts
from edgenas.runs import Note, Outcome, Record
from edgenas.search import Feasibility, best_within, survey, total_violation
from edgenas.search.extremes import Magnitude
from edgenas.spaces import Genes, Task
from edgenas.spaces.designed import hand_designed_rows
from edgenas.stats import Proportion, clopper_pearson
from edgenas.supernets import Supernet
from edgenas.training.devices import torch_device
from edgenas.training.sampling import as_key

NUM_TIMED = 3  # nets of the space whose own training is timed: the largest and two others
LARGEST = "largest_macs"  # of the nets that are named, the one whose training is timed


@dataclass(frozen=True, slots=True)
class PlanConfig:
    """What `edgenas plan` was asked for.

    Attributes:
        tables: names or files of latency tables by the alias of their limit.
        spaces: look at every space instead, by a few nets of each.
    """

    run: Path
    flags: Flags
    overrides: tuple[str, ...]
    tables: Mapping[str, str] = field(default_factory=dict)
    allow_foreign_table: bool = False
    spaces: bool = False


def run(config: PlanConfig) -> Iterator[Record]:
    """Survey the space, find the extreme nets that fit, time a few steps of every training and a few evaluations.

    With ``spaces`` all of them are looked at instead.

    Raises:
        ConfigError: if there is no limit.
        InfeasibleError: if no architecture meets the limits, with the nearest achievable.
        MissingInputError, LatencyTableError: if images or a table are missing or do not fit.
    """
    project = open_project(config.run, config.flags, config.overrides)
    if config.spaces:
        yield from look_again(project)
        return
    if not project.settings.search.has_cost_limit:
        raise _no_limit(project.settings.search.floors)  # before an image is read
    yield from told_earlier(project)
    device = torch_device(project.settings.train.device)
    images = open_images(project)
    costing = open_costing(project, images.task, config.tables, allow_foreign=config.allow_foreign_table)
    yield from costing.notes()
    plan = plan_nets(costing, images.task, np.random.default_rng(project.settings.search.seed))
    yield Note(plan.line)
    fitting = scored(project, images.task, plan.fitting)
    yield from decode(images, "train", "select")
    times = yield from _times(project, images, costing, plan, device)
    yield Outcome(PlanResult(fitting=fitting, device=device, times=times))


def _times(project: Project, images: Images, costing: Costing, plan: Plan, device: str) -> Generator[Record, None, PlannedTimes]:
    """Estimates of the probes, of both trainings, of the search and its proof, and of `retrain`."""
    teacher = stand_in(project, images)
    probes = yield from time_probes(project, images, teacher, device)
    training, supernet = yield from time_training(project, images, teacher, device)
    num_feasible = int(plan.survey.feasible_A.sum()) if plan.survey.is_exact else None
    rows_AG = plan.survey.genes_AG[plan.survey.feasible_A]
    rows_AG = rows_AG if len(rows_AG) else plan.largest_G[None]
    rows_AG = np.random.default_rng(0).permutation(rows_AG)
    search = yield from time_search(project.settings.search, images, supernet, rows_AG, device, num_feasible=num_feasible)
    archs = [project.space.to_json(row_G) for row_G in (plan.largest_G, *rows_AG[: NUM_TIMED - 1])]
    pace = yield from time_nets(project, images, teacher, archs, device)
    num_hand = int((total_violation(costing.limits, hand_designed_rows(project.space)) == 0).sum())
    num_searched = project.settings.search.proof_nets if num_feasible is None else num_feasible
    proof = proof_facts(project, pace, num_searched=num_searched, num_hand=num_hand)
    return PlannedTimes(
        probes=probes,
        training=training,
        search=search,
        proof=proof,
        retrain=retrain_facts(project, pace, proof, num_hand=num_hand),
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """What limits leave.

    Attributes:
        fitting: of the command's result.
        survey: what of the space meets the limits.
        largest_G: the net with most MACs that fits.
        line: the survey in words.
    """

    fitting: FittingNets
    survey: Feasibility
    largest_G: NDArray[np.int16]
    line: str


def plan_nets(costing: Costing, task: Task, rng: np.random.Generator, *, max_rows: int = 200_000) -> Plan:
    """What the limits leave of the space, and the extreme nets among it.

    Args:
        costing: costs and limits.
        task: classes, channels and resolution.
        rng: of samples and evolution; spaces of up to ``max_rows`` nets are enumerated.
        max_rows: most nets that are looked at one by one.

    Raises:
        ConfigError: if there is no limit.
        InfeasibleError: if no architecture is known that meets the limits, with the nearest achievable.
    """
    if not costing.limits:
        raise _no_limit()
    surveyed = survey(costing.space, costing.limits, rng, max_rows=max_rows)
    objectives = objectives_of(costing, task)
    largest_G = best_within(costing.space, costing.limits, objectives[LARGEST], surveyed, rng)
    if largest_G is None:
        raise _nothing_fits(costing, surveyed, other_spaces(costing, task))
    rows = {LARGEST: largest_G}
    for name, keys in objectives.items():
        if name not in rows:
            row_G = best_within(costing.space, costing.limits, keys, surveyed, rng)
            rows[name] = row_G if row_G is not None else largest_G
    fitting = FittingNets(
        space=_space(costing, surveyed),
        limits={limit.name: limit.limit for limit in costing.limits},
        table=costing.table,
        tables=costing.tables,
        promises=costing.promises,
        rejected=surveyed.rejected,
        nets={name: _net(costing, task, row_G) for name, row_G in rows.items()},
        method="enumeration" if surveyed.is_exact else "evolution",
        binding=surveyed.binding,
    )
    return Plan(fitting, surveyed, largest_G, survey_line(costing, surveyed))


def scored(project: Project, task: Task, fitting: FittingNets) -> FittingNets:
    """The nets with the training-free score that ``search.proxy`` names, computed on a fresh supernet of the search's seed.

    Raises:
        PluginError: naming the package that brings the proxy, if it cannot be used.
    """
    name = project.settings.search.proxy
    if name is None:
        return fitting
    proxy = PROXIES.find(name)
    torch.manual_seed(project.settings.search.seed)
    supernet = cast(Supernet, new_supernet(project, task).eval())
    nets = {}
    for label, net in fitting.nets.items():
        score = float(proxy(supernet, as_key(project.space.from_json(net.costs.arch)[0])))
        nets[label] = replace(net, proxies={name: score})
    return replace(fitting, nets=nets)


def _nothing_fits(costing: Costing, surveyed: Feasibility, others: tuple[OtherSpace, ...]) -> InfeasibleError:
    nearest = nearest_of(costing, surveyed)
    known = NothingFits(
        space=_space(costing, surveyed),
        limits={limit.name: limit.limit for limit in costing.limits},
        table=costing.table,
        tables=costing.tables,
        promises=costing.promises,
        rejected=surveyed.rejected,
        nets={},
        closest=nearest,
        binding=surveyed.binding,
        other_spaces=others,
    )
    return infeasible(costing, surveyed, nearest, others, known)


def _no_limit(floors: Collection[str] = ()) -> ConfigError:
    hint = "give --latency-ms, --max-params, --max-macs, --max-memory-mb or --limit"
    if floors:
        asked = " and ".join(f"a sensitivity to {name}" for name in floors)
        return ConfigError(f"{asked} is a limit that only trained nets can be held against; no limit on a cost is set", hint=hint)
    return ConfigError("no limit is set", hint=hint)


def feasible_share(surveyed: Feasibility) -> Proportion:
    """The share of a space that limits leave: exact where all of it was looked at, else with the exact binomial interval.

    Where a sample would show too little of it, it was counted.
    """
    if surveyed.counted is not None:
        return surveyed.counted
    if surveyed.is_exact:
        return Proportion(surveyed.share, surveyed.share, surveyed.share, len(surveyed.genes_AG))
    drawn_A = surveyed.feasible_A[surveyed.num_first :]
    return clopper_pearson(int(drawn_A.sum()), len(drawn_A))


def _space(costing: Costing, surveyed: Feasibility) -> SpaceFacts:
    """The space with the share that limits leave, and how many nets that is."""
    share, num = feasible_share(surveyed), costing.space.cardinality
    counts = NumNets(value=round(share.value * num), low=round(share.low * num), high=round(share.high * num))
    return replace(space_facts(costing, surveyed), feasible=share, num_feasible=counts)


def objectives_of(costing: Costing, task: Task) -> dict[str, list[Magnitude]]:
    """What is looked for, by name; of equal nets the one with more MACs, of the smallest the faster."""
    macs, params = costing.costs.macs, costing.costs.params
    wanted: dict[str, list[Magnitude]] = {LARGEST: [macs, params], "largest_params": [params, macs]}
    shapes = shape_models(decompose(costing.space, task))
    depth, inner_dims = shapes.depth, shapes.inner_dims

    def width(genes_AG: Genes) -> NDArray[np.float64]:
        return np.asarray(inner_dims(genes_AG) / np.maximum(1.0, depth(genes_AG)))

    wanted |= {"deepest": [depth, macs], "widest": [width, macs]}
    cost = costing.devices[0].limited if costing.devices else macs
    return wanted | {"fastest" if costing.devices else "smallest": [lambda genes_AG: -cost(genes_AG), macs]}


def _net(costing: Costing, task: Task, row_G: NDArray[np.int16]) -> PlannedNet:
    """Costs and shape of one net, and what share of every limit it uses."""
    shapes = shape_models(decompose(costing.space, task))
    depth, inner_dims = int(shapes.depth(row_G[None])[0]), float(shapes.inner_dims(row_G[None])[0])
    used = {limit.name: limit.used(float(limit.cost(row_G[None])[0])) for limit in costing.limits}
    return PlannedNet(costs=costing.describe(row_G), depth=depth, mean_width=inner_dims / max(1, depth), used=used)
