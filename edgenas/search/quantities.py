"""What of a net can be limited: functions of a space and a task that give the cost of rows of genes, by name.

Latency is not among them, since it needs a table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edgenas.costs import cost_models, decompose, largest_tensor, shape_models
from edgenas.costs.memory import memory
from edgenas.errors import PluginError
from edgenas.registries import Registry
from edgenas.spaces import Genes, SearchSpace, Task

Cost = Callable[[Genes], NDArray[np.float64]]  # of every row of genes, shape (archs,)
Quantity = Callable[[SearchSpace, Task], Cost]


def params(space: SearchSpace, task: Task) -> Cost:
    """Parameters of the extracted net."""
    return cost_models(space, task).params


def macs(space: SearchSpace, task: Task) -> Cost:
    """Multiply-accumulates that the extracted net runs."""
    return cost_models(space, task).macs


def reference_macs(space: SearchSpace, task: Task) -> Cost:
    """Multiply-accumulates in the literature's convention."""
    return cost_models(space, task).reference_macs


def depth(space: SearchSpace, task: Task) -> Cost:
    """Blocks."""
    return shape_models(decompose(space, task)).depth


def memory_mb(space: SearchSpace, task: Task) -> Cost:
    """Weights and the largest tensor of one image in fp32, in 10^6 bytes: `edgenas.costs.memory`."""
    return memory(decompose(space, task), cost_models(space, task).params, partial(largest_tensor, space))


QUANTITIES: Registry[Quantity] = Registry(
    "limit",
    "edgenas.constraints",
    {"params": params, "macs": macs, "reference_macs": reference_macs, "depth": depth, "memory_mb": memory_mb},
    accepts=callable,
    expected="a function (space, task) -> (rows of genes -> costs)",
)


@dataclass(frozen=True, slots=True)
class Checked:
    """The cost of a quantity that a package brings, whose answers are not taken on trust."""

    name: str
    cost: Cost

    def __call__(self, genes_AG: Genes) -> NDArray[np.float64]:
        """Cost of every row, shape (archs,).

        Raises:
            PluginError: if it is of another shape, or not finite.
        """
        cost_A = np.asarray(self.cost(genes_AG), dtype=np.float64)
        if cost_A.shape != (len(genes_AG),) or not np.isfinite(cost_A).all():
            shown = f"numbers of shape {cost_A.shape}" if cost_A.shape != (len(genes_AG),) else "numbers that are not finite"
            raise PluginError(f"the limit {self.name!r} gives {shown} for {len(genes_AG)} architectures")
        return cost_A


def cost_of(name: str, space: SearchSpace, task: Task) -> Cost:
    """The cost of rows of genes by the name of a quantity.

    Raises:
        UsageError: if there is none of that name.
        PluginError: if a package brings it and it cannot be used.
    """
    cost = QUANTITIES.find(name)(space, task)
    return cost if name in QUANTITIES.own else Checked(name, cost)
