"""`edgenas count`: what architectures cost, and whether the nets built from them agree."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from edgenas.costs import CostModel, cost_models
from edgenas.errors import CostError, UsageError
from edgenas.recipes.archs import read_given
from edgenas.runs import Outcome, Progress, Record
from edgenas.spaces import Genes, SearchSpace, Task, get_space
from edgenas.spaces.base import RESOLUTION

REQUIRED = ("params", "macs", "reference_macs")
COSTS = (*REQUIRED, "ancestor_macs")


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
    reported = None if given.reported is None else asdict(given.reported)
    rows: list[dict[str, Any]] = [
        {name: round(float(counts[name][row])) if name in counts else None for name in COSTS}
        | {"arch": space.to_json(genes_G), "name": given.name, "reported": reported}
        for row, genes_G in enumerate(genes_AG)
    ]
    failure = None
    if config.check:
        differences = yield from _check(space, task, genes_AG, rows)
        if differences:
            message = f"{len(differences)} counts of {space.name} are not those of the nets built"
            failure = CostError(message, problems=differences, hint="please report it: one of the two is a bug in edgenas")
    tasks = {space.task_of(genes_G, task) for genes_G in genes_AG}
    shown = tasks.pop() if len(tasks) == 1 else task
    yield Outcome({"space": space.name, "task": asdict(shown), "rows": rows}, failure=failure)


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


def _models(space: SearchSpace, task: Task) -> dict[str, CostModel]:
    try:
        return cost_models(space, task)
    except ValueError as error:  # the layers' own word for a task that a family has no nets for
        raise UsageError(f"{space.name} has no nets for images of {task.image_px} px: {error}") from error


def _check(space: SearchSpace, task: Task, genes_AG: Genes, rows: list[dict[str, Any]]) -> Generator[Record, None, list[str]]:
    """Build every net, note in its row what it has and runs, and list what differs from the models."""
    import torch

    from edgenas.supernets import build_net
    from edgenas.supernets.counting import fvcore_macs, num_params

    differences = []
    for position, (genes_G, row) in enumerate(zip(genes_AG, rows, strict=True), 1):
        yield Progress("building", position - 1, len(rows))
        image_px = space.task_of(genes_G, task).image_px
        images_NCHW = torch.zeros(1, task.in_channels, image_px, image_px)
        with torch.no_grad():
            net = build_net(space, task, tuple(int(gene) for gene in genes_G))
            row["built"] = {"params": num_params(net), "macs": fvcore_macs(net, images_NCHW)}
        differences += [
            f"architecture {position}: {name} is {row[name]:,} by the model, {row['built'][name]:,} in the net"
            for name in ("params", "macs")
            if row[name] != row["built"][name]
        ]
    yield Progress("building", len(rows), len(rows))
    return differences
