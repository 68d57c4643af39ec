"""Evolution under hard limits, with AutoFormer's operators and repaired offspring.

Operators and sizes: Chen et al., AutoFormer, ICCV 2021, arXiv:2107.00651, section 3.4 and its code. Deviations: offspring that
break a limit are repaired instead of redrawn, so a narrow limit cannot stall the search; the last generation is ranked; where no
more nets than the budget meet the limits all are evaluated; equal accuracy is decided by likelihood; with several objectives the
parents are the first fronts, as in NSGA-II.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgenas.search.base import Evaluator, EvolutionSettings, Generation, Score
from edgenas.search.constraints import CostConstraint, MetricConstraint
from edgenas.search.drawing import feasible_rows, given_rows, more_rows, unseen
from edgenas.search.enumeration import every_net, few_nets
from edgenas.search.feasibility import repair
from edgenas.search.judging import Judge
from edgenas.search.objectives import DEFAULT, Objective
from edgenas.search.progress import Search
from edgenas.spaces import Genes, SearchSpace

ROUNDS = 10  # in which offspring are drawn until there are as many new ones as asked for


def evolve(
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
    """Search ``space`` for the best nets that meet every constraint.

    Args:
        space: what may vary.
        evaluate: predicts on the images that ``labels_N`` belong to.
        labels_N: right classes, shape (images,).
        constraints: limits on genes; nothing that breaks one is evaluated.
        floors: limits on predictions; candidates that break one rank behind all that do not.
        rng: the only source of randomness.
        settings: sizes of the search.
        start: canonical rows of the first population by origin; those that break a limit are left out, and where they are fewer
            than the population random ones are added.
        objectives: what is to be large or small.
        score: not asked.

    Raises:
        InfeasibleError: if none of the architectures drawn at the start can be made feasible.
    """
    settings = settings if settings is not None else EvolutionSettings()
    judge = Judge(evaluate, labels_N, floors, objectives)
    few_AG = few_nets(space, constraints, settings.budget)
    if few_AG is not None:
        yield from every_net(space, judge, constraints, keep=settings.population, rows_AG=few_AG)
        return
    search = Search(judge, settings.population, settings.num_generations)
    batches = first_rows(space, constraints, rng, settings, start or {}, search.seen)
    for index in range(settings.num_generations + 1):
        yield from search.evaluated(index, batches)
        parents_AG = np.array([candidate.genes for candidate in search.elite[: settings.num_parents]], dtype=np.int16)
        batches = _offspring(space, parents_AG, constraints, rng, settings, search.seen)


def first_rows(
    space: SearchSpace,
    constraints: Sequence[CostConstraint],
    rng: np.random.Generator,
    settings: EvolutionSettings,
    start: Mapping[str, Genes],
    seen: set[bytes],
) -> Iterable[tuple[str, Genes]]:
    """The first population by origin: what the search starts with, then random rows that meet the limits; all are ``seen`` then."""
    first = list(given_rows(constraints, start, settings.population, seen))
    missing = settings.population - sum(len(rows_AG) for _, rows_AG in first)
    if missing > 0:
        draw = more_rows if first else feasible_rows
        first.append(("random", unseen(draw(space, constraints, rng, missing), seen)))
    return first


def _offspring(
    space: SearchSpace,
    parents_AG: Genes,
    constraints: Sequence[CostConstraint],
    rng: np.random.Generator,
    settings: EvolutionSettings,
    seen: set[bytes],
) -> Iterator[tuple[str, Genes]]:
    """Repaired mutants, then repaired children of two parents, none ``seen`` before; mutants in the place of children that lack.

    Fewer than asked where few are left.
    """

    def mutants(num: int) -> Genes:
        picked = rng.integers(len(parents_AG), size=num)
        return repair(space, space.mutate(parents_AG[picked], rng, prob=settings.mutation_prob), constraints, rng)

    def children(num: int) -> Genes:
        first, second = rng.integers(len(parents_AG), size=(2, num))
        return repair(space, space.crossover(parents_AG[first], parents_AG[second], rng), constraints, rng)

    missing = settings.num_mutations + settings.num_crossovers
    for origin, draw, num in (("mutation", mutants, settings.num_mutations), ("crossover", children, settings.num_crossovers)):
        rows_AG = _new(draw, num, seen, space.num_genes)
        missing -= len(rows_AG)
        yield origin, rows_AG
    if settings.num_mutations:
        yield "mutation", _new(mutants, missing, seen, space.num_genes)


def _new(draw: Callable[[int], Genes], num: int, seen: set[bytes], num_genes: int) -> Genes:
    """So many rows that were not ``seen`` before, drawn in up to `ROUNDS` rounds, as in AutoFormer; they are added to it."""
    rows_AG = np.empty((0, num_genes), dtype=np.int16)
    for _ in range(ROUNDS):
        if len(rows_AG) == num:
            break
        rows_AG = np.concatenate([rows_AG, unseen(draw(num - len(rows_AG)), seen)])
    return rows_AG
