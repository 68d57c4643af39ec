"""Nets that need no search, to compare searched ones with."""

from __future__ import annotations

import numpy as np

from edgenas.spaces.archs import Readable
from edgenas.spaces.base import Genes, SearchSpace
from edgenas.spaces.families import family


def hand_designed(space: SearchSpace) -> list[Readable]:
    """What an engineer would write down without a search, readable, by the family's rule."""
    return family(space).hand_designed(space)


def hand_designed_rows(space: SearchSpace) -> Genes:
    """Rows of the space's hand-designed nets."""
    return np.concatenate([space.from_json(arch) for arch in hand_designed(space)])
