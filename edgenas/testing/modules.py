"""Whether a net calls its layers as modules, so that hooks, adapters, quantisers and tracers see and replace them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


def leaves(net: nn.Module) -> dict[str, nn.Module]:
    """The modules that compute and hold no others, by name."""
    from torch import nn

    lists = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)  # empty ones compute nothing
    every = net.named_modules()
    return {name: module for name, module in every if not isinstance(module, lists) and not any(True for _ in module.children())}


def calls_of_leaves(net: nn.Module, images_NCHW: Tensor) -> dict[str, int]:
    """How often a forward hook on each leaf fires while the net answers once."""
    import torch

    counts = dict.fromkeys(leaves(net), 0)

    def counter(name: str) -> Callable[..., None]:
        def count(*_: Any) -> None:
            counts[name] += 1

        return count

    handles = [module.register_forward_hook(counter(name)) for name, module in leaves(net).items()]
    with torch.no_grad():
        net(images_NCHW)
    for handle in handles:
        handle.remove()
    return counts


def linear_layers_without_effect(net: nn.Module, images_NCHW: Tensor) -> list[str]:
    """Names of the linear layers that can be replaced by another module, one at a time, without changing what the net answers."""
    import torch
    from torch import nn

    names = [name for name, module in net.named_modules() if isinstance(module, nn.Linear)]
    unseen = []
    with torch.no_grad():
        before_NK = net(images_NCHW)
        for name in names:
            with replaced(net, name, nn.Sequential(net.get_submodule(name), nn.Tanh())):
                if torch.equal(net(images_NCHW), before_NK):
                    unseen.append(name)
    return unseen


@contextmanager
def replaced(net: nn.Module, name: str, module: nn.Module) -> Iterator[None]:
    """Another module in the place of one of a net's, as quantisers and adapters put it there."""
    parent, _, own = name.rpartition(".")
    owner, before = net.get_submodule(parent), net.get_submodule(name)
    setattr(owner, own, module)
    try:
        yield
    finally:
        setattr(owner, own, before)
