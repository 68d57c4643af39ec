"""What every search algorithm and every constraint must pass: subclass and give the fixtures that the class names.

The toy problems have known optima: the score of a network grows with its genes, the later ones counting most, and its cost is
their sum.
"""

# ruff: noqa: D102 - a test's name is its sentence

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenas.costs import CostModel, Factor
from edgenas.errors import InfeasibleError
from edgenas.records import lower_name
from edgenas.search import (
    Algorithm,
    Candidate,
    CostConstraint,
    EvolutionSettings,
    Generation,
    LowerLimit,
    MetricConstraint,
    SensitivityFloor,
    UpperLimit,
    random_search,
    total_violation,
)
from edgenas.spaces import Choice, Condition, Genes, SearchSpace, Task, unique_rows

LINE = SearchSpace("line", "toy", tuple(Choice(f"x[{i}]", (0, 1, 2, 3)) for i in range(8)), Task(2))


def _tree(name: str, num_levels: int) -> SearchSpace:
    """Genes below the depth are inactive."""
    levels = range(num_levels)
    below = (Condition("depth", tuple(range(level + 1, num_levels + 1))) if level else None for level in levels)
    genes = (Choice(f"x[{level}]", (1, 2, 3, 4), when) for level, when in zip(levels, below, strict=True))
    return SearchSpace(name, "toy", (Choice("depth", tuple(range(1, num_levels + 1))), *genes), Task(2))


TREE, TALL_TREE = _tree("tree", 6), _tree("tall tree", 10)  # 5,460 and 1,398,100 networks
LABELS = np.array([0, 1] * 50)
SIZES = EvolutionSettings(10, population=20, num_parents=6, num_mutations=10, num_crossovers=10, num_samples=400)
AUTOFORMER_SIZES = EvolutionSettings()


def toy_cost(space: SearchSpace, name: str = "latency_ms", *, offset: float = 0.0) -> CostModel:
    """The sum of the genes that are not inactive, and an offset."""
    factors = [Factor((i,), np.array([*range(len(choice.options)), 0.0])) for i, choice in enumerate(space.choices)]
    return CostModel(name, "ms", tuple(factors), offset=offset)


def toy_limit(space: SearchSpace, limit: float, name: str = "latency_ms") -> UpperLimit:
    """`toy_cost`, at most ``limit``."""
    return UpperLimit(name, limit, toy_cost(space, name))


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


@dataclass
class RememberingEvaluator:
    """Asks another one only about rows that it was not asked about before, as a journal on disk does."""

    inner: ToyEvaluator
    known: dict[bytes, NDArray[np.float16]] = field(default_factory=dict)

    def __call__(self, genes_AG: Genes, image_indices: NDArray[np.int64], /) -> NDArray[np.float16]:
        for row_G in genes_AG:
            if row_G.tobytes() not in self.known:
                self.known[row_G.tobytes()] = self.inner(row_G[None], image_indices)[0]
        return np.stack([self.known[row_G.tobytes()] for row_G in genes_AG])


