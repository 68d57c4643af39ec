"""Nets that need no search, to compare searched ones with."""

from __future__ import annotations

from typing import Any

from edgenas.spaces.base import SearchSpace
from edgenas.spaces.families import family


def hand_designed(space: SearchSpace) -> list[dict[str, Any]]:
    """What an engineer would write down without a search, readable, by the family's rule."""
    return family(space).hand_designed(space)
