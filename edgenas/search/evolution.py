"""Evolution under hard limits, with AutoFormer's operators and repaired offspring.

Operators and sizes: Chen et al., AutoFormer, ICCV 2021, arXiv:2107.00651, section 3.4 and its code. Deviations: offspring that
break a limit are repaired instead of redrawn, so a narrow limit cannot stall the search; the last generation is ranked; a space no
larger than the budget is enumerated; equal accuracy is decided by likelihood.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import InfeasibleError
from edgenas.search.constraints import CostConstraint, MetricConstraint, total_violation
from edgenas.search.feasibility import repair
from edgenas.spaces import Genes, SearchSpace, unique_rows

PIECE = 4  # architectures evaluated between two records


class Evaluator(Protocol):
    """Predicts with the supernet's weights."""

    def __call__(self, genes_AG: Genes, image_indices: NDArray[np.int64], /) -> NDArray[np.float16]:
        """Class probabilities of shape (archs, images, classes), in order."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """An evaluated architecture.

    Attributes:
        genes: its row.
        generation: 0 for the start.
        origin: ``random``, ``mutation``, ``crossover``, ``enumeration``, or as the caller calls what it starts with.
        probabilities_NC: its predictions on the split that is searched, shape (images, classes), float16.
        top1: share of right argmax decisions there.
        log_likelihood: mean log-probability of the right class; decides between equal ``top1``.
        shortfall: sum of the metric constraints' violations.
    """

    genes: tuple[int, ...]
    generation: int
    origin: str
    probabilities_NC: NDArray[np.float16] = field(repr=False)
    top1: float
    log_likelihood: float
    shortfall: float
    rejected_by: tuple[str, ...] = ()

    @property
    def rank(self) -> tuple[float, float, float]:
        """Smaller is better: least shortfall, then highest accuracy, then likelihood."""
        return (self.shortfall, -self.top1, -self.log_likelihood)


@dataclass(frozen=True, slots=True)
class Generation:
    """A few more candidates of a generation; the last record of the last generation ends the search.

    Attributes:
        index: of the generation, 0 for the start.
        num_generations: index of the last one.
        fresh: what was evaluated since the record before.
        elite: the best so far, best first.
        num_evaluated: candidates so far.
        done: share of the search, in (0, 1].
    """

    index: int
    num_generations: int
    fresh: tuple[Candidate, ...]
    elite: tuple[Candidate, ...]
    num_evaluated: int
    done: float


@dataclass(frozen=True, slots=True)
class EvolutionSettings:
    """Sizes of the search: AutoFormer's defaults."""

    num_generations: int = 20
    population: int = 50
    num_parents: int = 10
    num_mutations: int = 25
    num_crossovers: int = 25
    mutation_prob: float = 0.2

    @property
    def budget(self) -> int:
        """Most architectures that are evaluated."""
        return self.population + self.num_generations * (self.num_mutations + self.num_crossovers)


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
) -> Iterator[Generation]:
    """Search ``space`` for the most accurate nets that meet every constraint.

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

    Raises:
        InfeasibleError: if none of the architectures drawn at the start can be made feasible.
    """
    settings = settings if settings is not None else EvolutionSettings()
    judge = _Judge(evaluate, labels_N, floors)
    if space.cardinality <= settings.budget:
        yield from _enumerate(space, judge, constraints, keep=settings.population)
        return
    seen: set[bytes] = set()
    first = list(_given(constraints, start or {}, settings.population, seen))
    missing = settings.population - sum(len(rows_AG) for _, rows_AG in first)
    if missing > 0:
        first.append(("random", _unseen(_start(space, constraints, rng, missing), seen)))
    elite: list[Candidate] = []
    num_evaluated = 0
    batches: Iterable[tuple[str, Genes]] = first
    for index in range(settings.num_generations + 1):
        rows = [(origin, rows_AG[i : i + PIECE]) for origin, rows_AG in batches for i in range(0, len(rows_AG), PIECE)]
        for position, (origin, piece_AG) in enumerate(rows or [("none", first[0][1][:0])], 1):
            fresh = judge(piece_AG, index, origin)
            elite = sorted([*elite, *fresh], key=lambda candidate: candidate.rank)[: settings.population]
            num_evaluated += len(fresh)
            done = (index + position / max(1, len(rows))) / (settings.num_generations + 1)
            yield Generation(index, settings.num_generations, tuple(fresh), tuple(elite), num_evaluated, done)
        parents_AG = np.array([candidate.genes for candidate in elite[: settings.num_parents]], dtype=np.int16)
        batches = _offspring(space, parents_AG, constraints, rng, settings, seen)


