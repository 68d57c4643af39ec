"""Supernets and the plain nets extracted from them, by the space's family."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgenas.supernets.base import NetFamily, Supernet

if TYPE_CHECKING:
    from torch import nn

    from edgenas.spaces import SearchSpace, Task
    from edgenas.supernets.functional import FunctionalSubnet


def _pvt() -> NetFamily:
    from edgenas.supernets import pvt

    return pvt


def _pvt_elastic() -> NetFamily:
    from edgenas.supernets import pvt_elastic

    return pvt_elastic


def _pvt_mobile() -> NetFamily:
    from edgenas.supernets import pvt_mobile

    return pvt_mobile


def _autoformer() -> NetFamily:
    from edgenas.supernets import autoformer

    return autoformer


def _vitas() -> NetFamily:
    from edgenas.supernets import vitas

    return vitas


def _pit() -> NetFamily:
    from edgenas.supernets import pit

    return pit


FAMILIES: dict[str, Callable[[], NetFamily]] = {  # each is imported where its nets are built: they need torch
    "pvt": _pvt,
    "pvt_elastic": _pvt_elastic,
    "pvt_mobile": _pvt_mobile,
    "autoformer": _autoformer,
    "vitas": _vitas,
    "pit": _pit,
}


def family(space: SearchSpace) -> NetFamily:
    """What builds the nets of ``space``."""
    return FAMILIES[space.family]()


def build_supernet(space: SearchSpace, task: Task) -> nn.Module:
    """A freshly initialised supernet: an `nn.Module` that is a `Supernet`."""
    return family(space).build_supernet(space, task)


def build_net(space: SearchSpace, task: Task, genes: tuple[int, ...]) -> nn.Module:
    """A freshly initialised plain net of one architecture."""
    return family(space).SHARING.net_of(space, genes, task)


def functional_subnet(supernet: Supernet, genes: tuple[int, ...]) -> FunctionalSubnet:
    """One subnet as a function of its weights, with their roles.

    Raises:
        ValueError: if the weights of subnets are no slices of the supernet's.
    """
    from edgenas.supernets.sliced import SlicedSupernet

    if not isinstance(supernet, SlicedSupernet):
        raise ValueError(f"subnets of {type(supernet).__name__} are no slices of its weights")
    return supernet.functional(genes)


__all__ = ["FAMILIES", "NetFamily", "Supernet", "build_net", "build_supernet", "family", "functional_subnet"]
