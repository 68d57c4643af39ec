"""What a proof makes of a few short trainings; `test_end_to_end.py` trains for real."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenas.project.journals import journal, pack
from edgenas.project.searching.proof import Prover, told_proof
from edgenas.records import CandidateRow
from edgenas.search import Candidate
from edgenas.search.finalists import Finalist, Proof, choose
from edgenas.search.proof_scores import (
    expected_after,
    first_epochs,
    in_turn,
    judge_first_rung,
    log_likelihoods,
    noise_of,
    num_left,
    survivors,
)
from edgenas.stats import Proportion

NUM_IMAGES = 2000


def finalist(number: int, *, inherited: float = 0.8, macs: int = 1000, hand: bool = False, pixels: int | None = None) -> Finalist:
    candidate = Candidate((number,), 0, "random", np.zeros((1, 2), dtype=np.float16), inherited, -0.5, 0.0)
    row = CandidateRow(
        arch={"number": number} | ({} if pixels is None else {"resolution_px": pixels}),
        params=macs * 10,
        macs=macs,
        latency_ms_predicted=1.0,
        top1=inherited,
        sensitivity={},
        generation=0,
        origin="random",
        top1_confirm=Proportion(inherited, 0.0, 1.0, 100),
    )
    return Finalist(candidate, row, is_hand_designed=hand)


def outcomes(worths_A: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Log-likelihoods of images by nets of these means; hard images are hard for all."""
    hardness_N = rng.normal(0, 0.3, NUM_IMAGES)
    return worths_A[:, None] + hardness_N + rng.normal(0, 0.5, (len(worths_A), NUM_IMAGES))


def test_a_ranker_that_ranks_held_out_nets_best_steadies_the_scores() -> None:
    rng = np.random.default_rng(0)
    macs_A = rng.integers(1000, 4000, 16)
    inherited_A = rng.uniform(0.7, 0.8, 16)
    truth_A = 0.5 + 0.05 * np.log(macs_A) - 0.3 + 0.5 * inherited_A
    nets = [finalist(i, inherited=float(inherited_A[i]), macs=int(macs_A[i])) for i in range(16)]
    log_AN = outcomes(truth_A, rng)
    found, ranker, scores_A = judge_first_rung(nets, log_AN)
    assert found is not None
    assert ranker == "combined"
    assert found.tau["combined"].value > max(found.tau[name].value for name in ("inherited", "macs"))
    assert np.abs(scores_A - truth_A).mean() < np.abs(log_AN.mean(axis=1) - truth_A).mean()


def test_a_ranker_that_knows_nothing_is_not_used() -> None:
    rng = np.random.default_rng(1)
    nets = [finalist(i, inherited=float(rng.random()), macs=int(rng.integers(1000, 4000))) for i in range(16)]
    log_AN = outcomes(rng.uniform(-0.6, -0.3, 16), rng)
    _, ranker, scores_A = judge_first_rung(nets, log_AN)
    assert ranker == "none"
    assert scores_A == pytest.approx(log_AN.mean(axis=1))


def test_few_nets_are_not_ranked_by_anything_else() -> None:
    log_AN = outcomes(np.array([-0.4, -0.5]), np.random.default_rng(0))
    assert judge_first_rung([finalist(0), finalist(1)], log_AN)[:2] == (None, "none")


def test_the_noise_is_that_of_images_which_nets_do_not_share() -> None:
    rng = np.random.default_rng(0)
    means = np.array([outcomes(np.full(8, -0.4), np.random.default_rng(seed)).mean(axis=1) for seed in range(400)])
    between = float(means.var(axis=1, ddof=1).mean())  # within one draw of images
    assert noise_of(outcomes(np.full(8, -0.4), rng)) == pytest.approx(between, rel=0.2)
    assert noise_of(outcomes(np.array([-0.4]), rng)) == 0


def test_no_single_image_decides() -> None:
    p_NC = np.array([[0.9, 0.1], [0.0, 1.0], [0.25, 0.75]], dtype=np.float16)
    logs_N = log_likelihoods(p_NC, np.array([0, 0, 1]))
    assert logs_N == pytest.approx(np.log([0.9, 1e-3, 0.75]), rel=2e-3)


def test_the_best_hand_designed_net_reaches_the_second_rung() -> None:
    nets = [finalist(i, hand=i >= 9) for i in range(12)]
    places = survivors(nets, np.linspace(0.9, 0.8, 12))
    assert places == [0, 1, 2, 9]
    assert survivors(nets, np.linspace(0.8, 0.9, 12)) == [11, 10, 9, 8]


