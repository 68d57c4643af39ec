"""What is said of images that were not seen, and where numbers that no gate judges have moved."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgenas.deploy.margins import margins
from edgenas.deploy.parity import Gates, compare
from edgenas.deploy.shifts import calibration_shift, logit_errors
from edgenas.deploy.unseen import margins_of, reach_of, unseen_flips
from edgenas.records import Parity
from edgenas.stats import clopper_pearson

CLASSES = ("healthy", "covid-19")


def drawn(num: int, *, seed: int = 0, error: float = 0.2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits of a source and of a file whose errors do not depend on the image, and labels."""
    rng = np.random.default_rng(seed)
    labels_N = rng.integers(2, size=num)
    reference_NC = 2.0 * np.eye(2)[labels_N] + rng.normal(0, 1, (num, 2))
    return reference_NC, reference_NC + rng.normal(0, error, (num, 2)), labels_N


def test_every_image_lies_in_one_bin_and_flips_in_near_ones() -> None:
    reference_NC, candidate_NC, _ = drawn(2000)
    flipped_N = reference_NC.argmax(1) != candidate_NC.argmax(1)
    found = margins_of(reference_NC, candidate_NC, flipped_N, None, None)
    assert found is not None
    assert sum(each.images for each in found.bins) == 2000
    assert sum(each.flips for each in found.bins) == flipped_N.sum() > 0
    assert [each.below for each in found.bins[:-1]] == [each.at_least for each in found.bins[1:]]
    assert all(each.flips == 0 for each in found.bins if each.at_least >= found.largest_reach)
    assert found.num_within >= flipped_N.sum()
    assert found.nearest == pytest.approx(margins(reference_NC, None, None).min())


def test_the_bound_under_independence_holds_for_images_that_were_not_seen() -> None:
    reference_NC, candidate_NC, _ = drawn(50_000, seed=1)
    margin_N, reach_N = margins(reference_NC, None, None), reach_of(reference_NC, candidate_NC)
    within = float((margin_N < reach_N).mean())
    held = 0
    for part in np.split(np.arange(50_000), 100):
        flipped_N = np.zeros(len(part), dtype=bool)
        unseen = unseen_flips(flipped_N, margin_N[part], reach_N[part])
        assert unseen is not None
        assert unseen.independent is not None
        held += unseen.independent.high >= within
    assert held >= 95


def test_with_no_pair_in_reach_the_bound_is_that_of_no_flip_among_as_many() -> None:
    unseen = unseen_flips(np.zeros(1000, dtype=bool), np.full(1000, 5.0), np.full(1000, 0.1))
    assert unseen is not None
    assert unseen.independent is not None
    assert unseen.independent.high == pytest.approx(1 - 0.05 ** (1 / 1000))
    assert unseen.seen.high == pytest.approx(clopper_pearson(0, 1000).high)
    words = "0 of 1,000 images changed, so at most 0.37 % of unseen ones drawn alike; 0 % (at most 0.3 %) if errors do not depend"
    assert unseen.words("images").startswith(words)


def test_without_the_source_s_logits_what_was_seen_is_all_that_is_said() -> None:
    unseen = unseen_flips(np.array([True] + [False] * 99), None, None)
    assert unseen is not None
    assert unseen.independent is None
    assert unseen.words("positives") == "1 of 100 positives changed, so at most 5.4 % of unseen ones drawn alike"


def test_a_file_that_is_less_sure_than_its_source_shifts_the_calibration_error() -> None:
    reference_NC, _, labels_N = drawn(3000)
    flatter = calibration_shift(reference_NC, 0.2 * reference_NC, labels_N)
    same = calibration_shift(reference_NC, reference_NC, labels_N)
    assert flatter is not None
    assert same is not None
    assert flatter.shift.low > 0.02
    assert flatter.shift.value == pytest.approx(flatter.file - flatter.source)
    assert (same.shift.value, same.shift.low, same.shift.high) == (0, 0, 0)


def test_the_ratio_of_signal_to_noise_is_that_of_their_powers() -> None:
    reference_NC, _, _ = drawn(500)
    found = logit_errors(reference_NC, reference_NC * 1.01)
    assert found.snr_db == pytest.approx(40.0)
    assert found.min_cosine == pytest.approx(1.0)
    assert logit_errors(reference_NC, reference_NC).snr_db is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_of_numbers_that_are_not_finite_nothing_is_said_but_what_was_seen(bad: float) -> None:
    reference_NC, candidate_NC, labels_N = drawn(200)
    candidate_NC[3, 0] = bad
    parity = compare(reference_NC, candidate_NC, labels_N, class_names=CLASSES, positive=1, threshold=0.5, gates=Gates())
    assert (parity.verdict, parity.margins, parity.calibration, parity.logits.snr_db) == ("failed", None, None, None)
    assert parity.unseen is not None
    assert parity.unseen.independent is None


def test_the_evidence_comes_back_from_json_and_may_be_missing() -> None:
    reference_NC, candidate_NC, labels_N = drawn(200)
    parity = compare(reference_NC, candidate_NC, labels_N, class_names=CLASSES, positive=1, threshold=0.5, gates=Gates())
    plain = parity.as_json()
    assert Parity.from_json(plain).margins == parity.margins
    assert Parity.from_json(plain).unseen_positives == parity.unseen_positives
    for name in ("margins", "unseen", "unseen_positives", "calibration"):
        del plain[name]
    assert Parity.from_json(plain).margins is None
