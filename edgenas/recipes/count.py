"""`edgenas count`: what architectures cost, and whether the nets built from them agree."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from edgenas.costs import CostModels, cost_models
from edgenas.errors import CostError, UsageError
from edgenas.records import CountResult, CountRow, ReportedFacts, SizeFacts, TaskFacts
from edgenas.runs import Outcome, Progress, Record
from edgenas.spaces import Genes, SearchSpace, Task, get_space
from edgenas.spaces.base import RESOLUTION
from edgenas.spaces.given import read_given

REQUIRED = ("params", "macs", "reference_macs")
ANCESTOR = "ancestor_macs"
COSTS = (*REQUIRED, ANCESTOR)


@dataclass(frozen=True, slots=True)
class CountConfig:
    """What `edgenas count` was asked for.

    Attributes:
        space: its name.
        arch: a named architecture, or a file of one or many.
        check: build every net and compare.
        image_px, num_classes, in_channels: other than those of the space's publication, or the resolution of the architectures
            where a gene chooses it.
    """

    space: str
    arch: str
    check: bool = False
    image_px: int | None = None
    num_classes: int | None = None
    in_channels: int | None = None


def run(config: CountConfig) -> Iterator[Record]:
    """Count every architecture, in order; build and compare each where that was asked for.

    Raises:
        UsageError: if there is no such space, or it has no nets for such images.
        ArchError: naming every gene that is not in the space.
    """
    space = get_space(config.space)
    given = read_given(space, config.arch)
    space = given.space
    task = _task(config, space.default_task)
    genes_AG = given.genes_AG if config.image_px is None else _at_resolution(space, given.genes_AG, config.image_px)
    models = _models(space, task)
    counts = {name: models[name](genes_AG) for name in COSTS if name in models}
    reported = None if given.reported is None else ReportedFacts(**asdict(given.reported))
    rows = [
        CountRow(
            size=SizeFacts(params=round(float(counts["params"][row])), macs=round(float(counts["macs"][row]))),
            reference_macs=round(float(counts["reference_macs"][row])),
            ancestor_macs=round(float(counts[ANCESTOR][row])) if ANCESTOR in counts else None,
            arch=space.to_json(genes_G),
            name=given.name,
            reported=reported,
        )
        for row, genes_G in enumerate(genes_AG)
    ]
    failure = None
    if config.check:
        rows, differences = yield from _check(space, task, genes_AG, rows)
        if differences:
            message = f"{len(differences)} counts of {space.name} are not those of the nets built"
            failure = CostError(message, problems=differences, hint="please report it: one of the two is a bug in edgenas")
    tasks = {space.task_of(genes_G, task) for genes_G in genes_AG}
    shown = tasks.pop() if len(tasks) == 1 else task
    yield Outcome(CountResult(space=space.name, task=TaskFacts(**asdict(shown)), rows=tuple(rows)), failure=failure)


def _task(config: CountConfig, default: Task) -> Task:
    given = {name: getattr(config, name) for name in ("image_px", "num_classes", "in_channels")}
    return replace(default, **{name: value for name, value in given.items() if value is not None})


def _at_resolution(space: SearchSpace, genes_AG: Genes, image_px: int) -> Genes:
    """The same architectures at another resolution, where that is a gene."""
    if RESOLUTION not in space.index:
        return genes_AG
    options = space.choices[space.index[RESOLUTION]].options
    if image_px not in options:
        allowed = ", ".join(map(str, options))
        raise UsageError(f"{space.name} has no nets for images of {image_px} px; allowed: {allowed}")
    changed_AG = genes_AG.copy()
    changed_AG[:, space.index[RESOLUTION]] = options.index(image_px)
    return changed_AG


def _models(space: SearchSpace, task: Task) -> CostModels:
    try:
        return cost_models(space, task)
    except ValueError as error:  # the layers' own word for a task that a family has no nets for
        raise UsageError(f"{space.name} has no nets for images of {task.image_px} px: {error}") from error


def _check(
    space: SearchSpace, task: Task, genes_AG: Genes, rows: Sequence[CountRow]
) -> Generator[Record, None, tuple[list[CountRow], list[str]]]:
    """Build every net; the rows with what each of them has and runs, and what differs from the models."""
    import torch

    from edgenas.supernets import build_net
    from edgenas.supernets.counting import fvcore_macs, num_params

    checked: list[CountRow] = []
    differences: list[str] = []
    for position, (genes_G, row) in enumerate(zip(genes_AG, rows, strict=True), 1):
        yield Progress("building", position - 1, len(rows))
        image_px = space.task_of(genes_G, task).image_px
        images_NCHW = torch.zeros(1, task.in_channels, image_px, image_px)
        with torch.no_grad():
            net = build_net(space, task, tuple(int(gene) for gene in genes_G))
            built = SizeFacts(params=num_params(net), macs=fvcore_macs(net, images_NCHW))
        checked.append(replace(row, built=built))
        pairs = {"params": (row.size.params, built.params), "macs": (row.size.macs, built.macs)}
        differences += [
            f"architecture {position}: {name} is {counted:,} by the model, {seen:,} in the net"
            for name, (counted, seen) in pairs.items()
            if counted != seen
        ]
    yield Progress("building", len(rows), len(rows))
    return checked, differences
