"""Nets that `retrain` trains to the end: those that the search's proof ranks first, and which of them is kept."""

from __future__ import annotations

import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console

from edgenas.data.images import Images, decode
from edgenas.data.splits import load_splits
from edgenas.errors import MissingInputError
from edgenas.project.comparing.contenders import Ours
from edgenas.project.deployed import load_final
from edgenas.project.net_facts import facts_of
from edgenas.project.opening import Project
from edgenas.project.results import finals_of, outdated_net, searched, winner_of
from edgenas.project.retraining.verdict import proof_words
from edgenas.project.retraining.ways import Bench, Net, Try, best_of, final_words
from edgenas.records import Arch, CandidateRow, CheckpointFacts, FinalTraining, ProofRow, RetrainResult, TrainedWay
from edgenas.report.nets import retrain_view
from edgenas.runs import Outcome
from edgenas.spaces.pvt import PVT_NANO
from edgenas.stats import Proportion, wilson
from edgenas.supernets import build_net
from edgenas.training.checkpoints import save_weights
from edgenas.training.folder import WEIGHTS, weights_sha256
from edgenas.training.headers import facts_in
from edgenas.training.ways import Way, Weights
from tests.project.test_verdict import NETS, candidate, opened, report, write_search
from tests.recipes.budgets import edgenas_in, make_project

SHARE = Proportion(0.9, 0.8, 0.95, 100)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("finals"))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "work")
    return tmp_path / "work"


def proven(arch: Arch, score: float, *, epochs: int = 9, low_floors: tuple[str, ...] = ()) -> CandidateRow:
    return replace(candidate(arch), proof=ProofRow(epochs=epochs, top1=SHARE, score=score, low_floors=low_floors))


def search_found(project: Project, *finalists: CandidateRow, macs: float = 2e6) -> None:
    """A search whose winner is the first of its finalists."""
    splits = load_splits(project.run.splits).sha256
    supernet = weights_sha256(project.run.supernet)
    known = {"splits_sha256": splits, "supernet_sha256": supernet}
    write_search(project, {"macs": macs}, winner=finalists[0], finalists=finalists, **known)


def test_finals_are_the_winner_and_those_that_its_proof_ranks_next(folder: Path) -> None:
    project, _ = opened(folder)
    rejected = replace(proven(NETS[4], -0.1), rejected_by=("latency_ms",))
    search_found(
        project,
        proven(NETS[0], -0.3),
        proven(NETS[1], -0.5),
        proven(NETS[2], -0.2, epochs=3),  # of an earlier rung
        proven(NETS[3], -0.4),
        rejected,
        proven(NETS[5], -0.1, low_floors=("sensitivity[8]",)),
        candidate(NETS[6]),
    )
    assert [row.arch for row in finals_of(project.run, 1)] == [NETS[0]]
    assert [row.arch for row in finals_of(project.run, 2)] == [NETS[0], NETS[3]]
    assert [row.arch for row in finals_of(project.run, 9)] == [NETS[0], NETS[3], NETS[1]]


def test_without_a_proof_the_winner_alone_is_trained(folder: Path) -> None:
    project, _ = opened(folder)
    search_found(project, candidate(NETS[0]), candidate(NETS[1]))
    assert [row.arch for row in finals_of(project.run, 2)] == [NETS[0]]


def tries_of(folder: Path, *shown: tuple[int, Way, int, float]) -> list[Try]:
    """Trainings by their net, way, right answers of 100 on select and log-likelihood."""
    project, images = opened(folder)
    bench = Bench(project, images, "cpu", None, ("labels",), False)
    nets = [Net.of_arch(bench, "winner", folder / str(number), arch) for number, arch in enumerate(NETS[:2])]
    return [Try(nets[net], way, nets[net].folder, 1.0, wilson(right, 100), likelihood) for net, way, right, likelihood in shown]


INHERITED, FRESH = Way("finetuned", "teacher", 5, 1e-3), Way("scratch", "teacher", 9, 2e-3)


def test_between_nets_trained_alike_the_log_likelihood_decides(folder: Path) -> None:
    tries = tries_of(folder, (0, INHERITED, 80, -0.2), (0, FRESH, 89, -0.40), (1, INHERITED, 81, -0.1), (1, FRESH, 88, -0.35))
    assert best_of(tries) is tries[3]
    (text,) = final_words(tries[3], tries)
    assert text.startswith("the search's winner (89.0 % on select after 9 epochs) is overtaken by another net")
    assert "(88.0 % on select after 9 epochs)" in text


def test_between_ways_of_one_net_accuracy_decides(folder: Path) -> None:
    tries = tries_of(folder, (0, INHERITED, 80, -0.2), (0, FRESH, 89, -0.4))
    assert best_of(tries) is tries[1]
    assert list(final_words(tries[1], tries)) == []


def test_of_equally_accurate_ways_fresh_weights_are_kept(folder: Path) -> None:
    tries = tries_of(folder, (0, INHERITED, 86, -0.1), (0, FRESH, 86, -0.4), (1, INHERITED, 86, -0.2))
    assert best_of(tries) is tries[1]


def test_a_net_that_misses_a_floor_is_not_kept_for_its_likelihood(folder: Path) -> None:
    first, second = tries_of(folder, (0, FRESH, 80, -0.5), (1, FRESH, 89, -0.1))
    assert best_of([first, replace(second, low_floors=("sensitivity[8]",))]) is first


