"""Search under hard limits."""

from edgenas.search.constraints import CostConstraint, MetricConstraint, SensitivityFloor, UpperLimit, total_violation
from edgenas.search.evolution import Candidate, Evaluator, EvolutionSettings, Generation, evolve
from edgenas.search.extremes import best_within
from edgenas.search.feasibility import Feasibility, closest, repair, survey
from edgenas.search.pareto import pareto_front

ALGORITHMS = {"evolution": evolve}

__all__ = [
    "ALGORITHMS",
    "Candidate",
    "CostConstraint",
    "Evaluator",
    "EvolutionSettings",
    "Feasibility",
    "Generation",
    "MetricConstraint",
    "SensitivityFloor",
    "UpperLimit",
    "best_within",
    "closest",
    "evolve",
    "pareto_front",
    "repair",
    "survey",
    "total_violation",
]
