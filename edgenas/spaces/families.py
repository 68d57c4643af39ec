"""What the families of spaces know: which net a row of genes stands for."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from edgenas.spaces import autoformer, pit, pvt, pvt_elastic, pvt_mobile, vitas
from edgenas.spaces.archs import Readable
from edgenas.spaces.base import Genes, SearchSpace, Task


class Spec(Protocol):
    """What a net computes, e.g. `edgenas.spaces.pvt.PvtSpec`."""

    @property
    def task(self) -> Task:
        """Classes, channels and resolution."""
        ...

    @property
    def components(self) -> tuple[Hashable, ...]:
        """Everything in the order it is computed, each with one tensor in and one out."""
        ...


class Family(Protocol):
    """What the module of a family offers."""

    def lower(self, space: SearchSpace, genes_G: Genes, task: Task, /) -> Spec:
        """The net that one row of genes stands for.

        Raises:
            ValueError: if the image is too small for it.
        """
        ...

    def is_block(self, component: Hashable, /) -> bool:
        """Whether a component is one that nets repeat."""
        ...

    def hand_designed(self, space: SearchSpace, /) -> list[Readable]:
        """What an engineer would write down without a search, readable."""
        ...


FAMILIES: dict[str, Family] = {
    "pvt": pvt,
    "pvt_elastic": pvt_elastic,
    "pvt_mobile": pvt_mobile,
    "autoformer": autoformer,
    "vitas": vitas,
    "pit": pit,
}


def family(space: SearchSpace) -> Family:
    """What knows the nets of ``space``."""
    return FAMILIES[space.family]
