"""What every search algorithm and every constraint must pass: subclass and give the fixtures that the class names.

The toy problems have known optima: the score of a network grows with its genes, the later ones counting most, and its cost is
their sum.
"""

# ruff: noqa: D102 - a test's name is its sentence

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenas.costs import CostModel, Factor
from edgenas.errors import InfeasibleError
from edgenas.search import (
    Candidate,
    CostConstraint,
    Evaluator,
    Generation,
    MetricConstraint,
    SensitivityFloor,
    UpperLimit,
    total_violation,
)
from edgenas.spaces import Choice, Condition, Genes, SearchSpace, Task, unique_rows

LINE = SearchSpace("line", "toy", tuple(Choice(f"x[{i}]", (0, 1, 2, 3)) for i in range(8)), Task(2))
TREE = SearchSpace(
    name="tree",
    family="toy",
    choices=(
        Choice("depth", (1, 2, 3, 4, 5, 6)),
        *(Choice(f"x[{i}]", (1, 2, 3, 4), Condition("depth", tuple(range(i + 1, 7))) if i else None) for i in range(6)),
    ),
    default_task=Task(2),
)
LABELS = np.array([0, 1] * 50)


class Algorithm(Protocol):
    """A search with its sizes set."""

    def __call__(
        self,
        space: SearchSpace,
        evaluate: Evaluator,
        labels_N: NDArray[np.int64],
        constraints: Sequence[CostConstraint],
        floors: Sequence[MetricConstraint] = (),
        *,
        rng: np.random.Generator,
    ) -> Iterator[Generation]:
        """Yield generations; the last one's elite is the answer."""
        ...


def toy_limit(space: SearchSpace, limit: float, name: str = "latency_ms") -> UpperLimit:
    """The sum of the genes that are not inactive, at most ``limit``."""
    factors = [Factor((i,), np.array([*range(len(choice.options)), 0.0])) for i, choice in enumerate(space.choices)]
    return UpperLimit(name, limit, CostModel(name, "ms", tuple(factors)))


def toy_score(space: SearchSpace, genes_AG: Genes) -> NDArray[np.int64]:
    """How many of the images every network gets right, shape (archs,)."""
    weights_G = np.arange(1, space.num_genes + 1)
    best = sum(weight * len(choice.options) for weight, choice in zip(weights_G, space.choices, strict=True))
    share_A = ((genes_AG + 1) * weights_G).sum(axis=1) / best
    score_A: NDArray[np.int64] = np.round(share_A * len(LABELS)).astype(np.int64)
    return score_A


@dataclass
class ToyEvaluator:
    """Predicts as `toy_score` says and keeps every row it was asked for."""

    space: SearchSpace
    asked: list[Genes] = field(default_factory=list)

    def __call__(self, genes_AG: Genes, image_indices: NDArray[np.int64], /) -> NDArray[np.float16]:
        self.asked.append(genes_AG.copy())
        right_AN = image_indices < toy_score(self.space, genes_AG)[:, None]
        of_label_AN = np.where(right_AN, 0.75, 0.25)
        probabilities_ANC = np.empty((*right_AN.shape, 2), dtype=np.float16)
        for label in (0, 1):
            probabilities_ANC[..., label] = np.where(LABELS[image_indices] == label, of_label_AN, 1 - of_label_AN)
        return probabilities_ANC

    @property
    def rows(self) -> Genes:
        """All of them in order, shape (archs, genes)."""
        return np.concatenate(self.asked)