def _given(
    constraints: Sequence[CostConstraint], start: Mapping[str, Genes], num: int, seen: set[bytes]
) -> Iterator[tuple[str, Genes]]:
    """What the search is started with, by origin, as far as it is feasible and distinct; at most ``num`` rows."""
    for origin, rows_AG in start.items():
        feasible_AG = rows_AG[total_violation(constraints, rows_AG) == 0] if len(rows_AG) else rows_AG
        fresh_AG = _unseen(feasible_AG[:num], seen) if len(feasible_AG) else feasible_AG
        if len(fresh_AG):
            num -= len(fresh_AG)
            yield origin, fresh_AG


def _start(space: SearchSpace, constraints: Sequence[CostConstraint], rng: np.random.Generator, num: int) -> Genes:
    """Distinct feasible rows: uniform draws, repaired ones where too few of them are feasible."""
    drawn_AG = unique_rows(space.sample(num * 40, rng))
    feasible_AG = drawn_AG[total_violation(constraints, drawn_AG) == 0][:num]
    if len(feasible_AG) < num:
        smallest_AG = space.corners(largest=False)
        mended_AG = repair(space, np.concatenate([drawn_AG[: 2 * num], smallest_AG]), constraints, rng)
        feasible_AG = unique_rows(np.concatenate([feasible_AG, mended_AG]))[:num]
    if len(feasible_AG) == 0:
        raise InfeasibleError(
            f"none of {len(drawn_AG)} random architectures of {space.name} can be made to meet {_listed(constraints)}"
        )
    return np.asarray(feasible_AG, dtype=np.int16)


def _listed(constraints: Sequence[CostConstraint]) -> str:
    return ", ".join(str(constraint) for constraint in constraints)


def _offspring(
    space: SearchSpace,
    parents_AG: Genes,
    constraints: Sequence[CostConstraint],
    rng: np.random.Generator,
    settings: EvolutionSettings,
    seen: set[bytes],
) -> Iterator[tuple[str, Genes]]:
    """Repaired mutants, then repaired children of two parents, none ``seen`` before; fewer than asked when few are left."""
    picked = rng.integers(len(parents_AG), size=settings.num_mutations)
    mutants_AG = space.mutate(parents_AG[picked], rng, prob=settings.mutation_prob)
    yield "mutation", _unseen(repair(space, mutants_AG, constraints, rng), seen)
    first, second = rng.integers(len(parents_AG), size=(2, settings.num_crossovers))
    children_AG = space.crossover(parents_AG[first], parents_AG[second], rng)
    yield "crossover", _unseen(repair(space, children_AG, constraints, rng), seen)


def _unseen(rows_AG: Genes, seen: set[bytes]) -> Genes:
    rows_AG = unique_rows(rows_AG)
    new = [row for row in rows_AG if row.tobytes() not in seen]
    seen.update(row.tobytes() for row in new)
    return np.array(new, dtype=np.int16).reshape(-1, rows_AG.shape[1])


@dataclass(frozen=True, slots=True)
class _Judge:
    """Turns rows into candidates."""

    evaluate: Evaluator
    labels_N: NDArray[np.int64]
    floors: Sequence[MetricConstraint]

    def __call__(self, genes_AG: Genes, generation: int, origin: str) -> list[Candidate]:
        if len(genes_AG) == 0:
            return []
        images = np.arange(len(self.labels_N))
        probabilities_ANC = self.evaluate(genes_AG, images)
        right_AN = np.argmax(probabilities_ANC, axis=2) == self.labels_N
        of_label_AN = probabilities_ANC[:, images, self.labels_N].astype(np.float64)
        likelihood_A = np.log(np.maximum(of_label_AN, 1e-7)).mean(axis=1)
        broken = {floor.name: floor.violation(probabilities_ANC, self.labels_N) for floor in self.floors}
        return [
            Candidate(
                genes=tuple(int(gene) for gene in row),
                generation=generation,
                origin=origin,
                probabilities_NC=probabilities_ANC[i],
                top1=float(right_AN[i].mean()),
                log_likelihood=float(likelihood_A[i]),
                shortfall=float(sum(violation[i] for violation in broken.values())),
                rejected_by=tuple(name for name, violation in broken.items() if violation[i] > 0),
            )
            for i, row in enumerate(genes_AG)
        ]


def _enumerate(space: SearchSpace, judge: _Judge, constraints: Sequence[CostConstraint], *, keep: int) -> Iterator[Generation]:
    """Evaluate every feasible net, as one generation."""
    all_AG = space.enumerate()
    feasible_AG = all_AG[total_violation(constraints, all_AG) == 0]
    if len(feasible_AG) == 0:
        raise InfeasibleError(f"none of the {len(all_AG)} architectures of {space.name} meets {_listed(constraints)}")
    elite: list[Candidate] = []
    for start in range(0, len(feasible_AG), PIECE):
        fresh = judge(feasible_AG[start : start + PIECE], 0, "enumeration")
        elite = sorted([*elite, *fresh], key=lambda candidate: candidate.rank)[:keep]
        num = min(start + PIECE, len(feasible_AG))
        yield Generation(0, 0, tuple(fresh), tuple(elite), num, num / len(feasible_AG))
