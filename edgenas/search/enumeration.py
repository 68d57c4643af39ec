"""Evaluating every feasible net of a small space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgenas.errors import InfeasibleError
from edgenas.search.base import PIECE, Candidate, Generation
from edgenas.search.constraints import CostConstraint, total_violation
from edgenas.search.drawing import listed
from edgenas.search.judging import Judge
from edgenas.spaces import SearchSpace


def every_net(space: SearchSpace, judge: Judge, constraints: Sequence[CostConstraint], *, keep: int) -> Iterator[Generation]:
    """Evaluate every feasible net, as one generation."""
    all_AG = space.enumerate()
    feasible_AG = all_AG[total_violation(constraints, all_AG) == 0]
    if len(feasible_AG) == 0:
        raise InfeasibleError(f"none of the {len(all_AG)} architectures of {space.name} meets {listed(constraints)}")
    elite: list[Candidate] = []
    for start in range(0, len(feasible_AG), PIECE):
        fresh = judge(feasible_AG[start : start + PIECE], 0, "enumeration")
        elite = sorted([*elite, *fresh], key=lambda candidate: candidate.rank)[:keep]
        num = min(start + PIECE, len(feasible_AG))
        yield Generation(0, 0, tuple(fresh), tuple(elite), num, num / len(feasible_AG))
