"""Races on real and generated predictions: who is dropped, how often wrongly, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenas.search import Candidate, EvolutionSettings, Judge, Raced, SensitivityFloor, evolve, random_search
from edgenas.search.expecting import KnownNets
from edgenas.search.racing import FIRST_LOOK, NUM_KNOWN, least_violation, looks_at, racing_order
from edgenas.spaces import Choice, Genes, SearchSpace, Task

NUM = 1000
LABELS = np.random.default_rng(5).permutation(np.repeat([0, 1], [300, 700]))
FLOOR = SensitivityFloor("ill", 0, 0.9, positive=None, threshold=None)
LADDER = SearchSpace("ladder", "toy", tuple(Choice(f"x[{i}]", tuple(range(8))) for i in range(3)), Task(2))


class Answers:
    """Nets of given accuracies: an image is found by a net if it is no harder than the net is good."""

    def __init__(self, hard_N: NDArray[np.float64]) -> None:
        self.hard_N, self.num_asked = hard_N, 0

    def __call__(self, genes_AG: Genes, image_indices: NDArray[np.int64], /) -> NDArray[np.float16]:
        self.num_asked += len(genes_AG) * len(image_indices)
        good_A = 0.5 + 0.02 * genes_AG.sum(axis=1)
        noise_AN = np.stack([np.random.default_rng(row.astype(np.uint8).tolist()).normal(0, 0.1, NUM) for row in genes_AG])
        right_AM = (self.hard_N + noise_AN)[:, image_indices] < good_A[:, None]
        of_first_AM = np.where((LABELS[image_indices] == 0) == right_AM, 0.75, 0.25)
        return np.stack([of_first_AM, 1 - of_first_AM], axis=2).astype(np.float16)


def answers(seed: int = 0) -> Answers:
    return Answers(np.random.default_rng(seed).random(NUM))


def judged(evaluate: Raced, rows: Sequence[Sequence[int]], floors: Sequence[SensitivityFloor] = ()) -> list[Candidate]:
    return Judge(evaluate, LABELS, floors)(np.array(rows, dtype=np.int16), 0, "test")


def raced(evaluate: Answers, *whole: Sequence[int], error: float = 0.05, floors: Sequence[SensitivityFloor] = ()) -> Raced:
    """A race against the best of nets that have seen everything: those given, and as many bad ones as a race asks for."""
    race = Raced(evaluate, error=error, keep=1)
    bad = [row for row in np.ndindex(3, 3, 3) if row not in whole]
    first = judged(race, [*whole, *bad[: NUM_KNOWN[0] - len(whole)]], floors)
    assert all(candidate.images_M is None for candidate in first)
    return race


def test_looks_grow_until_all_images_are_seen() -> None:
    assert looks_at(1000) == (64, 96, 144, 216, 324, 486, 729, 1000)
    assert looks_at(64) == (64,)


def test_beginnings_of_the_order_have_every_class_in_its_share() -> None:
    order_N = racing_order(LABELS)
    assert sorted(order_N) == list(range(NUM))
    for num in looks_at(NUM):
        assert abs(int((LABELS[order_N[:num]] == 0).sum()) - 0.3 * num) <= 2
    assert np.array_equal(order_N, racing_order(LABELS))


def test_a_bad_net_is_dropped_early_and_a_good_one_sees_everything() -> None:
    evaluate = answers()
    race = raced(evaluate, (4, 4, 4))
    bad, good = judged(race, [[2, 2, 3], [5, 5, 5]])
    assert (good.images_M, good.dropped_for) == (None, None)
    assert bad.dropped_for == "accuracy"
    assert bad.images_M is not None
    assert len(bad.images_M) == len(bad.probabilities_NC) <= 3 * FIRST_LOOK
    whole = answers()(np.array([[2, 2, 3]], dtype=np.int16), np.arange(NUM))[0].argmax(axis=1) == LABELS
    assert bad.expected_top1 == pytest.approx(whole.mean(), abs=0.1)
    right_M = bad.probabilities_NC.argmax(axis=1) == LABELS[bad.images_M]
    assert bad.top1 == right_M.mean()
    assert evaluate.num_asked == (NUM_KNOWN[0] + 1) * NUM + len(bad.images_M)


def test_a_net_that_sees_everything_is_the_candidate_that_it_is_without_a_race() -> None:
    (whole,) = judged(raced(answers(), (0, 0, 0)), [[3, 5, 7]])
    (plain,) = Judge(answers(), LABELS, ())(np.array([[3, 5, 7]], dtype=np.int16), 0, "test")
    assert np.array_equal(whole.probabilities_NC, plain.probabilities_NC)
    assert (whole.rank, whole.genes) == (plain.rank, plain.genes)


def test_nothing_is_dropped_before_enough_nets_have_seen_everything() -> None:
    race = Raced(answers(), error=0.05, keep=20)
    rows = list(np.ndindex(3, 3, 3))
    first = judged(race, [(7, 7, 7), *rows[:19]])
    assert all(candidate.images_M is None for candidate in first)  # fewer than are kept
    assert judged(race, [(2, 2, 2)])[0].images_M is None  # the rival is the worst of twenty


def test_a_dropped_net_ranks_behind_all_that_have_seen_everything_and_miss_no_floor() -> None:
    race = raced(answers(), (7, 7, 7))
    (bad,) = judged(race, [[2, 2, 3]])
    assert bad.expected_top1 is not None
    better = replace(bad, losses=(-bad.expected_top1 - 0.01,))
    assert better.rank < bad.rank  # whatever of the images seen it gets right
    lucky = Candidate((9,), 0, "test", bad.probabilities_NC, 0.99, -0.1, 0.0, (), bad.images_M, "accuracy")
    (whole,) = Judge(answers(), LABELS, ())(np.array([[2, 2, 3]], dtype=np.int16), 0, "test")
    assert whole.rank < lucky.rank < bad.rank


def test_a_net_that_is_certain_to_miss_a_floor_is_dropped_for_it() -> None:
    race = raced(answers(), (7, 7, 7), error=1e-200, floors=[FLOOR])  # accuracy drops nobody
    (low,) = judged(race, [[4, 4, 4]], [FLOOR])
    assert low.dropped_for == "sensitivity[ill]"
    assert low.rejected_by == ("sensitivity[ill]",)
    (whole,) = Judge(answers(), LABELS, [FLOOR])(np.array([[4, 4, 4]], dtype=np.int16), 0, "test")
    assert 0 < low.shortfall <= whole.shortfall  # what is certain is no more than what is true


def test_where_no_net_meets_a_floor_none_is_dropped_for_its_accuracy() -> None:
    impossible = SensitivityFloor("ill", 0, 1.0, positive=None, threshold=None)
    race = raced(answers(), (7, 7, 6), error=0.5, floors=[impossible])
    for candidate in judged(race, [[2, 2, 3], [7, 7, 7]], [impossible]):
        assert candidate.dropped_for in (None, "sensitivity[ill]")


def test_what_is_certain_of_a_floor_counts_unseen_images_as_found() -> None:
    p_MC = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float16)
    labels_N = np.array([0, 0, 0, 0, 1])
    assert least_violation(FLOOR, p_MC, np.array([0, 1]), labels_N) == pytest.approx(1 - 0.75 / 0.9)
    assert least_violation(FLOOR, p_MC[:1], np.array([0]), labels_N) == 0.0


@pytest.mark.parametrize("error", [0.05, pytest.param(0.2, marks=pytest.mark.slow)])
def test_no_more_nets_ahead_of_their_rival_are_dropped_than_the_error_says(error: float) -> None:
    rng, dropped, num = np.random.default_rng(1), 0, 30
    rows = np.array([[2, 2, 2], *[(a, b, 2) for a in range(4) for b in range(3)]], dtype=np.int16)
    for order in range(num):
        evaluate = Answers(rng.random(NUM))
        right_AN = evaluate(rows, np.arange(NUM)).argmax(axis=2) == LABELS
        net = int(np.argsort(-right_AN.mean(axis=1), kind="stable")[0])  # ahead of the best of the others, or as good
        race = Raced(evaluate, error=error, keep=1, order=order)
        judged(race, np.delete(rows, net, axis=0).tolist())
        dropped += judged(race, [rows[net].tolist()])[0].images_M is not None
    assert dropped / num <= error + 3 * np.sqrt(error / num)


def test_what_is_expected_of_a_net_is_near_what_it_reaches_and_its_error_says_how_near() -> None:
    rng = np.random.default_rng(2)
    rows = np.array(list(np.ndindex(8, 5)), dtype=np.int16)
    right_AN = answers()(np.column_stack([rows, rows[:, :1]]), np.arange(NUM)).argmax(axis=2) == LABELS
    known, apart = KnownNets.of(right_AN[:-1][::2]), []
    for right_N in right_AN[1:-1][::2]:
        images_M = rng.permutation(NUM)[:150]
        expected = known.expected(right_N[images_M], images_M)
        apart.append(((expected.value - right_N.mean()) / expected.error, expected.error))
    far_A, errors_A = np.array(apart).T
    assert 0.6 < np.sqrt((far_A**2).mean()) < 1.5
    assert errors_A.mean() < 0.8 * np.sqrt(0.2 * (1 / 150 - 1 / NUM))  # less than without known nets


def test_with_a_margin_a_net_must_be_able_to_be_ahead_by_it() -> None:
    seen = []
    for margin in (0.0, 3.0):
        race = Raced(answers(), error=0.05, keep=1, margin=margin)
        judged(race, [(4, 4, 4), *list(np.ndindex(3, 2, 2))])
        (candidate,) = judged(race, [[4, 4, 3]])
        seen.append(NUM if candidate.images_M is None else len(candidate.images_M))
    assert seen[1] < seen[0]


@pytest.mark.parametrize("search", [evolve, random_search])
def test_a_raced_search_finds_the_winner_with_fewer_images_and_takes_the_same_way_again(search: object) -> None:
    sizes = EvolutionSettings(num_generations=4, population=20, num_parents=5, num_mutations=10, num_crossovers=10)

    def found(race: bool) -> tuple[list[Candidate], int]:
        evaluate = answers()
        asked = Raced(evaluate, error=0.1, keep=5, margin=1.0) if race else evaluate
        *_, last = search(LADDER, asked, LABELS, (), rng=np.random.default_rng(0), settings=sizes)  # type: ignore[operator]
        return list(last.elite), evaluate.num_asked

    plain, all_images = found(race=False)
    with_races, images = found(race=True)
    again, _ = found(race=True)
    assert [c.rank for c in with_races] == [c.rank for c in again]
    assert with_races[0].images_M is None
    assert with_races[0].top1 >= plain[0].top1 - 0.02
    assert images < 0.8 * all_images


def test_arguments_out_of_range_are_refused() -> None:
    for error, keep, margin in ((0.0, 1, 0.0), (1.0, 1, 0.0), (0.1, 0, 0.0), (0.1, 1, -1.0)):
        with pytest.raises(ValueError, match=r"keep|error"):
            Raced(answers(), error=error, keep=keep, margin=margin)