def leave_trained(project: Project, images: Images, arch: Arch, finals: tuple[Arch, ...] | None) -> None:
    """What `retrain` leaves of a net that a search has found, drawn and not trained."""
    torch.manual_seed(0)
    net = build_net(PVT_NANO, images.task, tuple(int(gene) for gene in PVT_NANO.from_json(arch)[0]))
    facts = facts_of(project.space, images, "winner", arch=arch, weights="scratch", from_search=True)
    save_weights(project.run.retrain / WEIGHTS, net, facts)
    trainings = None if finals is None else tuple(FinalTraining(arch=final, starts=()) for final in finals)
    RetrainResult(net=report(arch), finals=trainings).write(project.run.retrain / "result.json")


@pytest.mark.parametrize(
    ("finals", "outdated"),
    [
        ((NETS[0], NETS[1]), False),
        ((NETS[1], NETS[0]), True),  # of an earlier search, that NETS[1] won
        ((NETS[0], NETS[2]), True),
        (None, True),  # an earlier edgenas trained the winner alone
    ],
)
def test_a_final_that_overtook_todays_winner_is_deployed(folder: Path, finals: tuple[Arch, ...] | None, outdated: bool) -> None:
    project, images = opened(folder)
    for _ in decode(images, "calibrate"):
        pass
    search_found(project, proven(NETS[0], -0.3), proven(NETS[1], -0.4))
    leave_trained(project, images, NETS[1], finals)
    final = load_final(project, images)
    assert final.arch == NETS[0 if outdated else 1]
    assert any("holds an earlier winner" in text for text in final.warnings) == outdated
    if outdated:
        with pytest.raises(MissingInputError, match="holds an earlier winner") as raised:
            Ours.of(project, images)
        assert "inherited" not in raised.value.message
        assert raised.value.hint == f"run `edgenas retrain --run {project.run.path}` first"
    code, value, err = edgenas_in(folder, "info", "--no-loader")
    assert code == 0, value["error"]
    (stage,) = (stage for stage in value["result"]["stages"] if stage["name"] == "retrain")
    assert stage["state"] == ("outdated" if outdated else "there")
    assert ("retrain: the net holds an earlier winner" in err) == outdated


@pytest.mark.parametrize(
    ("todays", "outdated"),
    [
        ((proven(NETS[0], -0.3), proven(NETS[2], -0.5), proven(NETS[1], -0.6)), False),
        ((proven(NETS[0], -0.3), proven(NETS[2], -0.5)), True),
        ((proven(NETS[0], -0.3), replace(proven(NETS[1], -0.4), rejected_by=("latency_ms",))), True),
        ((candidate(NETS[0]),), True),
    ],
    ids=["proven", "not looked at", "too slow today", "no proof"],
)
def test_a_final_that_overtook_is_held_to_the_limits_of_a_later_search(
    folder: Path, todays: tuple[CandidateRow, ...], outdated: bool
) -> None:
    project, images = opened(folder)
    leave_trained(project, images, NETS[1], (NETS[0], NETS[1]))
    search_found(project, *todays, macs=1e6)
    weights = project.run.retrain / WEIGHTS
    why = outdated_net(project.run, CheckpointFacts.said_by(weights, facts_in(weights)), winner_of(project.run))
    words = "holds a net that overtook the winner, and that today's search has not proven within its limits"
    assert why == (words if outdated else None)


def test_finals_that_were_not_kept_are_listed_under_their_place_in_the_proof() -> None:
    way = TrainedWay(weights="scratch", teaching="teacher", epochs=9, seconds=6.0, select_top1=SHARE)
    finals = tuple(FinalTraining(arch=arch, starts=(way,)) for arch in NETS[:2])
    shown = Console(width=160, record=True, file=StringIO())
    for part in retrain_view(Outcome(RetrainResult(net=replace(report(NETS[1]), starts=(way,)), finals=finals))):
        shown.print(part)
    rows = [line for line in shown.export_text().splitlines() if "scratch" in line and "teacher" in line]
    assert sum("first in the proof" in row for row in rows) == 1
    assert not any("lower in the proof" in row for row in rows)


@pytest.mark.parametrize(
    ("proof_epochs", "epochs", "weights", "asked"),
    [(9, 60, "scratch", 36), (24, 60, "scratch", None), (9, 15, "scratch", None), (9, 60, "finetuned", None), (1, 4, "scratch", 3)],
)
def test_a_proof_much_shorter_than_what_followed_is_told(
    folder: Path, proof_epochs: int, epochs: int, weights: Weights, asked: int | None
) -> None:
    project, images = opened(folder)
    search_found(project, proven(NETS[0], -0.5, epochs=proof_epochs), proven(NETS[1], -0.6, epochs=1))
    net = Net("winner", folder, NETS[0], images)
    told = list(proof_words(searched(project.run), Try(net, Way(weights, "labels", epochs, 1e-3), folder, None, SHARE, -0.5)))
    words = (
        f"its proof trained nets for {proof_epochs} epochs, and {epochs} followed: short proofs rank those low that learn late "
        f"(`edgenas search` with search.proof_epochs={asked} asks again)"
    )
    assert told == ([] if asked is None else [words])
