"""Search guided by a model of what nets are worth, fitted to the nets that were evaluated.

A cheap model of the objectives on one-hot genes is refitted in each generation; evolution on the model proposes the next nets to be
evaluated (LINAS: Cummings et al., A Hardware-Aware Framework for Accelerating Neural Architecture Search, arXiv:2205.10358, section
3; DyNAS-T). Deviations: proposals are within the limits; part of each generation is drawn at random, so that the model also sees
what it does not favour; costs are computed, not modelled; what misses a floor counts as worse than all that does not.

Shapes: A nets, G genes, F features, O objectives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgenas.search.base import Candidate, Evaluator, EvolutionSettings, Generation, Score
from edgenas.search.constraints import CostConstraint, MetricConstraint, total_violation
from edgenas.search.drawing import more_rows, unseen
from edgenas.search.enumeration import every_net, few_nets
from edgenas.search.evolution import first_rows
from edgenas.search.feasibility import repair
from edgenas.search.judging import Judge
from edgenas.search.objectives import DEFAULT, CostObjective, Objective
from edgenas.search.pareto import crowding_of, fronts_of
from edgenas.search.progress import Search
from edgenas.spaces import Genes, SearchSpace, unique_rows

ROUNDS = 12  # of the evolution on the model
OFFSPRING = 400  # of each round
POOL = 100  # rows that the next round is made from
ALPHAS = np.logspace(-3, 3, 13)  # of the ridge, chosen by leaving one net out
TREES = 150

Predict = Callable[[Genes], NDArray[np.float64]]  # losses of rows, shape (archs, objectives)


def surrogate(
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
    """Evaluate a first population, then in each generation what a model of all that was evaluated proposes.

    Arguments and errors are those of `edgenas.search.Algorithm`. A generation has ``num_mutations + num_crossovers`` nets, of which
    the share ``explored`` is drawn at random.
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
        batches = []
        if index < settings.num_generations:
            predict = fit_model(space, search.candidates, objectives, settings.surrogate, rng)
            batches = _next_rows(space, search, constraints, predict, rng, settings)


def _next_rows(
    space: SearchSpace,
    search: Search,
    constraints: Sequence[CostConstraint],
    predict: Predict,
    rng: np.random.Generator,
    settings: EvolutionSettings,
) -> list[tuple[str, Genes]]:
    """The rows of the next generation by origin, none seen before."""
    num = settings.num_mutations + settings.num_crossovers
    num_explored = round(settings.explored * num)
    elite_AG = np.array([candidate.genes for candidate in search.elite], dtype=np.int16)
    pool_AG = _evolved(space, elite_AG, constraints, predict, rng, settings.mutation_prob)
    fresh_AG = np.array([row_G for row_G in pool_AG if row_G.tobytes() not in search.seen], dtype=np.int16)
    proposed_AG = unseen(fresh_AG.reshape(-1, space.num_genes)[: num - num_explored], search.seen)
    num_drawn = num - len(proposed_AG)
    if num_drawn == 0:
        return [("surrogate", proposed_AG)]
    drawn_AG = more_rows(space, constraints, rng, 4 * num_drawn)
    left_AG = np.array([row_G for row_G in drawn_AG if row_G.tobytes() not in search.seen], dtype=np.int16)
    return [("surrogate", proposed_AG), ("random", unseen(left_AG.reshape(-1, space.num_genes)[:num_drawn], search.seen))]


