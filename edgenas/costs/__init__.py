"""Costs of architectures: params, MACs and latency as sums of factors over genes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from edgenas.costs.model import CostModel, Factor, Term, distinct_components, sum_of_components
from edgenas.costs.shape import shape_models

if TYPE_CHECKING:
    from collections.abc import Hashable

    from edgenas.spaces import SearchSpace, Task


def decompose(space: SearchSpace, task: Task) -> tuple[Term, ...]:
    """The terms of a space's nets, by the module of its family."""
    terms: tuple[Term, ...] = import_module(f"edgenas.costs.{space.family}").decompose(space, task)
    return terms


def count_params(space: SearchSpace, component: Hashable) -> int:
    """Parameters of one component, by the module of the space's family."""
    number: int = import_module(f"edgenas.costs.{space.family}").count_params(component)
    return number


def cost_models(space: SearchSpace, task: Task) -> dict[str, CostModel]:
    """``params``, ``macs``, ``reference_macs`` and, where its ancestor had a rule, ``ancestor_macs``, by the space's family."""
    models: dict[str, CostModel] = import_module(f"edgenas.costs.{space.family}").cost_models(space, task)
    return models


__all__ = [
    "CostModel",
    "Factor",
    "Term",
    "cost_models",
    "count_params",
    "decompose",
    "distinct_components",
    "shape_models",
    "sum_of_components",
]
