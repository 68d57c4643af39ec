"""What search algorithms have in common: the contract, and the types that it speaks of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edgenas.fields import Count, CountOrZero, Share, require_allowed
from edgenas.search.constraints import CostConstraint, MetricConstraint
from edgenas.search.objectives import DEFAULT, Objective
from edgenas.spaces import Genes, SearchSpace

PIECE = 4  # architectures evaluated between two records

Score = Callable[[Genes], NDArray[np.float64]]  # of every row without training, larger for what should be better, shape (archs,)


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
        images_M: the images that it has predicted where a race dropped it; all numbers are of these then. None where it saw all.
        dropped_for: why it was dropped.
        rejected_by: names of the metric constraints that it breaks.
        losses: its objectives, turned so that smaller is better; empty for accuracy alone.
        expected_top1: where a race dropped it, its accuracy on all images as estimated, by which it is ordered among such nets.
    """

    genes: tuple[int, ...]
    generation: int
    origin: str
    probabilities_NC: NDArray[np.float16] = field(repr=False)
    top1: float
    log_likelihood: float
    shortfall: float
    rejected_by: tuple[str, ...] = ()
    images_M: NDArray[np.int64] | None = field(default=None, repr=False)
    dropped_for: str | None = None
    losses: tuple[float, ...] = ()
    expected_top1: float | None = None

    @property
    def missed(self) -> float:
        """What it misses, 1 more where a race dropped it; nets that miss nothing come before all others, the others by how much."""
        return self.shortfall + (self.dropped_for is not None)

    @property
    def rank(self) -> tuple[float, ...]:
        """Smaller is better: shortfall, whether a race dropped it, objectives in their order (accuracy by default), likelihood."""
        top1 = self.top1 if self.expected_top1 is None else self.expected_top1
        return (self.shortfall, self.dropped_for is not None, *(self.losses or (-top1,)), -self.log_likelihood)


@dataclass(frozen=True, slots=True)
class Generation:
    """A few more candidates of a generation; the last record of the last generation ends the search.

    Attributes:
        index: of the generation, 0 for the start.
        num_generations: index of the last one.
        fresh: what was evaluated since the record before.
        elite: the best so far, best first, as `edgenas.search.ranked` orders them; empty before anything is evaluated.
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
    """Sizes of the search: AutoFormer's defaults.

    Attributes:
        mutation_prob: that a mutant's gene is redrawn.
        num_samples: nets that a score without training chooses among.
        surrogate: what the surrogate-guided search fits to genes: ridge, a linear model, or boosted, regression trees.
        explored: share of a generation of the surrogate-guided search that is not chosen by the surrogate.
    """

    num_generations: CountOrZero = 20
    population: Count = 50
    num_parents: Count = 10
    num_mutations: CountOrZero = 25
    num_crossovers: CountOrZero = 25
    mutation_prob: Share = 0.2
    num_samples: Count = 8000
    surrogate: Literal["ridge", "boosted"] = "ridge"
    explored: Share = 0.2

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
        objectives: Sequence[Objective] = DEFAULT,
        score: Score | None = None,
    ) -> Iterator[Generation]:
        """Search ``space`` for the best nets that meet every constraint; the last record's elite is the answer.

        Args:
            space: what may vary.
            evaluate: predicts on the images that ``labels_N`` belong to; no net is asked about twice.
            labels_N: right classes, shape (images,).
            constraints: limits on genes; nothing that breaks one is evaluated.
            floors: limits on predictions; candidates that break one rank behind all that do not.
            rng: the only source of randomness, so that a search that was stopped takes the same way again.
            settings: sizes of the search; no more nets than their ``budget`` are evaluated.
            start: canonical rows by origin that are evaluated first; those that break a limit are left out.
            objectives: what is to be large or small, the accuracy by default. One is an order; of several the nets are wanted that
                no other beats in all. An algorithm without this argument is only asked for accuracy.
            score: what a training-free indicator says of rows; only given to algorithms that have this argument.

        Raises:
            InfeasibleError: if no architecture is found that meets the constraints; nothing is evaluated then.
        """
        ...
