"""Costs of architectures: params, MACs and latency as sums of factors over genes."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Protocol

from edgenas.costs import autoformer, pit, pvt, pvt_elastic, pvt_mobile, vitas
from edgenas.costs.model import CostModel, Factor, Term, distinct_components, sum_of_components
from edgenas.costs.models import CostModels
from edgenas.costs.shape import ShapeModels, shape_models
from edgenas.spaces import SearchSpace, Task


class CostFamily(Protocol):
    """What the module of a family offers."""

    def decompose(self, space: SearchSpace, task: Task, /) -> tuple[Term, ...]:
        """The terms of a space's nets."""
        ...

    def count_params(self, component: Hashable, /) -> int:
        """Parameters of one component."""
        ...

    def largest_tensor(self, component: Hashable, /) -> int:
        """Numbers in the largest tensor that a component reads as an image or writes for one image."""
        ...

    def cost_models(self, space: SearchSpace, task: Task, /) -> CostModels:
        """``params``, ``macs``, ``reference_macs`` and, where its ancestor had a rule, ``ancestor_macs``."""
        ...


FAMILIES: dict[str, CostFamily] = {
    "pvt": pvt,
    "pvt_elastic": pvt_elastic,
    "pvt_mobile": pvt_mobile,
    "autoformer": autoformer,
    "vitas": vitas,
    "pit": pit,
}


def decompose(space: SearchSpace, task: Task) -> tuple[Term, ...]:
    """The terms of a space's nets, by its family."""
    return FAMILIES[space.family].decompose(space, task)


def count_params(space: SearchSpace, component: Hashable) -> int:
    """Parameters of one component, by the space's family."""
    return FAMILIES[space.family].count_params(component)


def largest_tensor(space: SearchSpace, component: Hashable) -> int:
    """Numbers in the largest tensor that a component reads as an image or writes for one image, by the space's family."""
    return FAMILIES[space.family].largest_tensor(component)


def cost_models(space: SearchSpace, task: Task) -> CostModels:
    """``params``, ``macs``, ``reference_macs`` and, where its ancestor had a rule, ``ancestor_macs``, by the space's family.

    They are kept: those of a large space take 70 ms, and a plan asks for each quantity of every space that there is.
    """
    return _cost_models(space, task)


@lru_cache(maxsize=64)
def _cost_models(space: SearchSpace, task: Task) -> CostModels:
    return FAMILIES[space.family].cost_models(space, task)


__all__ = [
    "FAMILIES",
    "CostFamily",
    "CostModel",
    "CostModels",
    "Factor",
    "ShapeModels",
    "Term",
    "cost_models",
    "count_params",
    "decompose",
    "distinct_components",
    "largest_tensor",
    "shape_models",
    "sum_of_components",
]
