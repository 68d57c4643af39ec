"""Nets that answer together: what a limit leaves room for beside one small net may go to others like it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgenas.supernets import build_net

if TYPE_CHECKING:
    from edgenas.spaces import SearchSpace, Task


class Ensemble(nn.Module):
    """Nets of one architecture, trained apart, that answer by the mean of their logits.

    After softmax that is the geometric mean of their distributions (Lakshminarayanan et al., arXiv:1612.01474, section 2.4, take
    the arithmetic one). Kondratyuk et al. (arXiv:2005.00570) find several small nets ahead of one large net of as many MACs.

    Args:
        members: normalised images to logits of the same classes.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Mean logits (N, K)."""
        logits_NK: Tensor = reduce(torch.add, (member(images_NCHW) for member in self.members)) / len(self.members)
        return logits_NK


def build_ensemble(space: SearchSpace, task: Task, genes: tuple[int, ...], num_members: int) -> nn.Module:
    """Freshly initialised: one plain net of the space, or several that answer together."""
    nets = [build_net(space, task, genes) for _ in range(num_members)]
    return nets[0] if num_members == 1 else Ensemble(nets)


def member_prefix(number: int) -> str:
    """What the names of the tensors of a member, counted from 0, begin with in an ensemble's checkpoint."""
    return f"members.{number}."
