"""Search under hard limits."""

from edgenas.search.constraints import (
    FLOOR,
    CostConstraint,
    MetricConstraint,
    SensitivityFloor,
    UpperLimit,
    floors_of,
    total_violation,
)
from edgenas.search.evolution import Candidate, Evaluator, EvolutionSettings, Generation, evolve
from edgenas.search.extremes import best_within
from edgenas.search.feasibility import Closest, Feasibility, closest, repair, survey
from edgenas.search.pareto import pareto_front
from edgenas.search.ranking import Fidelity, Ranker, fidelity, fit_ranker, pick_evenly, shrunk

ALGORITHMS = {"evolution": evolve}

__all__ = [
    "ALGORITHMS",
    "FLOOR",
    "Candidate",
    "Closest",
    "CostConstraint",
    "Evaluator",
    "EvolutionSettings",
    "Feasibility",
    "Fidelity",
    "Generation",
    "MetricConstraint",
    "Ranker",
    "SensitivityFloor",
    "UpperLimit",
    "best_within",
    "closest",
    "evolve",
    "fidelity",
    "fit_ranker",
    "floors_of",
    "pareto_front",
    "pick_evenly",
    "repair",
    "shrunk",
    "survey",
    "total_violation",
]
