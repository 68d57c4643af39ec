"""The table of nets that were evaluated once, and searches that are replayed on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import search_replay
from benchmarks.search_replay import Replay, Scene, extra_arguments, main, read, replay, scene
from benchmarks.search_table import LEVELS, Chain, Table, load, part_of, rows_of, widened
from edgenas.costs import cost_models
from edgenas.search import EvolutionSettings
from edgenas.spaces import Task, get_space
from edgenas.supernets import build_supernet
from edgenas.training.evaluation import SupernetEvaluator

SMALL = EvolutionSettings(num_generations=2, population=12, num_parents=4, num_mutations=6, num_crossovers=6)


@pytest.fixture(scope="module")
def table() -> Table:
    """The table that is kept."""
    return load()


@pytest.fixture(scope="module")
def at(table: Table) -> Scene:
    """Its part under a limit that half of it meets."""
    return scene(table, 0.5)


@pytest.fixture
def few_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_table_holds_every_net_of_its_part_and_nets_of_the_whole_space(table: Table) -> None:
    part_AG = table.genes_AG[table.origin_A == "part"]
    assert len(part_AG) == table.part.cardinality == 3456
    assert np.array_equal(part_AG, widened(table.part, table.space, table.part.enumerate()))
    assert table.part == part_of(table.space)
    assert len(np.unique(table.genes_AG, axis=0)) == len(table.genes_AG) == sum(table.facts["nets"].values()) >= 2000
    assert {origin: int((table.origin_A == origin).sum()) for origin in table.facts["nets"]} == table.facts["nets"]
    rows = rows_of(table.space, table.part, 256, 0)
    assert np.array_equal(np.concatenate(list(rows.values())), table.genes_AG)


def test_its_costs_are_those_of_the_space(table: Table) -> None:
    costs = cost_models(table.space, table.space.default_task)
    assert np.array_equal(costs["macs"](table.genes_AG), table.macs_A)
    assert np.array_equal(costs["params"](table.genes_AG), table.params_A)


@pytest.mark.usefixtures("few_threads")
def test_nets_that_begin_alike_predict_what_they_predict_alone() -> None:
    space, task = get_space("pvt-elastic-nano"), Task(10, 3, 32)
    torch.manual_seed(0)
    supernet = build_supernet(space, task).eval()
    images = np.random.default_rng(0).normal(size=(6, 3, 32, 32)).astype(np.float32)
    part = part_of(space)
    rows = np.concatenate([widened(part, space, part.enumerate())[[0, 1, 2, 7, 1800]], space.sample(2, np.random.default_rng(1))])
    chain = Chain(supernet, images)
    found = np.stack([chain(tuple(int(gene) for gene in row)) for row in rows])
    assert np.array_equal(found, SupernetEvaluator(supernet, images)(rows, np.arange(6)))


def test_a_replayed_net_decides_as_the_table_says(table: Table) -> None:
    evaluate = Replay(table)
    rows, images = table.part.enumerate()[[0, 5, 3000]], np.array([3, 900, 17, 18])
    p_ANC = evaluate(rows, images)
    on_select = table.decided_AN[:, table.split_N == "select"]
    assert p_ANC.shape == (3, 4, 10)
    assert np.array_equal(p_ANC.argmax(axis=2), on_select[[0, 5, 3000]][:, images])
    assert evaluate.num_images == 12
    everywhere = evaluate(table.part.enumerate()[::500], np.arange(len(evaluate.labels_N)))
    assert np.array_equal(everywhere.argmax(axis=2), on_select[:3456:500])
    of_label = everywhere[:, np.arange(len(evaluate.labels_N)), evaluate.labels_N]
    kept = table.label_AN[:3456:500, table.split_N == "select"] / LEVELS
    assert np.abs(of_label - kept).max() < 0.01
    with pytest.raises(KeyError):
        evaluate(np.full((1, table.part.num_genes), 9), images)


def test_all_nets_within_the_limit_have_the_whole_hypervolume(at: Scene) -> None:
    within = np.flatnonzero(at.macs_A <= at.limit)
    assert at.volume(within.tolist()) == 1.0
    assert 0 < at.volume(within[:3].tolist()) < 1
    assert at.best == at.scores_A[within].max()


@pytest.mark.parametrize("name", ["evolution", "random"])
def test_a_replay_stays_within_limit_and_budget_and_takes_the_same_way_again(name: str, at: Scene) -> None:
    trail = replay(name, "accuracy", at, 7, SMALL)
    assert len(trail["places"]) == len(set(trail["places"])) <= SMALL.budget
    assert (at.macs_A[trail["places"]] <= at.limit).all()
    assert at.scores_A[trail["winner"]] == at.scores_A[trail["places"]].max()
    assert replay(name, "accuracy", at, 7, SMALL)["places"] == trail["places"]
    told = read(trail, at, SMALL.budget)
    assert told["best"] == told["best_curve"][-1] >= told["early"]
    assert told["volume_curve"] == sorted(told["volume_curve"])
    assert told["images"] == len(trail["places"]) * 1150


def test_what_needs_a_score_is_given_the_parameters(at: Scene) -> None:
    assert extra_arguments("evolution", "accuracy", at) == {}
    score = extra_arguments("training-free", "accuracy", at)["score"]
    assert np.array_equal(score(at.table.part.enumerate()[:5]), at.table.params_A[:5])


def test_a_report_says_what_every_algorithm_found_and_goes_on_from_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_replay, "ALGORITHMS", _two())
    monkeypatch.setattr(search_replay, "AIMS", ("accuracy",))
    monkeypatch.setattr(search_replay, "evolution_settings", lambda _: SMALL)
    arguments = ["--seeds", "2", "--journal", str(tmp_path / "journal.jsonl"), "--output", str(tmp_path)]
    assert main(arguments) == 0
    (report,) = tmp_path.glob("*.md")
    text = report.read_text()
    for words in ("| evolution | ", "| random | ", "2 seeds each", "at most 36 nets", "1,728 nets, the best has 81.57 %"):
        assert words in text, words
    numbers = json.loads(report.with_suffix(".json").read_text())
    assert [(each["quantile"], each["algorithm"], len(each["best"])) for each in numbers["by_seed"]] == [
        (quantile, name, 2) for quantile in (0.25, 0.5) for name in ("evolution", "random")
    ]
    with Image.open(report.with_suffix(".png")) as picture:
        assert picture.size[0] > 600
    before = (tmp_path / "journal.jsonl").read_bytes()
    assert main(arguments) == 0
    assert (tmp_path / "journal.jsonl").read_bytes() == before


def _two() -> object:
    from edgenas.registries import Registry
    from edgenas.search import ALGORITHMS

    own = {name: ALGORITHMS[name] for name in ("evolution", "random")}
    return Registry("search algorithm", "edgenas.none", own, accepts=callable, expected="a function")
