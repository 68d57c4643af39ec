"""Search under hard limits."""

from edgenas.registries import Registry
from edgenas.search.base import Algorithm, Candidate, Evaluator, EvolutionSettings, Generation
from edgenas.search.constraints import (
    FLOOR,
    CostConstraint,
    CostLimit,
    LowerLimit,
    MetricConstraint,
    SensitivityFloor,
    UpperLimit,
    floors_of,
    limit_of,
    total_violation,
)
from edgenas.search.drawing import feasible_rows, given_rows, unseen
from edgenas.search.enumeration import every_net
from edgenas.search.evolution import evolve
from edgenas.search.extremes import best_within
from edgenas.search.feasibility import Closest, Feasibility, closest, repair
from edgenas.search.feasible_set import FeasibleSet, feasible_set
from edgenas.search.judging import Judge
from edgenas.search.limits import Limit, conflicts, parse_limits
from edgenas.search.pareto import pareto_front
from edgenas.search.quantities import QUANTITIES, Cost, Quantity, cost_of
from edgenas.search.racing import Raced
from edgenas.search.random_search import random_search
from edgenas.search.ranking import Fidelity, Ranker, fidelity, fit_ranker, pick_evenly, shrunk
from edgenas.search.surveys import survey

ALGORITHMS: Registry[Algorithm] = Registry(
    "search algorithm",
    "edgenas.algorithms",
    {"evolution": evolve, "random": random_search},
    accepts=callable,
    expected="a function like edgenas.search.Algorithm",
)

__all__ = [
    "ALGORITHMS",
    "FLOOR",
    "QUANTITIES",
    "Algorithm",
    "Candidate",
    "Closest",
    "Cost",
    "CostConstraint",
    "CostLimit",
    "Evaluator",
    "EvolutionSettings",
    "Feasibility",
    "FeasibleSet",
    "Fidelity",
    "Generation",
    "Judge",
    "Limit",
    "LowerLimit",
    "MetricConstraint",
    "Quantity",
    "Raced",
    "Ranker",
    "SensitivityFloor",
    "UpperLimit",
    "best_within",
    "closest",
    "conflicts",
    "cost_of",
    "every_net",
    "evolve",
    "feasible_rows",
    "feasible_set",
    "fidelity",
    "fit_ranker",
    "floors_of",
    "given_rows",
    "limit_of",
    "pareto_front",
    "parse_limits",
    "pick_evenly",
    "random_search",
    "repair",
    "shrunk",
    "survey",
    "total_violation",
    "unseen",
]
