"""Search under hard limits."""

from edgenas.registries import Registry
from edgenas.search.base import Algorithm, Candidate, Evaluator, EvolutionSettings, Generation, Score
from edgenas.search.calling import extra_arguments, takes
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
from edgenas.search.enumeration import every_net, exhaustive, feasible_nets, few_nets
from edgenas.search.evolution import evolve
from edgenas.search.extremes import best_within
from edgenas.search.feasibility import Closest, Feasibility, closest, repair
from edgenas.search.feasible_set import FeasibleSet, feasible_set
from edgenas.search.judging import Judge
from edgenas.search.limits import Limit, conflicts, parse_limits
from edgenas.search.nsga2 import nsga2
from edgenas.search.objectives import Accuracy, CostObjective, Goal, Objective, Sensitivity, parse_goals
from edgenas.search.pareto import pareto_front, ranked, undominated
from edgenas.search.progress import Search
from edgenas.search.quantities import QUANTITIES, Cost, Quantity, cost_of
from edgenas.search.racing import Raced
from edgenas.search.random_search import random_search
from edgenas.search.ranking import Fidelity, Ranker, fidelity, fit_ranker, pick_by_both, pick_evenly, shrunk
from edgenas.search.surrogate import surrogate
from edgenas.search.surveys import survey
from edgenas.search.training_free import training_free

ALGORITHMS: Registry[Algorithm] = Registry(
    "search algorithm",
    "edgenas.algorithms",
    {
        "evolution": evolve,
        "random": random_search,
        "exhaustive": exhaustive,
        "nsga2": nsga2,
        "training-free": training_free,
        "surrogate": surrogate,
    },
    accepts=callable,
    expected="a function like edgenas.search.Algorithm",
)

__all__ = [
    "ALGORITHMS",
    "FLOOR",
    "QUANTITIES",
    "Accuracy",
    "Algorithm",
    "Candidate",
    "Closest",
    "Cost",
    "CostConstraint",
    "CostLimit",
    "CostObjective",
    "Evaluator",
    "EvolutionSettings",
    "Feasibility",
    "FeasibleSet",
    "Fidelity",
    "Generation",
    "Goal",
    "Judge",
    "Limit",
    "LowerLimit",
    "MetricConstraint",
    "Objective",
    "Quantity",
    "Raced",
    "Ranker",
    "Score",
    "Search",
    "Sensitivity",
    "SensitivityFloor",
    "UpperLimit",
    "best_within",
    "closest",
    "conflicts",
    "cost_of",
    "every_net",
    "evolve",
    "exhaustive",
    "extra_arguments",
    "feasible_nets",
    "feasible_rows",
    "feasible_set",
    "few_nets",
    "fidelity",
    "fit_ranker",
    "floors_of",
    "given_rows",
    "limit_of",
    "nsga2",
    "pareto_front",
    "parse_goals",
    "parse_limits",
    "pick_by_both",
    "pick_evenly",
    "random_search",
    "ranked",
    "repair",
    "shrunk",
    "surrogate",
    "survey",
    "takes",
    "total_violation",
    "training_free",
    "undominated",
    "unseen",
]
