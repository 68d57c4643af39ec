"""Gradients of subnets that pull shared weights in opposite directions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

MOST = 2.0  # of the others' gradient that is added to settle a conflict, as in the publication's code


def take_gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor | None]:
    """The gradients of parameters, which have none then."""
    taken = []
    for parameter in parameters:
        taken.append(parameter.grad)
        parameter.grad = None
    return taken


@torch.no_grad()
def add_projected(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor | None]) -> None:
    """Add gradients of one subnet to those that the parameters have of others, without what opposes these.

    Where the two of a parameter point apart, the added one is projected onto the plane that is normal to the other, so that the
    smaller subnets are trained as if they were alone (Gong et al., NASViT, ICLR 2022, section 4; parameter by parameter, as its
    code does).

    Args:
        parameters: with the gradients of the other subnets, which are changed.
        gradients: of the one, e.g. the largest, in the same order; None where it does not use a parameter.
    """
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is None:
            continue
        others = parameter.grad
        if others is None:
            parameter.grad = gradient
            continue
        squared = others.square().sum()
        opposed = (-(others * gradient).sum() / squared.clamp(min=torch.finfo(squared.dtype).tiny)).clamp(0.0, MOST)
        parameter.grad = others + opposed * others + gradient
