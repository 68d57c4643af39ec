"""What search algorithms have in common: the contract, the types that it speaks of, and steps that each of them may take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgenas.errors import InfeasibleError
from edgenas.fields import Count, CountOrZero, Share, require_allowed
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

    num_generations: CountOrZero = 20
    population: Count = 50
    num_parents: Count = 10
    num_mutations: CountOrZero = 25
    num_crossovers: CountOrZero = 25
    mutation_prob: Share = 0.2

    def __post_init__(self) -> None:
        require_allowed(self)

    @property
    def budget(self) -> int:
        """Most architectures that are evaluated."""
        return self.population + self.num_generations * (self.num_mutations + self.num_crossovers)


class Algorithm(Protocol):
    """A search. What is true of each of them is asked by `edgenas.testing.SearchConformance`."""

    def __call__(
        self,
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
        """Search ``space`` for the most accurate nets that meet every constraint; the last record's elite is the answer.

        Args:
            space: what may vary.
            evaluate: predicts on the images that ``labels_N`` belong to; no net is asked about twice.
            labels_N: right classes, shape (images,).
            constraints: limits on genes; nothing that breaks one is evaluated.
            floors: limits on predictions; candidates that break one rank behind all that do not.
            rng: the only source of randomness, so that a search that was stopped takes the same way again.
            settings: sizes of the search; no more nets than their ``budget`` are evaluated.
            start: canonical rows by origin that are evaluated first; those that break a limit are left out.

        Raises:
            InfeasibleError: if no architecture is found that meets the constraints; nothing is evaluated then.
        """
        ...


@dataclass(frozen=True, slots=True)
class Judge:
    """Turns rows into candidates.

    Attributes:
        evaluate: predicts.
        labels_N: right classes of the images, shape (images,).
        floors: limits on predictions.
    """

    evaluate: Evaluator
    labels_N: NDArray[np.int64]
    floors: Sequence[MetricConstraint]

    def __call__(self, genes_AG: Genes, generation: int, origin: str) -> list[Candidate]:
        """A candidate for every row, in order."""
        if len(genes_AG) == 0:
            return []
        images = np.arange(len(self.labels_N))
        probabilities_ANC = self.evaluate(genes_AG, images)
        if not np.isfinite(probabilities_ANC).all():
            raise ValueError("a net's probabilities are not all finite numbers")
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


def given_rows(
    constraints: Sequence[CostConstraint], start: Mapping[str, Genes], num: int, seen: set[bytes]
) -> Iterator[tuple[str, Genes]]:
    """What the search is started with, by origin, as far as it is feasible and distinct; at most ``num`` rows."""
    for origin, rows_AG in start.items():
        feasible_AG = rows_AG[total_violation(constraints, rows_AG) == 0] if len(rows_AG) else rows_AG
        fresh_AG = unseen(feasible_AG[:num], seen) if len(feasible_AG) else feasible_AG
        if len(fresh_AG):
            num -= len(fresh_AG)
            yield origin, fresh_AG


def feasible_rows(space: SearchSpace, constraints: Sequence[CostConstraint], rng: np.random.Generator, num: int) -> Genes:
    """Distinct feasible rows: uniform draws, repaired ones where too few of them are feasible."""
    drawn_AG = unique_rows(space.sample(num * 40, rng))
    feasible_AG = drawn_AG[total_violation(constraints, drawn_AG) == 0][:num]
    if len(feasible_AG) < num:
        smallest_AG = space.corners(largest=False)
        mended_AG = repair(space, np.concatenate([drawn_AG[: 2 * num], smallest_AG]), constraints, rng)
        if len(feasible_AG) == 0 and len(mended_AG) == 0:  # a lower limit: from above
            nearest = np.argsort(total_violation(constraints, drawn_AG), kind="stable")[: 2 * num]
            largest_AG = space.corners(largest=True)
            mended_AG = repair(space, np.concatenate([drawn_AG[nearest], largest_AG]), constraints, rng)
        feasible_AG = unique_rows(np.concatenate([feasible_AG, mended_AG]))[:num]
    if len(feasible_AG) == 0:
        raise InfeasibleError(
            f"none of {len(drawn_AG)} random architectures of {space.name} can be made to meet {listed(constraints)}"
        )
    return np.asarray(feasible_AG, dtype=np.int16)


def listed(constraints: Sequence[CostConstraint]) -> str:
    """Constraints in words."""
    return ", ".join(str(constraint) for constraint in constraints)


def unseen(rows_AG: Genes, seen: set[bytes]) -> Genes:
    """The distinct rows that are not among ``seen``, in the order of their genes; they are added to it."""
    rows_AG = unique_rows(rows_AG)
    new = [row for row in rows_AG if row.tobytes() not in seen]
    seen.update(row.tobytes() for row in new)
    return np.array(new, dtype=np.int16).reshape(-1, rows_AG.shape[1])
