"""A supernet of which every subnet is run with its leading and with its trailing channels.

Of slices that all begin at the first channel the first ones learn in every subnet, the last ones only in the widest. With both ends
every channel is used equally often over all widths: BCNet (Su et al., CVPR 2021, pages 2175-2184), which ViTAS trains with.
"""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor, nn

from edgenas.errors import UsageError
from edgenas.spaces import SearchSpace
from edgenas.spaces.families import Spec
from edgenas.supernets import family
from edgenas.supernets.sliced import Parts, Row, SlicedSupernet

S = TypeVar("S", bound=Spec)


class BilateralSupernet(SlicedSupernet[S]):
    """The weights of a `SlicedSupernet`, whose subnets answer with both of their ends.

    In training the logits of both are added before the loss, as published. In eval mode their mean is the answer, so that what is
    searched for is what has learnt; ViTAS averages accuracies there. An extracted net is the family's own side.

    Args:
        supernet: of a family with sides; its modules are taken, not copied.

    Raises:
        UsageError: if the family has no sides.
    """

    def __init__(self, supernet: SlicedSupernet[S]) -> None:
        require_sides(supernet.space)
        super().__init__(supernet.space, supernet.task, supernet.sharing, dict(supernet.named_children()))
        self.train(supernet.training)

    def forward(self, images_NCHW: Tensor, genes: Row, parts: Parts[S] | None = None) -> Tensor:
        """As `SlicedSupernet.forward`; of both sides where ``parts`` names none."""
        if parts is not None:
            return super().forward(images_NCHW, genes, parts)
        first, *others = (super(BilateralSupernet, self).forward(images_NCHW, genes, side) for side in self.sharing.sides)
        total_NC = sum(others, start=first)
        return total_NC if self.training else total_NC / len(self.sharing.sides)


def require_sides(space: SearchSpace) -> None:
    """Check that subnets of a space can be run with either of their ends.

    Raises:
        UsageError: if its family has one side only.
    """
    if not family(space).SHARING.sides:
        raise UsageError(f"subnets of {space.name} have one side only", hint="train.sampling = bilateral is for ViTAS's spaces")


def with_both_sides(supernet: nn.Module) -> nn.Module:
    """A supernet as a `BilateralSupernet`.

    Raises:
        UsageError: if its subnets have one side only.
    """
    if not isinstance(supernet, SlicedSupernet):
        raise UsageError(f"{type(supernet).__name__} has no sides")
    return BilateralSupernet(supernet)
