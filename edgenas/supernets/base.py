"""Contracts of supernets, and of the modules that know the nets of one family of spaces."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgenas.spaces import SearchSpace, Task
    from edgenas.supernets.sliced import Sharing


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


class NetFamily(Protocol):
    """What the module of a family offers: its supernets, plain nets and their components."""

    @property
    def SHARING(self) -> Sharing[Any]:  # noqa: N802 - a constant of a module
        """How its plain nets are made, whose layers are called as modules, and how its subnets share weights."""
        ...

    def build_supernet(self, space: SearchSpace, task: Task, /) -> nn.Module:
        """A freshly initialised supernet: an `nn.Module` that is a `Supernet`."""
        ...

    def build_component(self, component: Hashable, /) -> nn.Module:
        """One link of a net's chain as a module of its own, freshly initialised, in eval mode; one tensor to one tensor.

        Raises:
            ValueError: if it is no component of the family.
        """
        ...

    def component_input_shape(self, component: Hashable, /) -> tuple[int, ...]:
        """Shape of what one image is at the entrance of a component, without the batch axis.

        Raises:
            ValueError: as `build_component`.
        """
        ...