class SearchConformance:
    """Contract of a search algorithm: the fixture ``search`` returns one with its sizes set."""

    @pytest.fixture
    def search(self) -> Algorithm:
        """The algorithm under test."""
        raise NotImplementedError

    @pytest.fixture(params=[LINE, TREE], ids=lambda space: space.name)
    def space(self, request: pytest.FixtureRequest) -> SearchSpace:
        """A toy space, the second one with genes that may be inactive."""
        space: SearchSpace = request.param
        return space

    @pytest.fixture
    def limit(self, space: SearchSpace) -> UpperLimit:
        """One that most of the space breaks."""
        return toy_limit(space, 12 if space is LINE else 9)

    @pytest.fixture
    def evaluator(self, space: SearchSpace) -> ToyEvaluator:
        """Remembers what it was asked for."""
        return ToyEvaluator(space)

    def test_only_networks_of_the_space_are_evaluated(
        self, search: Algorithm, space: SearchSpace, limit: UpperLimit, evaluator: ToyEvaluator
    ) -> None:
        _run(search, evaluator, [limit])
        assert evaluator.rows.dtype == np.int16
        space.require_valid(evaluator.rows)

    def test_nothing_that_breaks_a_limit_is_evaluated(
        self, search: Algorithm, space: SearchSpace, limit: UpperLimit, evaluator: ToyEvaluator
    ) -> None:
        limits = [limit, toy_limit(space, 10, "macs")]
        _run(search, evaluator, limits)
        assert total_violation(limits, evaluator.rows).sum() == 0

    def test_no_network_is_evaluated_twice(self, search: Algorithm, limit: UpperLimit, evaluator: ToyEvaluator) -> None:
        _run(search, evaluator, [limit])
        assert len(unique_rows(evaluator.rows)) == len(evaluator.rows)

    def test_every_evaluated_network_is_told_once(self, search: Algorithm, limit: UpperLimit, evaluator: ToyEvaluator) -> None:
        generations = _run(search, evaluator, [limit])
        fresh = [candidate for generation in generations for candidate in generation.fresh]
        assert [candidate.genes for candidate in fresh] == [tuple(row_G) for row_G in evaluator.rows.tolist()]
        assert generations[-1].num_evaluated == len(fresh)
        assert all(c.generation == generation.index and c.origin for generation in generations for c in generation.fresh)
        indices = [generation.index for generation in generations]
        assert list(dict.fromkeys(indices)) == list(range(generations[-1].num_generations + 1))
        shares = [generation.done for generation in generations]
        assert shares == sorted(shares)
        assert shares[-1] == 1.0

    def test_a_candidate_holds_what_was_predicted_for_it(
        self, search: Algorithm, space: SearchSpace, limit: UpperLimit, evaluator: ToyEvaluator
    ) -> None:
        for candidate in _run(search, evaluator, [limit])[0].fresh[:5]:
            row_AG = np.array([candidate.genes], dtype=np.int16)
            assert candidate.top1 == toy_score(space, row_AG)[0] / len(LABELS)
            expected_NC = ToyEvaluator(space)(row_AG, np.arange(len(LABELS)))[0]
            assert np.array_equal(candidate.probabilities_NC, expected_NC)

    def test_equal_seeds_search_equally(self, search: Algorithm, space: SearchSpace, limit: UpperLimit) -> None:
        runs = [ToyEvaluator(space) for _ in range(2)]
        ends = [_run(search, evaluator, [limit], seed=3)[-1] for evaluator in runs]
        assert np.array_equal(runs[0].rows, runs[1].rows)
        assert _genes(ends[0].elite) == _genes(ends[1].elite)

    def test_the_known_optimum_under_a_limit_is_found_from_most_seeds(
        self, search: Algorithm, space: SearchSpace, limit: UpperLimit
    ) -> None:
        every_AG = space.enumerate()
        best = toy_score(space, every_AG[limit.violation(every_AG) == 0]).max() / len(LABELS)
        found = [_run(search, ToyEvaluator(space), [limit], seed=seed)[-1].elite[0].top1 for seed in range(5)]
        assert sum(top1 == best for top1 in found) >= 3
        assert min(found) > best - 0.05

    def test_a_limit_that_leaves_a_few_networks_does_not_stall(
        self, search: Algorithm, space: SearchSpace, evaluator: ToyEvaluator
    ) -> None:
        narrow = toy_limit(space, 1)
        every_AG = space.enumerate()
        left_AG = every_AG[narrow.violation(every_AG) == 0]
        best = _run(search, evaluator, [narrow])[-1].elite[0]
        assert best.top1 == toy_score(space, left_AG).max() / len(LABELS)

    def test_every_generation_is_ranked_the_last_one_too(
        self, search: Algorithm, limit: UpperLimit, evaluator: ToyEvaluator
    ) -> None:
        seen: list[Candidate] = []
        for generation in _run(search, evaluator, [limit]):
            seen += generation.fresh
            ranks = [candidate.rank for candidate in generation.elite]
            assert ranks == sorted(ranks)
            assert ranks == sorted(candidate.rank for candidate in seen)[: len(ranks)]

    def test_what_breaks_a_floor_ranks_behind_what_does_not(
        self, search: Algorithm, limit: UpperLimit, evaluator: ToyEvaluator
    ) -> None:
        floor = SensitivityFloor("b", 1, 0.5, positive=None, threshold=None)
        generations = _run(search, evaluator, [limit], [floor])
        for generation in generations:
            kept = [not candidate.rejected_by for candidate in generation.elite]
            assert kept == sorted(kept, reverse=True)
        for candidate in (candidate for generation in generations for candidate in generation.fresh):
            broken = floor.violation(candidate.probabilities_NC[None], LABELS)[0] > 0
            assert candidate.rejected_by == ((floor.name,) if broken else ())
            assert (candidate.shortfall > 0) == broken

    def test_impossible_limits_are_named_and_nothing_is_evaluated(
        self, search: Algorithm, space: SearchSpace, evaluator: ToyEvaluator
    ) -> None:
        shifted = CostModel("macs", "MACs", toy_limit(space, 1).cost.factors, offset=5.0)
        limits = [UpperLimit("macs", 0.5, shifted), toy_limit(space, 3)]
        with pytest.raises(InfeasibleError) as caught:
            _run(search, evaluator, limits)
        assert all(str(limit) in str(caught.value) for limit in limits)
        assert evaluator.asked == []


