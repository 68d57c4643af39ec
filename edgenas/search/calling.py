"""What an algorithm can be asked for: those of installed packages may not know every argument of the contract."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from edgenas.search.base import Algorithm, Score
from edgenas.search.objectives import DEFAULT, Objective


def extra_arguments(algorithm: Algorithm, objectives: Sequence[Objective], score: Score | None) -> dict[str, Any]:
    """The arguments beside those that every algorithm has: objectives other than accuracy, and a score, as far as it takes them."""
    extra: dict[str, Any] = {}
    if tuple(objectives) != DEFAULT:
        extra["objectives"] = objectives
    if score is not None and takes(algorithm, "score"):
        extra["score"] = score
    return extra


def takes(algorithm: Algorithm, argument: str) -> bool:
    """Whether an algorithm has an argument of that name."""
    try:
        parameters = inspect.signature(algorithm).parameters
    except (TypeError, ValueError):  # a callable that tells nothing of itself
        return False
    return argument in parameters or any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