def test_nets_that_read_more_pixels_go_on_although_they_learn_later() -> None:
    nets = [finalist(i, pixels=24 if i < 10 else 32) for i in range(15)]
    scores_A = np.concatenate([np.linspace(0.9, 0.8, 10), np.linspace(0.7, 0.6, 5)])
    assert survivors(nets, scores_A) == [0, 1, 2, 10, 11]
    assert in_turn([0, 1, 2, 3], [24, 24, 24, 32], 3) == [0, 1, 3]
    assert in_turn([0, 1, 2, 3], [24, 24, 32, 48], 4) == [0, 1, 2, 3]
    assert in_turn([0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6], 4) == [0, 1, 2, 3]
    assert in_turn([], [], 3) == []


def test_a_second_rung_is_expected_to_keep_the_order_within_a_resolution_only() -> None:
    nets = [finalist(i, pixels=pixels) for i, pixels in enumerate((24, 24, 32, 32))]
    found_A = expected_after(nets, np.array([0.80, 0.82, 0.70, 0.74]), np.array([0.83, 0.83, 0.85, 0.87]))
    assert found_A == pytest.approx([0.82, 0.84, 0.84, 0.88])


def test_rungs_share_the_epochs() -> None:
    assert [first_epochs(epochs) for epochs in (1, 2, 3, 12, 20)] == [1, 1, 1, 4, 7]
    assert [num_left(num) for num in (1, 2, 3, 8, 12, 16, 24)] == [1, 2, 3, 3, 4, 5, 8]


def test_what_a_proof_has_done_already_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    known: set[tuple[str, int]] = {("a", 4), ("b", 4), ("c", 4), ("a", 12)}
    prover = Prover(None, None, None, "cpu", None, 12)  # type: ignore[arg-type]  # only what it estimates is asked for
    monkeypatch.setattr(
        Prover, "_unknown", lambda self, archs, epochs: [(a["n"], epochs) for a in archs if (a["n"], epochs) not in known]
    )
    monkeypatch.setattr(Prover, "_seconds", lambda self, jobs: float(sum(epochs for _, epochs in jobs)))
    archs = [{"n": name} for name in "abc"]
    assert prover.seconds(archs, 4) == 0
    assert prover.seconds_of_some(archs, 3, 12) == 24  # the second rung is still to come
    assert prover.seconds_of_some(archs, 1, 12) == 0
    assert str(told_proof(3, 1, 12, 4, 0.0).text).endswith("for 12: there already")


def test_a_proofs_trainings_are_counted_whenever_they_ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Prover, "job", lambda self, arch, epochs, label: f"{arch['number']} for {epochs}")
    monkeypatch.setattr(Prover, "key", lambda self, job: job)
    right_N = np.ones(4, dtype=np.bool_)
    nets = [
        finalist(0).proven(Proof(4, 0.9, -0.3, right_N, -0.3, -0.3)),
        finalist(1).proven(Proof(12, 0.9, -0.3, right_N, -0.3, -0.3)),
        finalist(2),
    ]
    with journal(tmp_path / "proofs.jsonl", {}, keep=True) as memory:
        for key in ("0 for 4", "1 for 4", "2 for 4"):
            memory.record(key, replace(pack(np.zeros((4, 2))), seconds=10.0))
        memory.record("1 for 12", replace(pack(np.zeros((4, 2))), seconds=30.0))
    with journal(tmp_path / "proofs.jsonl", {}, keep=True) as memory:  # a later call
        prover = Prover(None, None, None, "cpu", memory, 12)  # type: ignore[arg-type]
        assert prover.spent(nets) == (50.0, 20)


def test_a_net_that_came_further_wins_and_floors_come_before_scores() -> None:
    right_N = np.ones(4, dtype=np.bool_)
    early = finalist(0, inherited=0.99).proven(Proof(4, 0.9, -0.3, right_N, -0.2, -0.2))
    low = finalist(1, inherited=0.9).proven(Proof(12, 0.9, -0.3, right_N, -0.25, -0.25, ("sensitivity[ill]",)))
    late = finalist(2, inherited=0.7).proven(Proof(12, 0.8, -0.5, right_N, -0.4, -0.4))
    unproven = finalist(3, inherited=1.0)
    assert choose([early, low, late, unproven]) is late
    assert choose([early, low, unproven]) is low
    assert choose([early, unproven]) is early
    assert choose([unproven]) is unproven
    proofs = [finalist.row.proof for finalist in (late, low)]
    assert [(proof.epochs, proof.low_floors) for proof in proofs if proof is not None] == [(12, ()), (12, ("sensitivity[ill]",))]
