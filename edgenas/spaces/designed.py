"""Nets that need no search, to compare searched ones with."""

from __future__ import annotations

import math
from importlib import import_module
from itertools import product
from typing import Any

import numpy as np

from edgenas.spaces.base import Genes, SearchSpace
from edgenas.spaces.rows import unique_rows

STEPS = (0.0, 0.5, 1.0)


def hand_designed(space: SearchSpace) -> list[dict[str, Any]]:
    """What an engineer would write down without a search, readable: by the family's own rule if it has one, else uniform nets."""
    module = import_module(f"edgenas.spaces.{space.family}")
    nets: list[dict[str, Any]] = module.hand_designed(space) if hasattr(module, "hand_designed") else uniform_nets(space)
    return nets


def at_step(step: float, num_options: int) -> int:
    """Position of the option at a step of ``STEPS``; of two options in the middle the larger, so that middle is never small."""
    return math.floor(step * (num_options - 1) + 0.5)


def uniform_nets(space: SearchSpace) -> list[dict[str, Any]]:
    """Small, middle and large depths with small, middle and large everything else; each choice at the same step of its options."""
    is_depth = [bool(choice.length_of) or "depth" in choice.name for choice in space.choices]
    rows = [
        [at_step(depth if deep else width, len(choice.options)) for deep, choice in zip(is_depth, space.choices, strict=True)]
        for depth, width in product(STEPS, STEPS)
    ]
    return [space.to_json(genes_G) for genes_G in unique_rows(space.canonical(np.array(rows, dtype=np.int16)))]


def hand_designed_rows(space: SearchSpace) -> Genes:
    """Rows of the space's hand-designed nets."""
    return np.concatenate([space.from_json(arch) for arch in hand_designed(space)])
