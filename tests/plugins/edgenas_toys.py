"""What somebody else's package brings: a toy of every kind, on edgenas' public names alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from edgenas.data import SourceKind
from edgenas.data.arrays import ArrayImages
from edgenas.data.digits import open_digits
from edgenas.deploy.contracts import ExportedFile, ExportSpec, Probe, Runner
from edgenas.deploy.plugins import get_exporter, get_runtime
from edgenas.search import (
    CostConstraint,
    Evaluator,
    EvolutionSettings,
    Generation,
    Judge,
    MetricConstraint,
    every_net,
    feasible_rows,
    given_rows,
    unseen,
)
from edgenas.spaces import Choice, Genes, SearchSpace, Task
from edgenas.supernets import Supernet

CALLS: dict[str, int] = {}  # of what leaves no trace in a result


def search(
    space: SearchSpace,
    evaluate: Evaluator,
    labels_N: NDArray[np.int64],
    constraints: Sequence[CostConstraint],
    floors: Sequence[MetricConstraint] = (),
    *,
    rng: np.random.Generator,
    settings: EvolutionSettings | None = None,
    start: Mapping[str, Genes] | None = None,
) -> Iterator[Generation]:
    """Draw as many nets as the budget allows, in a few rounds."""
    settings = settings if settings is not None else EvolutionSettings()
    judge = Judge(evaluate, labels_N, floors)
    if space.cardinality <= settings.budget:
        yield from every_net(space, judge, constraints, keep=settings.population)
        return
    seen: set[bytes] = set()
    batches = list(given_rows(constraints, start or {}, settings.budget, seen))
    missing = settings.budget - sum(len(rows_AG) for _, rows_AG in batches)
    drawn_AG = unseen(feasible_rows(space, constraints, rng, missing), seen) if missing else np.empty((0, space.num_genes))
    batches += [("toy", part_AG) for part_AG in np.array_split(drawn_AG, 5) if len(part_AG)]
    elite: list[Any] = []
    num_evaluated = 0
    for index, (origin, rows_AG) in enumerate(batches):
        fresh = judge(rows_AG, index, origin)
        elite = sorted([*elite, *fresh], key=lambda candidate: candidate.rank)
        num_evaluated += len(fresh)
        yield Generation(index, len(batches) - 1, tuple(fresh), tuple(elite), num_evaluated, (index + 1) / len(batches))


def least(space: SearchSpace, rng: np.random.Generator, num_random: int) -> list[tuple[int, ...]]:
    """The smallest subnet and ``num_random`` others."""
    rows = [space.extreme(largest=False)[0], *space.sample(num_random, rng)]
    return [tuple(int(gene) for gene in row) for row in rows]


def squares(student_NC: Tensor, teacher_NC: Tensor, *, temperature: float) -> Tensor:
    """Mean squared difference of logits."""
    CALLS["squares"] = CALLS.get("squares", 0) + 1
    return F.mse_loss(student_NC / temperature, teacher_NC.detach() / temperature)


def heads(space: SearchSpace, task: Task) -> Any:
    """Heads of all stages together."""
    columns = [space.index[choice.name] for choice in space.choices if choice.name.startswith("num_heads")]
    options = np.array(space.choices[columns[0]].options, dtype=np.float64)
    return lambda genes_AG: options[genes_AG[:, columns]].sum(axis=1)


def open_toy(argument: str | None) -> ArrayImages:
    """The first N digits of every class."""
    digits, num = open_digits(None), int(argument or 30)
    kept = np.sort(np.concatenate([np.flatnonzero(digits.labels_N == label)[:num] for label in range(10)]))
    return replace(
        digits,
        name=f"toy-digits:{num}",
        ids=tuple(digits.ids[i] for i in kept),
        pixels_NHW=digits.pixels_NHW[kept],
        labels_N=digits.labels_N[kept],
    )


SOURCE = SourceKind("toy-digits[:N]", None, open_toy)
SPACE = SearchSpace(
    name="toy-pit",
    family="pit",
    choices=(
        Choice("base_dim", (4, 8)),
        Choice("mlp_ratio", (1, 2, 3)),
        *(Choice(f"num_heads[{stage}]", (1, 2, 4)) for stage in range(3)),
        *(Choice(f"depths[{stage}]", (1, 2)) for stage in range(3)),
    ),
    default_task=Task(10, 3, 32),
    base="pit-nano",
)


def proxy(supernet: Supernet, genes: tuple[int, ...]) -> float:
    """Mean absolute logit of an image of ones."""
    task = supernet.task
    with torch.no_grad():
        return float(supernet(torch.ones(1, task.in_channels, task.image_px, task.image_px), genes).abs().mean())


class ToyFormat:
    """ONNX for the toy runtime."""

    name = "toy-onnx"
    precisions = ("fp32",)

    def export(self, model: nn.Module, spec: ExportSpec, folder: Path) -> Sequence[ExportedFile]:
        """Write one file."""
        return [replace(file, runtime="toy-cpu") for file in get_exporter("onnx").export(model, spec, folder)]


class ToyRuntime:
    """ONNX Runtime by another name."""

    name = "toy-cpu"
    device_kind = "cpu"
    accepts = ("onnx",)
    precisions = ("fp32",)

    def probe(self) -> Probe:
        """What the runtime inside says."""
        return get_runtime("onnxruntime-cpu").probe()

    def load(self, source: Path | nn.Module, **options: Any) -> Runner:
        """Open a session."""
        CALLS["load"] = CALLS.get("load", 0) + 1
        return get_runtime("onnxruntime-cpu").load(source, **options)
