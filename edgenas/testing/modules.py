"""Whether a net calls its layers as modules, so that hooks, adapters, quantisers and tracers see and replace them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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
    """Names of the linear layers that can be replaced by another module without changing what the net answers.

    All are replaced at once, each by itself plus a share of noise, of zero: where the answer has a derivative by that share,
    another module changes the answer. One pass instead of one a layer.
    """
    import torch
    from torch import nn

    class Noisy(nn.Module):
        def __init__(self, linear: nn.Module, seed: int) -> None:
            super().__init__()
            self.linear, self.seed, self.share = linear, seed, nn.Parameter(torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.linear(x)
            return y + self.share * torch.randn(y.shape, generator=torch.Generator().manual_seed(self.seed))

    names = [name for name, module in net.named_modules() if isinstance(module, nn.Linear)]
    with ExitStack() as stack, torch.enable_grad():
        noisy = [Noisy(net.get_submodule(name), seed) for seed, name in enumerate(names)]
        for name, module in zip(names, noisy, strict=True):
            stack.enter_context(replaced(net, name, module))
        answer = net(images_NCHW).square().sum()
        changes = torch.autograd.grad(answer, [module.share for module in noisy], allow_unused=True)
    return [name for name, change in zip(names, changes, strict=True) if change is None or not bool(change.abs() > 0)]


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
