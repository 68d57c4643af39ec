"""A net that eight bits of every layer serve badly."""

from __future__ import annotations

import torch
from torch import nn

from edgenas.testing.exporters import images, tiny_net


def outlier_net() -> nn.Module:
    """The tiny net with a hidden channel of 10,000 that nothing reads: eight bits over it leave nothing for the others."""
    net = tiny_net()
    with torch.no_grad():
        first, last = net.mlp[0], net.mlp[3]
        first.weight.mul_(8)
        last.weight.mul_(8)
        first.bias[0] = 1e4
        last.weight[:, 0] = 0
        net.head.bias -= net(torch.from_numpy(images(48, seed=1))).mean(dim=0)  # so that all classes are decided
    return net
