"""Races on real and generated predictions: who is dropped, how often wrongly, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenas.search import Candidate, EvolutionSettings, Judge, Raced, SensitivityFloor, evolve, random_search
from edgenas.search.racing import FIRST_LOOK, least_violation, looks_at, racing_order
from edgenas.spaces import Choice, Genes, SearchSpace, Task
from edgenas.stats import behind

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


def test_looks_double_until_all_images_are_seen() -> None:
    assert looks_at(1000) == (64, 128, 256, 512, 1000)
    assert looks_at(64) == (64,)


def test_beginnings_of_the_order_have_every_class_in_its_share() -> None:
    order_N = racing_order(LABELS)
    assert sorted(order_N) == list(range(NUM))
    for num in looks_at(NUM):
        assert abs(int((LABELS[order_N[:num]] == 0).sum()) - 0.3 * num) <= 2
    assert np.array_equal(order_N, racing_order(LABELS))


def test_a_bad_net_is_dropped_early_and_a_good_one_sees_everything() -> None:
    evaluate = answers()
    race = Raced(evaluate, error=0.05, keep=1)
    (rival,) = judged(race, [[4, 4, 4]])
    bad, good = judged(race, [[0, 0, 0], [5, 5, 5]])
    assert rival.images_M is None
    assert (good.images_M, good.dropped_for) == (None, None)
    assert bad.dropped_for == "accuracy"
    assert bad.images_M is not None
    assert len(bad.images_M) == len(bad.probabilities_NC) <= 2 * FIRST_LOOK
    right_M = bad.probabilities_NC.argmax(axis=1) == LABELS[bad.images_M]
    assert bad.top1 == right_M.mean()
    assert evaluate.num_asked == 2 * NUM + len(bad.images_M)


def test_a_net_that_sees_everything_is_the_candidate_that_it_is_without_a_race() -> None:
    race = Raced(answers(), error=0.05, keep=1)
    judged(race, [[0, 0, 0]])
    (raced,) = judged(race, [[3, 5, 7]])
    (plain,) = Judge(answers(), LABELS, ())(np.array([[3, 5, 7]], dtype=np.int16), 0, "test")
    assert np.array_equal(raced.probabilities_NC, plain.probabilities_NC)
    assert (raced.rank, raced.genes) == (plain.rank, plain.genes)


def test_nothing_is_dropped_before_as_many_nets_as_are_kept_have_seen_everything() -> None:
    race = Raced(answers(), error=0.05, keep=3)
    first = judged(race, [[7, 7, 7], [6, 6, 6]])
    second = judged(race, [[0, 0, 0]])
    assert all(candidate.images_M is None for candidate in (*first, *second))
    assert judged(race, [[0, 0, 1]])[0].images_M is None  # the rival is the third best, which is as bad


def test_a_dropped_net_ranks_behind_all_that_have_seen_everything_and_miss_no_floor() -> None:
    race = Raced(answers(), error=0.05, keep=1)
    judged(race, [[7, 7, 7]])
    (bad,) = judged(race, [[0, 0, 0]])
    lucky = Candidate((9,), 0, "test", bad.probabilities_NC, 0.99, -0.1, 0.0, (), bad.images_M, "accuracy")
    (whole,) = Judge(answers(), LABELS, ())(np.array([[0, 0, 0]], dtype=np.int16), 0, "test")
    assert whole.rank < lucky.rank < bad.rank


def test_a_net_that_is_certain_to_miss_a_floor_is_dropped_for_it() -> None:
    race = Raced(answers(), error=1e-200, keep=1)  # accuracy drops nobody
    best = judged(race, [[7, 7, 7]], [FLOOR])[0]
    assert best.shortfall == 0
    (low,) = judged(race, [[4, 4, 4]], [FLOOR])
    assert low.dropped_for == "sensitivity[ill]"
    assert low.rejected_by == ("sensitivity[ill]",)
    (whole,) = Judge(answers(), LABELS, [FLOOR])(np.array([[4, 4, 4]], dtype=np.int16), 0, "test")
    assert 0 < low.shortfall <= whole.shortfall  # what is certain is no more than what is true


def test_where_no_net_meets_a_floor_none_is_dropped_for_its_accuracy() -> None:
    race = Raced(answers(), error=0.5, keep=1)
    impossible = SensitivityFloor("ill", 0, 1.0, positive=None, threshold=None)
    judged(race, [[7, 7, 6]], [impossible])
    for candidate in judged(race, [[0, 0, 0], [7, 7, 7]], [impossible]):
        assert candidate.dropped_for in (None, "sensitivity[ill]")


def test_what_is_certain_of_a_floor_counts_unseen_images_as_found() -> None:
    p_MC = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float16)
    labels_N = np.array([0, 0, 0, 0, 1])
    assert least_violation(FLOOR, p_MC, np.array([0, 1]), labels_N) == pytest.approx(1 - 0.75 / 0.9)
    assert least_violation(FLOOR, p_MC[:1], np.array([0]), labels_N) == 0.0


@pytest.mark.parametrize("error", [0.05, 0.2])
def test_no_more_nets_as_good_as_their_rival_are_dropped_than_the_error_says(error: float) -> None:
    rng, dropped, num = np.random.default_rng(1), 0, 800
    looks = looks_at(NUM)
    level = error / (len(looks) - 1)
    for _ in range(num):
        balls = np.repeat([1, -1, 0], [40, 40, NUM - 80])  # equally good on all images
        drawn = rng.permutation(balls)
        for seen in looks[:-1]:
            first, second = int((drawn[:seen] == 1).sum()), int((drawn[:seen] == -1).sum())
            if behind(first, second, seen=seen, total=NUM) <= level:
                dropped += 1
                break
    assert dropped / num <= error + 3 * np.sqrt(error / num)


def test_with_a_margin_a_net_must_be_able_to_be_better_by_it() -> None:
    assert behind(10, 10, seen=500, total=1000) > 0.5
    assert behind(10, 10, seen=500, total=1000, margin=2.0) < 0.1
    assert behind(0, 0, seen=500, total=1000) == 1.0
    assert behind(0, 20, seen=500, total=1000) < 1e-4


@pytest.mark.parametrize("search", [evolve, random_search])
def test_a_raced_search_finds_the_winner_with_fewer_images_and_takes_the_same_way_again(search: object) -> None:
    sizes = EvolutionSettings(num_generations=4, population=20, num_parents=5, num_mutations=10, num_crossovers=10)

    def found(race: bool) -> tuple[list[Candidate], int]:
        evaluate = answers()
        asked = Raced(evaluate, error=0.1, keep=5) if race else evaluate
        *_, last = search(LADDER, asked, LABELS, (), rng=np.random.default_rng(0), settings=sizes)  # type: ignore[operator]
        return list(last.elite), evaluate.num_asked

    plain, all_images = found(race=False)
    raced, images = found(race=True)
    again, _ = found(race=True)
    assert [c.rank for c in raced] == [c.rank for c in again]
    assert raced[0].images_M is None
    assert raced[0].top1 >= plain[0].top1 - 0.02
    assert images < 0.8 * all_images


def test_arguments_out_of_range_are_refused() -> None:
    for error, keep, margin in ((0.0, 1, 0.0), (1.0, 1, 0.0), (0.1, 0, 0.0), (0.1, 1, -1.0)):
        with pytest.raises(ValueError, match=r"keep|error"):
            Raced(answers(), error=error, keep=keep, margin=margin)
