"""Supernets and the plain nets extracted from them, by the space's family.

A family's module offers ``build_supernet(space, task)``, ``build_net(space, task, genes)``, ``build_component(component)``,
``component_input_shape(component)`` and, for training-free indicators, ``functional_subnet(supernet, genes)``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgenas.spaces import SearchSpace, Task
    from edgenas.supernets.functional import FunctionalSubnet


class Supernet(Protocol):
    """One set of weights that runs every architecture of a space; also an `nn.Module`."""

    space: SearchSpace
    task: Task
    training: bool

    def __call__(self, images_NCHW: Tensor, genes: tuple[int, ...]) -> Tensor:
        """Logits, shape (N, classes), of one subnet."""
        ...

    def extract(self, genes: tuple[int, ...]) -> nn.Module:
        """A plain net that computes the same and owns its weights."""
        ...


def family(space: SearchSpace) -> Any:
    """The module that builds the nets of ``space``."""
    return import_module(f"edgenas.supernets.{space.family}")


def build_supernet(space: SearchSpace, task: Task) -> nn.Module:
    """A freshly initialised supernet: an `nn.Module` that is a `Supernet`."""
    module: nn.Module = family(space).build_supernet(space, task)
    return module


def build_net(space: SearchSpace, task: Task, genes: tuple[int, ...]) -> nn.Module:
    """A freshly initialised plain net of one architecture."""
    module: nn.Module = family(space).build_net(space, task, genes)
    return module


def functional_subnet(supernet: Supernet, genes: tuple[int, ...]) -> FunctionalSubnet:
    """One subnet as a function of its weights, with their roles."""
    subnet: FunctionalSubnet = family(supernet.space).functional_subnet(supernet, genes)
    return subnet