def _evolved(
    space: SearchSpace,
    elite_AG: Genes,
    constraints: Sequence[CostConstraint],
    predict: Predict,
    rng: np.random.Generator,
    mutation_prob: float,
) -> Genes:
    """Distinct rows within the limits that the model likes, the best first, by evolution that starts with the elite."""
    pool_AG = elite_AG
    for _ in range(ROUNDS):
        first, second = rng.integers(len(pool_AG), size=(2, OFFSPRING))
        mutants_AG = space.mutate(pool_AG[first], rng, prob=mutation_prob)
        fresh_AG = np.concatenate([mutants_AG, space.crossover(pool_AG[first], pool_AG[second], rng)])
        is_feasible_A = total_violation(constraints, fresh_AG) == 0
        if is_feasible_A.mean() < 0.1:  # a narrow limit
            mended_AG = repair(space, fresh_AG[~is_feasible_A][: OFFSPRING // 4], constraints, rng)
            fresh_AG = np.concatenate([fresh_AG[is_feasible_A], mended_AG])
        else:
            fresh_AG = fresh_AG[is_feasible_A]
        every_AG = unique_rows(np.concatenate([pool_AG, fresh_AG]))
        pool_AG = every_AG[_order(predict(every_AG))[:POOL]]
    return pool_AG


def _order(losses_AO: NDArray[np.float64]) -> NDArray[np.int64]:
    """Places of rows, best first; of several objectives front after front, on each the emptiest surroundings first."""
    if losses_AO.shape[1] == 1:
        return np.argsort(losses_AO[:, 0], kind="stable")
    front_A, crowding_A = fronts_of(losses_AO), np.zeros(len(losses_AO))
    num_placed = 0
    for number in range(int(front_A.max()) + 1):
        mine_A = front_A == number
        crowding_A[mine_A] = crowding_of(losses_AO[mine_A])
        num_placed += int(mine_A.sum())
        if num_placed >= POOL:
            break
    return np.lexsort((-crowding_A, front_A))


def fit_model(
    space: SearchSpace,
    candidates: Sequence[Candidate],
    objectives: Sequence[Objective],
    kind: Literal["ridge", "boosted"],
    rng: np.random.Generator,
) -> Predict:
    """A model of the losses of rows, fitted to all candidates; costs are computed."""
    features_AF = one_hot(space, np.array([candidate.genes for candidate in candidates], dtype=np.int16))
    targets_AO = _targets(candidates)
    models: list[Any] = [
        None if isinstance(objective, CostObjective) else _fitted(kind, features_AF, target_A, rng)
        for objective, target_A in zip(objectives, targets_AO.T, strict=True)
    ]

    def predict(genes_AG: Genes) -> NDArray[np.float64]:
        rows_AF = one_hot(space, genes_AG)
        columns = []
        for objective, model in zip(objectives, models, strict=True):
            if isinstance(objective, CostObjective):
                columns.append(objective.cost(genes_AG) * (-1.0 if objective.maximize else 1.0))
            else:
                columns.append(model.predict(rows_AF))
        return np.stack(columns, axis=1)

    return predict


def one_hot(space: SearchSpace, genes_AG: Genes) -> NDArray[np.float64]:
    """1 for the option of every gene, the last of each for a gene that is inactive, shape (archs, features)."""
    widths = [len(choice.options) + 1 for choice in space.choices]
    first_G = np.cumsum([0, *widths[:-1]])
    columns_AG = np.where(genes_AG < 0, np.array(widths) - 1, genes_AG) + first_G
    features_AF = np.zeros((len(genes_AG), sum(widths)))
    features_AF[np.arange(len(genes_AG))[:, None], columns_AG] = 1.0
    return features_AF


def _targets(candidates: Sequence[Candidate]) -> NDArray[np.float64]:
    """The losses of candidates; of those that miss a floor they lie behind all others, by as much as is missed."""
    losses_AO = np.array([candidate.losses for candidate in candidates])
    missed_A = np.array([candidate.shortfall for candidate in candidates])
    behind_A = missed_A > 0
    if not behind_A.any():
        return losses_AO
    worst_O = losses_AO[~behind_A].max(axis=0) if not behind_A.all() else losses_AO.min(axis=0)
    return np.where(behind_A[:, None], worst_O + missed_A[:, None], losses_AO)


def _fitted(kind: str, features_AF: NDArray[np.float64], target_A: NDArray[np.float64], rng: np.random.Generator) -> Any:
    """A model of scikit-learn."""
    if kind == "boosted":
        from sklearn.ensemble import GradientBoostingRegressor

        trees = GradientBoostingRegressor(n_estimators=TREES, max_depth=3, random_state=int(rng.integers(2**31)))
        return trees.fit(features_AF, target_A)
    from sklearn.linear_model import RidgeCV

    return RidgeCV(alphas=ALPHAS).fit(features_AF, target_A)
