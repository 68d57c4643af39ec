"""Existing weights as the start of a supernet, as its family knows how to read them.

A family whose files need translating has a module ``<family>_start`` with a function ``load_weights``, which is found by that name;
the others read checkpoints of their own layout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import cast

from torch import Tensor, nn

from edgenas.errors import CheckpointError
from edgenas.supernets.base import Supernet
from edgenas.supernets.starting import abbreviated, load_same

Start = Callable[[nn.Module, Mapping[str, Tensor], str], tuple[str, ...]]


def start_of(family: str) -> Start:
    """What reads the weights that supernets of a family start from."""
    name = f"edgenas.supernets.{family}_start"
    return load_same if find_spec(name) is None else cast(Start, import_module(name).load_weights)


def load_weights(supernet: nn.Module, state: Mapping[str, Tensor], source: str) -> tuple[str, ...]:
    """Fill a supernet with weights that something else was trained to.

    Args:
        supernet: changed in place.
        state: weights by name.
        source: where they are from, for messages.

    Returns:
        What a user should know: what was adapted or left fresh, and defects of the source; a sentence each.

    Raises:
        CheckpointError: listing every difference, where they are not of this space; nothing is loaded then.
    """
    broken = [name for name, value in state.items() if value.is_floating_point() and not bool(value.isfinite().all())]
    if broken:
        raise CheckpointError(f"{source} holds values that are not finite", problems=abbreviated(broken, "names"))
    whole = [f"{name} is {value.dtype}" for name, value in state.items() if value.numel() > 1 and not value.is_floating_point()]
    if whole:
        raise CheckpointError(f"{source} holds numbers that are no floating-point weights", problems=abbreviated(whole, "tensors"))
    return start_of(cast(Supernet, supernet).space.family)(supernet, state, source)