class SearchConformance:
    """What any honest search algorithm passes, random search included: the fixture ``search`` returns it."""

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

    def test_no_more_networks_are_evaluated_than_the_budget_allows(
        self, search: Algorithm, limit: UpperLimit, evaluator: ToyEvaluator
    ) -> None:
        for sizes in (SIZES, replace(SIZES, num_generations=0, population=5), EvolutionSettings(2, 3, 2, 1, 1, num_samples=20)):
            evaluator.asked.clear()
            _run(search, evaluator, [limit], sizes=sizes)
            assert 0 < len(evaluator.rows) <= sizes.budget

    def test_a_space_within_the_budget_is_searched_to_the_end(self, search: Algorithm) -> None:
        small = SearchSpace("small", "toy", LINE.choices[:3], Task(2))
        evaluator = ToyEvaluator(small)
        generations = _run(search, evaluator, [toy_limit(small, 5)])
        assert sorted(map(tuple, evaluator.rows.tolist())) == [tuple(row) for row in small.enumerate().tolist() if sum(row) <= 5]
        assert generations[-1].elite[0].genes == (0, 2, 3)

    def test_a_search_that_was_stopped_goes_the_same_way_again(
        self, search: Algorithm, space: SearchSpace, limit: UpperLimit, evaluator: ToyEvaluator
    ) -> None:
        whole = _run(search, evaluator, [limit], seed=5)
        memory = RememberingEvaluator(ToyEvaluator(space))
        stopped = search(space, memory, LABELS, [limit], rng=np.random.default_rng(5), settings=SIZES)
        num_told = 0
        while num_told < 3:
            num_told += bool(next(stopped).fresh)
        stopped.close()  # type: ignore[attr-defined]  # a generator
        num_known = len(memory.inner.rows)
        again = list(search(space, memory, LABELS, [limit], rng=np.random.default_rng(5), settings=SIZES))
        assert [_genes(record.fresh) for record in again] == [_genes(record.fresh) for record in whole]
        assert 0 < num_known < len(memory.inner.rows) == len(evaluator.rows)  # nothing was predicted twice
        assert np.array_equal(memory.inner.rows, evaluator.rows)

    def test_what_it_starts_with_is_evaluated_first_as_far_as_limits_allow(
        self, search: Algorithm, space: SearchSpace, limit: UpperLimit, evaluator: ToyEvaluator
    ) -> None:
        drawn_AG = unique_rows(space.sample(400, np.random.default_rng(7)))
        allowed_A = limit.violation(drawn_AG) == 0
        given_AG = np.concatenate([drawn_AG[allowed_A][:3], drawn_AG[~allowed_A][:3]])
        fresh = [each for record in _run(search, evaluator, [limit], start={"given": given_AG}) for each in record.fresh]
        assert {each.genes for each in fresh[:3]} == {tuple(row) for row in given_AG[:3].tolist()}
        assert [each.origin for each in fresh].count("given") == 3
        assert all(each.origin == "given" for each in fresh[:3])

    def test_lower_limits_are_kept_and_bands_between_two_limits(
        self, search: Algorithm, space: SearchSpace, evaluator: ToyEvaluator
    ) -> None:
        most = int(toy_cost(space)(space.extreme(largest=True))[0])
        for low, high in ((most // 2, most), (most - 1, most), (9, 9), (1, 1)):
            limits: list[CostConstraint] = [LowerLimit("latency_ms", low, toy_cost(space)), toy_limit(space, high)]
            evaluator.asked.clear()
            _run(search, evaluator, limits)
            costs_A = toy_cost(space)(evaluator.rows)
            assert low <= costs_A.min() <= costs_A.max() <= high

    def test_a_limit_that_leaves_a_few_networks_does_not_stall(
        self, search: Algorithm, space: SearchSpace, evaluator: ToyEvaluator
    ) -> None:
        narrow = toy_limit(space, 1)
        _run(search, evaluator, [narrow])
        assert len(evaluator.rows) > 0
        assert narrow.violation(evaluator.rows).sum() == 0

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
        limits = [UpperLimit("macs", 0.5, toy_cost(space, "macs", offset=5.0)), toy_limit(space, 3)]
        with pytest.raises(InfeasibleError) as caught:
            _run(search, evaluator, limits)
        assert all(str(limit) in str(caught.value) for limit in limits)
        assert evaluator.asked == []


class BeatsRandomSearch:
    """What a search that learns from what it has seen shows beyond `SearchConformance`: the fixture ``search`` returns it.

    With a few hundred of 65,536 and of 1,398,100 networks evaluated; and with AutoFormer's sizes on spaces whose optimum under a
    limit is known by enumeration.
    """

    @pytest.fixture
    def search(self) -> Algorithm:
        """The algorithm under test."""
        raise NotImplementedError

    @pytest.mark.parametrize(("space", "limit"), [(LINE, 12), (TALL_TREE, 22)], ids=["line", "tall tree"])
    def test_it_finds_better_networks_than_random_search_does(self, search: Algorithm, space: SearchSpace, limit: int) -> None:
        mine, drawn = (self._best(each, space, limit, seeds=10, sizes=SIZES) for each in (search, random_search))
        assert sum(a > b for a, b in zip(mine, drawn, strict=True)) >= 7
        assert np.mean(mine) > np.mean(drawn)

    @pytest.mark.parametrize(("space", "limit"), [(LINE, 12), (TREE, 9)], ids=["line", "tree"])
    def test_it_finds_the_known_optimum_from_most_seeds(self, search: Algorithm, space: SearchSpace, limit: int) -> None:
        best = self._optimum(space, limit)
        found = self._best(search, space, limit)
        assert sum(top1 == best for top1 in found) >= 3
        assert min(found) > best - 0.05

    @pytest.mark.parametrize("space", [LINE, TREE], ids=["line", "tree"])
    def test_it_finds_the_optimum_among_a_few_networks(self, search: Algorithm, space: SearchSpace) -> None:
        assert self._best(search, space, 1, seeds=1)[0] == self._optimum(space, 1)

    def _best(
        self,
        search: Algorithm,
        space: SearchSpace,
        limit: int,
        *,
        seeds: int = 5,
        sizes: EvolutionSettings = AUTOFORMER_SIZES,
    ) -> list[float]:
        """Accuracy of the best network from every seed."""
        limits = [toy_limit(space, limit)]
        runs = [_run(search, ToyEvaluator(space), limits, seed=seed, sizes=sizes) for seed in range(seeds)]
        return [generations[-1].elite[0].top1 for generations in runs]

    def _optimum(self, space: SearchSpace, limit: int) -> float:
        every_AG = space.enumerate()
        return float(toy_score(space, every_AG[toy_limit(space, limit).violation(every_AG) == 0]).max() / len(LABELS))


def _run(
    search: Algorithm,
    evaluator: ToyEvaluator,
    limits: Sequence[CostConstraint],
    floors: Sequence[MetricConstraint] = (),
    *,
    seed: int = 0,
    sizes: EvolutionSettings = SIZES,
    start: Mapping[str, Genes] | None = None,
) -> list[Generation]:
    rng = np.random.default_rng(seed)
    return list(search(evaluator.space, evaluator, LABELS, limits, floors, rng=rng, settings=sizes, start=start))


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
        assert constraint.name in (name, lower_name(name))
        assert relation in ("<=", ">=")
        assert np.isfinite(float(limit))


def _violation(constraint: CostConstraint | MetricConstraint, judged: Judged, rows: slice) -> NDArray[np.float64]:
    labels = () if judged.labels_N is None else (judged.labels_N,)
    violation: Callable[..., NDArray[np.float64]] = constraint.violation
    return violation(judged.shown[rows], *labels)
