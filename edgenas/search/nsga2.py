"""NSGA-II by pymoo, with repaired offspring.

Deb et al., A fast and elitist multiobjective genetic algorithm, IEEE TEC 2002, with the operators that ViTAS (Su et al., ECCV
2022, arXiv:2106.13700, and its code) takes for one objective: binary tournaments, crossover at two points, polynomial mutation of
whole numbers (eta 3) of one gene in a net on average. Deviations: children that break a limit are repaired, and whatever was
evaluated before is drawn anew; floors on predictions are constraints (what is less short dominates); genes that a parent lacks are
drawn before it is crossed; of equal nets the likelier one is better where there is one objective.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import MissingBackendError
from edgenas.search.base import Candidate, Evaluator, EvolutionSettings, Generation, Score
from edgenas.search.constraints import CostConstraint, MetricConstraint
from edgenas.search.enumeration import every_net, few_nets
from edgenas.search.evolution import first_rows
from edgenas.search.feasibility import repair
from edgenas.search.judging import Judge
from edgenas.search.objectives import DEFAULT, Objective
from edgenas.search.progress import Search
from edgenas.spaces import Genes, SearchSpace

ETA = 3.0  # of the polynomial mutation
TIE = 1e-9  # what likelihood counts beside one objective
MATINGS = 20  # rounds of them in which a generation is to be filled with nets that are new


def nsga2(
    space: SearchSpace,
    evaluate: Evaluator,
    labels_N: NDArray[np.int64],
    constraints: Sequence[CostConstraint],
    floors: Sequence[MetricConstraint] = (),
    *,
    rng: np.random.Generator,
    settings: EvolutionSettings | None = None,
    start: Mapping[str, Genes] | None = None,
    objectives: Sequence[Objective] = DEFAULT,
    score: Score | None = None,
) -> Iterator[Generation]:
    """Search for the nets that no other beats in all objectives; with one objective a genetic algorithm.

    Arguments and errors are those of `edgenas.search.Algorithm`. A generation has ``num_mutations + num_crossovers`` children;
    ``num_parents`` and ``mutation_prob`` are not asked: the whole population mates, and mutation is of one gene on average.

    Raises:
        MissingBackendError: if pymoo is not installed.
    """
    settings = settings if settings is not None else EvolutionSettings()
    judge = Judge(evaluate, labels_N, floors, objectives)
    seen: set[bytes] = set()
    breeder = Breeder(space, constraints, rng, settings, len(objectives), seen)  # first: it tells where pymoo is missing
    few_AG = few_nets(space, constraints, settings.budget)
    if few_AG is not None:
        yield from every_net(space, judge, constraints, keep=settings.population, rows_AG=few_AG)
        return
    search = Search(judge, settings.population, settings.num_generations)
    batches = first_rows(space, constraints, rng, settings, start or {}, seen)
    for index in range(settings.num_generations + 1):
        num_before = len(search.candidates)
        yield from search.evaluated(index, batches)
        breeder.survive(search.candidates[num_before:])
        batches = [("nsga2", breeder.children())] if index < settings.num_generations else []


class Breeder:
    """pymoo's state of a search: a population, and the operators that make children of it; it changes.

    Args:
        space: of the rows.
        constraints: that children are repaired to meet.
        rng: seeds pymoo's generator and draws the repairs.
        settings: sizes.
        num_objectives: of every candidate.
        seen: rows that were drawn before; children join them.

    Raises:
        MissingBackendError: if pymoo is not installed.
    """

    def __init__(
        self,
        space: SearchSpace,
        constraints: Sequence[CostConstraint],
        rng: np.random.Generator,
        settings: EvolutionSettings,
        num_objectives: int,
        seen: set[bytes],
    ) -> None:
        try:
            from pymoo.algorithms.moo.nsga2 import NSGA2
            from pymoo.core.problem import Problem
            from pymoo.operators.crossover.pntx import TwoPointCrossover
            from pymoo.operators.mutation.pm import PM
        except ImportError as error:
            raise MissingBackendError("the search algorithm nsga2 needs pymoo", hint="pip install 'edgenas[nsga]'") from error
        self.space, self.constraints, self.rng, self.seen = space, constraints, rng, seen
        self.num_children = settings.num_mutations + settings.num_crossovers
        self.last_G = np.array([len(choice.options) - 1 for choice in space.choices])
        problem = Problem(n_var=space.num_genes, n_obj=num_objectives, n_ieq_constr=1, xl=0 * self.last_G, xu=self.last_G)
        self.crossover = TwoPointCrossover(prob=1.0)
        self.mutation = PM(prob=1.0, eta=ETA, prob_var=min(0.5, 1.0 / space.num_genes))
        self.state = np.random.default_rng(int(rng.integers(2**32)))
        self.nsga2 = NSGA2(pop_size=settings.population)
        self.nsga2.setup(problem)
        self.nsga2.random_state = self.state  # the tournament asks for it
        self.population: Any = None

    def survive(self, fresh: Sequence[Candidate]) -> None:
        """Let freshly evaluated candidates compete with the population."""
        from pymoo.core.population import Population

        if not fresh:
            return
        losses_AO = np.array([candidate.losses for candidate in fresh])
        if losses_AO.shape[1] == 1:
            losses_AO = losses_AO - TIE * np.array([[candidate.log_likelihood] for candidate in fresh])
        mine = Population.new("X", np.array([candidate.genes for candidate in fresh], dtype=np.float64))
        mine.set("F", losses_AO, "G", np.array([[candidate.missed] for candidate in fresh]))
        every = mine if self.population is None else Population.merge(self.population, mine)
        self.population = self.nsga2.survival.do(
            self.nsga2.problem, every, n_survive=self.nsga2.pop_size, algorithm=self.nsga2, random_state=self.state
        )

    def children(self) -> Genes:
        """Repaired children that nobody drew before; fewer than asked where few are left."""
        kept: list[NDArray[np.int16]] = []
        for _ in range(MATINGS):
            if len(kept) >= self.num_children:
                break
            for row_G in repair(self.space, self._mated(), self.constraints, self.rng):
                if row_G.tobytes() not in self.seen and len(kept) < self.num_children:
                    self.seen.add(row_G.tobytes())
                    kept.append(row_G)
        return np.array(kept, dtype=np.int16).reshape(-1, self.space.num_genes)

    def _mated(self) -> Genes:
        """Canonical children of pairs that won their tournaments, not repaired, shape (children, genes)."""
        from pymoo.core.population import Population

        problem, selection = self.nsga2.problem, self.nsga2.mating.selection
        num_pairs = -(-self.num_children // 2)
        places = selection.do(problem, self.population, num_pairs, 2, to_pop=False, algorithm=self.nsga2, random_state=self.state)
        rows_AG = self.population.get("X")
        drawn_AG = self.state.integers(self.last_G + 1, size=rows_AG.shape)
        parents = Population.new("X", np.where(rows_AG < 0, drawn_AG, rows_AG).astype(np.float64))
        children = self.crossover.do(problem, parents, parents=places, random_state=self.state)
        mutants = self.mutation.do(problem, children, random_state=self.state)
        return self.space.canonical(np.rint(mutants.get("X")).astype(np.int16))
