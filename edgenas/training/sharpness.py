"""Sharpness-aware minimisation: gradients are taken where the loss is worst nearby."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn


@contextmanager
def at_sharpest(model: nn.Module, rho: float) -> Iterator[None]:
    """Weights moved by ``rho`` along their gradient, and exactly back afterwards (Foret et al., arXiv:2010.01412, equation 2).

    Batch norms keep their running statistics meanwhile, so that a step counts once in them.

    Args:
        model: whose parameters have gradients; those without are not moved.
        rho: Euclidean length of the move over all parameters.
    """
    moved = [parameter for parameter in model.parameters() if parameter.grad is not None]
    gradients = [parameter.grad for parameter in moved if parameter.grad is not None]
    before = [parameter.detach().clone() for parameter in moved]
    norm = torch.nn.utils.get_total_norm(gradients)
    with torch.no_grad():
        for parameter, gradient in zip(moved, gradients, strict=True):
            parameter.add_(gradient * (rho / (norm + 1e-12)))
    try:
        with _statistics_kept(model):
            yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(moved, before, strict=True):
                parameter.copy_(value)


@contextmanager
def _statistics_kept(model: nn.Module) -> Iterator[None]:
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    with ExitStack() as stack:
        for norm in norms:
            stack.callback(setattr, norm, "momentum", norm.momentum)
            norm.momentum = 0.0
        yield
