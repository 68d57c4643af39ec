"""Nets whose choices all stand at the same step of their options."""

from __future__ import annotations

import math
from itertools import product

import numpy as np

from edgenas.spaces.archs import Readable
from edgenas.spaces.base import SearchSpace
from edgenas.spaces.rows import unique_rows

STEPS = (0.0, 0.5, 1.0)


def at_step(step: float, num_options: int) -> int:
    """Position of the option at a step of ``STEPS``; of two options in the middle the larger, so that middle is never small."""
    return math.floor(step * (num_options - 1) + 0.5)


def uniform_nets(space: SearchSpace) -> list[Readable]:
    """Small, middle and large depths with small, middle and large everything else; each choice at the same step of its options."""
    is_depth = [bool(choice.length_of) or "depth" in choice.name for choice in space.choices]
    rows = [
        [at_step(depth if deep else width, len(choice.options)) for deep, choice in zip(is_depth, space.choices, strict=True)]
        for depth, width in product(STEPS, STEPS)
    ]
    return [space.to_json(genes_G) for genes_G in unique_rows(space.canonical(np.array(rows, dtype=np.int16)))]