def _run(
    search: Algorithm,
    evaluator: ToyEvaluator,
    limits: Sequence[CostConstraint],
    floors: Sequence[MetricConstraint] = (),
    *,
    seed: int = 0,
) -> list[Generation]:
    return list(search(evaluator.space, evaluator, LABELS, limits, floors, rng=np.random.default_rng(seed)))


def _genes(candidates: Sequence[Candidate]) -> list[tuple[int, ...]]:
    return [candidate.genes for candidate in candidates]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a constraint is shown, and which rows meet it.

    Attributes:
        shown: genes, shape (archs, genes), for a limit on costs; probabilities, shape (archs, images, classes), for one on metrics.
        met_A: what the answer must be; some rows exactly on the limit, some that meet it, some that do not.
        labels_N: right classes of the images, for a limit on metrics.
    """

    shown: NDArray[Any]
    met_A: tuple[bool, ...]
    labels_N: NDArray[np.int64] | None = None


class ConstraintConformance:
    """Contract of a constraint: fixtures ``constraint`` and ``judged``."""

    @pytest.fixture
    def constraint(self) -> CostConstraint | MetricConstraint:
        """The constraint under test."""
        raise NotImplementedError

    @pytest.fixture
    def judged(self) -> Judged:
        """Rows that meet it and rows that do not."""
        raise NotImplementedError

    def test_violation_is_zero_exactly_where_it_is_met(self, constraint: CostConstraint | MetricConstraint, judged: Judged) -> None:
        assert set(judged.met_A) == {True, False}, "give rows of both kinds"
        violation_A = _violation(constraint, judged, slice(None))
        assert (violation_A == 0.0).tolist() == list(judged.met_A)
        assert (violation_A[~np.array(judged.met_A)] > 0).all()
        assert np.isfinite(violation_A).all()

    def test_there_is_one_violation_for_every_row(self, constraint: CostConstraint | MetricConstraint, judged: Judged) -> None:
        together_A = _violation(constraint, judged, slice(None))
        assert together_A.shape == (len(judged.met_A),)
        assert together_A.dtype == np.float64
        alone = [_violation(constraint, judged, slice(i, i + 1)).tolist() for i in range(len(together_A))]
        assert [value for (value,) in alone] == together_A.tolist()
        assert _violation(constraint, judged, slice(0, 0)).shape == (0,)

    def test_what_it_judges_is_not_changed(self, constraint: CostConstraint | MetricConstraint, judged: Judged) -> None:
        before = judged.shown.copy()
        _violation(constraint, judged, slice(None))
        assert np.array_equal(judged.shown, before)

    def test_its_text_names_it_and_its_limit(self, constraint: CostConstraint | MetricConstraint) -> None:
        name, relation, limit = str(constraint).rsplit(" ", 2)
        assert name == constraint.name
        assert relation in ("<=", ">=")
        assert np.isfinite(float(limit))


def _violation(constraint: CostConstraint | MetricConstraint, judged: Judged, rows: slice) -> NDArray[np.float64]:
    labels = () if judged.labels_N is None else (judged.labels_N,)
    violation: Callable[..., NDArray[np.float64]] = constraint.violation
    return violation(judged.shown[rows], *labels)
