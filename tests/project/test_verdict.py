"""Searched against hand-made nets: which ones are compared, what is said, which one is deployed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from edgenas.costs import cost_models
from edgenas.data.images import Images, decode
from edgenas.errors import MissingInputError
from edgenas.latency import LatencyTable
from edgenas.project.deployed import load_final
from edgenas.project.net_facts import BASELINE, HAND_DESIGNED, facts_of
from edgenas.project.opening import Project, open_images, open_project
from edgenas.project.results import RESULT
from edgenas.project.retraining.baselines import BaselineLimits, find_best, limits_for, table_of, within
from edgenas.project.retraining.floors import floor_words
from edgenas.project.retraining.verdict import choose, remarks
from edgenas.project.retraining.ways import Bench, Net, Try, best_of, job_of, short_name, ways_of
from edgenas.records import (
    Arch,
    CandidateRow,
    ChosenBy,
    Costs,
    Evaluations,
    Metrics,
    NetCosts,
    NetReport,
    PromisedBound,
    RetrainResult,
    RivalReport,
    SearchResult,
    SpaceFacts,
    TableFacts,
)
from edgenas.runs import Note
from edgenas.search import floors_of
from edgenas.spaces.designed import hand_designed
from edgenas.spaces.pvt import PVT_NANO
from edgenas.stats import Proportion, wilson
from edgenas.supernets import build_net
from edgenas.training.checkpoints import save_weights
from edgenas.training.cnn import shape_of, untrained
from edgenas.training.comparison import CNN_WORDS, HAND_WORDS, compare
from edgenas.training.folder import WEIGHTS, weights_sha256
from edgenas.training.ways import Race, Way
from tests.recipes.budgets import SMALL, TASK, edgenas_in, make_project, scaled, toy_table

NETS = hand_designed(PVT_NANO)


@pytest.fixture(scope="module")
def latency_ms() -> NDArray[np.float64]:
    """Predicted for each of these nets."""
    return toy_table().to_cost_model(PVT_NANO, TASK)(np.concatenate([PVT_NANO.from_json(arch) for arch in NETS]))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a latency table and an untrained supernet."""
    return make_project(tmp_path_factory.mktemp("verdict"))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "work")
    return tmp_path / "work"


def opened(folder: Path, *settings: str) -> tuple[Project, Images]:
    project = open_project(folder / "edgenas-run", {}, (*SMALL, *settings))
    return project, open_images(project)


def limits_of(project: Project, images: Images, *, from_search: bool) -> BaselineLimits:
    """With the middle hand-designed net as the winner."""
    bench = Bench(project, images, "cpu", None, ("labels",), False)
    winner = Net.of_arch(bench, "winner", project.run.retrain, NETS[4])
    return limits_for(project, images, winner, from_search=from_search)


def count_params(arch: Arch) -> int:
    return int(cost_models(PVT_NANO, TASK)["params"](PVT_NANO.from_json(arch))[0])


def table_facts(sha256: str) -> TableFacts:
    names = {"path": "t.json", "device": "A", "runtime": "onnxruntime-cpu", "precision": "fp32"}
    return TableFacts(**names, sha256=sha256, batch_size=1)


def candidate(arch: Arch) -> CandidateRow:
    costs = Costs(arch=arch, params=1, macs=1, latency_ms_predicted=1.0)
    return CandidateRow(**costs.as_json(), top1=0.9, sensitivity={}, generation=0, origin="random")


def write_search(project: Project, limits: dict[str, float], binding: tuple[str, ...] = (), **more: Any) -> None:
    """A search's result of which just these things matter."""
    net = NetCosts(arch=NETS[0], params=1, macs=1)
    space = SpaceFacts(
        name="pvt-nano", num_subnets=62_208, feasible_share=1.0, is_exact=True, smallest=net, median=net, largest=net
    )
    evaluations = Evaluations(candidates=1, evaluated=1, images=1, rejected={})
    known = {"splits_sha256": "", "supernet_sha256": None, "table": None, "winner": None, "closest": None, "finalists": ()} | more
    result = SearchResult(space=space, limits=limits, evaluations=evaluations, binding=binding, seed=0, **known)
    result.write(project.run.search / RESULT)


def test_hand_made_nets_are_held_to_every_limit_of_the_search(folder: Path, latency_ms: NDArray[np.float64]) -> None:
    project, images = opened(folder)
    (table,) = project.run.latency.glob("*.json")
    facts = table_facts(json.loads(table.read_text())["sha256"])
    limit_ms = float(np.median(latency_ms))
    limits = {"latency_ms": limit_ms, "params": 115_000, "sensitivity[8]": 0.9}
    write_search(project, limits, ("latency_ms",), table=facts)
    found = limits_of(project, images, from_search=True)
    assert [limit.name for limit in found.costs] == ["latency_ms", "params"]
    assert found.latency_ms == limit_ms
    fast = [arch for arch, ms in zip(NETS, latency_ms, strict=True) if ms <= limit_ms]
    small = [arch for arch in fast if count_params(arch) <= 115_000]
    assert 0 < len(small) < len(fast) < len(NETS)
    assert within(project.space, found) == (small, True)

    write_search(project, {"latency_ms": 1e6}, table=facts)
    loose = limits_of(project, images, from_search=True)
    assert within(project.space, loose) == (NETS, True)
    assert loose.latency_ms is None  # a plain CNN that takes as long is no equal

    share = Proportion(1.0, 0.9, 1.0, 20)
    promise = PromisedBound(quantile="p95", confidence=0.95, factor=1.1, num_nets=40, num_runs=36, coverage=share, slack=share)
    write_search(project, {"latency_ms": limit_ms}, ("latency_ms",), table=facts, promises={"latency_ms": promise})
    promised = limits_of(project, images, from_search=True)
    bounded = [arch for arch, ms in zip(NETS, latency_ms, strict=True) if 1.1 * ms <= limit_ms]
    assert 0 < len(bounded) < len(fast)
    assert within(project.space, promised) == (bounded, True)
    assert promised.quantile == "p95"


def test_of_limits_by_name_what_is_measured_here_is_held_to_that_of_this_device(
    folder: Path, latency_ms: NDArray[np.float64]
) -> None:
    project, images = opened(folder)
    (path,) = project.run.latency.glob("*.json")
    own = LatencyTable.load(path)
    box = scaled(toy_table(), 10.0)
    box.write(project.run.latency / "box.json")
    limit_ms = float(np.median(latency_ms))
    limits = {"latency_ms[box]": 10 * limit_ms, "latency_ms[here]": limit_ms}
    tables = {"box": table_facts(box.sha256), "here": table_facts(own.sha256)}
    write_search(project, limits, tuple(limits), table=tables["box"], tables=tables)
    found = limits_of(project, images, from_search=True)
    assert (found.here, found.latency_ms) == ("latency_ms[here]", limit_ms)
    (elsewhere,) = found.elsewhere
    assert elsewhere.startswith("latency_ms[box] <= ")
    table = table_of(project, images)
    assert table is not None
    assert table.path == path  # and not that of the first device, where nothing can be timed

    write_search(project, {"latency_ms[box]": 10 * limit_ms}, ("latency_ms[box]",), table=tables["box"], tables=tables)
    found = limits_of(project, images, from_search=True)
    assert (found.here, found.latency_ms) == (None, None)


def test_a_limit_whose_table_is_gone_is_named(folder: Path) -> None:
    project, images = opened(folder)
    write_search(project, {"latency_ms[jetson]": 5.0, "macs": 1e6}, tables={"jetson": table_facts("0" * 64)})
    found = limits_of(project, images, from_search=True)
    assert [limit.name for limit in found.costs] == ["macs"]
    (text,) = found.not_applied
    assert text.startswith("latency_ms[jetson] <= 5: its latency table is not in ")


def test_without_a_search_the_nets_own_latency_is_the_limit_and_without_a_table_its_macs(
    folder: Path, latency_ms: NDArray[np.float64]
) -> None:
    project, images = opened(folder)
    archs, fits = within(project.space, limits_of(project, images, from_search=False))
    assert fits
    assert archs == [arch for arch, ms in zip(NETS, latency_ms, strict=True) if ms <= latency_ms[4] * (1 + 1e-9)]
    shutil.rmtree(project.run.latency)
    (limit,) = limits_of(project, images, from_search=False).costs
    assert limit.name == "macs"


def test_where_no_hand_made_net_meets_the_limits_the_nearest_is_taken(folder: Path) -> None:
    project, images = opened(folder)
    write_search(project, {"macs": 1.0}, ("macs",))
    assert within(project.space, limits_of(project, images, from_search=True)) == ([NETS[0]], False)


@pytest.mark.parametrize(
    ("num", "first", "rounds"),
    [
        (2, None, ()),
        (3, None, ((3, 14),)),
        (9, None, ((9, 14), (4, 28))),
        (36, 10, ((36, 10), (18, 20), (9, 28), (4, 28))),
        (9, 0, ()),
        (9, 100, ((9, 56), (4, 56))),
    ],
)
def test_a_race_halves_the_nets_until_two_are_left(num: int, first: int | None, rounds: tuple[tuple[int, int], ...]) -> None:
    ways = [Way("finetuned", "labels", 15, 1e-3), Way("scratch", "labels", 56, 2e-3)]
    race = Race.plan(num, ways, first)
    assert race.rounds == rounds
    assert race.epochs == sum(nets * epochs for nets, epochs in rounds)


def test_an_estimate_counts_only_what_is_not_trained_yet(folder: Path) -> None:
    project, images = opened(folder, "train.epochs=2", "retrain.epochs=1", "retrain.start=scratch", "retrain.race_epochs=1")
    bench = Bench(project, images, "cpu", None, ("labels",), False)
    archs = NETS[:4]

    def told(bench: Bench = bench) -> str:
        note = next(find_best(bench, archs, 3, 60.0))
        assert isinstance(note, Note)
        return note.text

    def train(arch: dict[str, Any], place: str, way: Way) -> None:
        net = Net.of_arch(bench, HAND_DESIGNED, project.run.retrain / "tries" / f"hand-{short_name(arch)}" / place, arch)
        job = job_of(bench, net, way)
        save_weights(job.folder / WEIGHTS, job.build(), job.identity)

    (way,) = ways_of(bench.project, bench.teachings, scratch_epochs=3)
    assert told().endswith("4 for 1 epoch, 2 to the end in 1 way: 10 epochs, about 10.0 minutes at the winner's pace")
    for arch in archs:
        train(arch, "round-1", replace(way, epochs=1))
    train(archs[1], "", way)
    assert told().endswith("3 of 10 epochs are left, about 3.0 minutes at the winner's pace")
    train(archs[2], "", replace(way, epochs=2))  # for another number of epochs
    assert "3 of 10 epochs" in told()
    train(archs[2], "", way)
    assert told() == "4 hand-designed nets: already trained (--force trains them again)"
    assert "10 epochs, about 10.0 minutes" in told(replace(bench, force=True))


def train_to_say(bench: Bench, arch: dict[str, Any], way: Way, label: int) -> None:
    """A hand-made net in the place of a trained one that sees the same class in every image."""
    net = Net.of_arch(bench, HAND_DESIGNED, bench.project.run.retrain / "tries" / f"hand-{short_name(arch)}", arch)
    job = job_of(bench, net, way)
    model = job.build()
    *_, head = (module for module in model.modules() if isinstance(module, nn.Linear))
    with torch.no_grad():
        head.bias[label] += 100.0
    save_weights(job.folder / WEIGHTS, model, job.identity)


def drain(records: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(records)
        except StopIteration as ended:
            return ended.value


def test_a_hand_made_net_that_misses_a_floor_ranks_behind_those_that_do_not(folder: Path) -> None:
    project, images = opened(folder, "train.epochs=2", "retrain.epochs=1", "retrain.start=scratch")
    for _ in decode(images, "select", "confirm"):
        pass
    floors = floors_of({"macs": 2e6, "sensitivity[8]": 0.5}, images.class_names)
    assert [str(floor) for floor in floors] == ["sensitivity[8] >= 0.5"]
    free = Bench(project, images, "cpu", None, ("labels",), False)
    (way,) = ways_of(free.project, free.teachings, scratch_epochs=1)
    train_to_say(free, NETS[0], way, 3)  # of which there are more images
    train_to_say(free, NETS[1], way, 8)
    _, finals = drain(find_best(free, NETS[:2], 1, None))
    assert [each.low_floors for each in finals] == [(), ()]
    assert best_of(finals).net.arch == NETS[0]
    assert list(floor_words(finals)) == []

    bench = replace(free, floors=floors)
    _, (low, kept) = drain(find_best(bench, NETS[:2], 1, None))
    assert (low.low_floors, kept.low_floors) == (("sensitivity[8]",), ())
    assert low.trained_way.low_floors == ("sensitivity[8]",)
    assert low.select_top1.value > kept.select_top1.value
    assert best_of([low, kept]) is kept
    (text,) = floor_words([low, kept])
    assert text == "1 of 2 trainings of hand-made nets miss sensitivity[8] on confirm and rank behind those that do not"
    assert next(floor_words([low])).endswith("none of them meets what was asked for")

    chosen, by = choose(bench, kept, low)
    assert by.low_floors is not None
    assert (chosen, by.low_floors["baseline"]) == ("searched", ("sensitivity[8]",))
    assert "the hand-made net misses sensitivity[8] on confirm: the searched net is to be deployed" in by.words
    assert choose(bench, low, kept)[0] == "baseline"
    chosen, by = choose(bench, low, kept, baseline_fits=False)
    assert chosen == "searched"
    assert by.words.endswith("the hand-made net breaks the limits: the searched net is to be deployed")
    assert choose(bench, replace(kept, low_floors=()), replace(low, low_floors=()))[0] == "baseline"


def right(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    cells = np.repeat([0, 1, 2, 3], [both, first, second, neither])
    return (cells == 0) | (cells == 1), (cells == 0) | (cells == 2)


def test_the_verdict_is_a_sentence_in_points() -> None:
    better = compare(*right(900, 60, 20, 20), "baseline", HAND_WORDS, seed=0)
    assert better.better == "searched"
    assert better.words.startswith("better by 4.0 [2.")
    assert better.words.endswith("] points than the best hand-made net")
    worse = compare(*right(900, 20, 60, 20), "baseline", HAND_WORDS, seed=0)
    assert worse.better == "baseline"
    assert worse.words.startswith("worse by 4.0 [2.")
    assert worse.words.endswith("] points: take the hand-made one")
    assert worse.p_mcnemar == better.p_mcnemar < 1e-4
    open_ = compare(*right(900, 25, 20, 55), "baseline", HAND_WORDS, seed=0)
    assert open_.better == "neither"
    widest = 100 * max(abs(open_.difference.low), abs(open_.difference.high))
    assert open_.words == f"equal within {widest:.1f} points"
    assert compare(*right(900, 20, 60, 20), "cnn", CNN_WORDS, seed=0).better == "cnn"


def test_that_test_disagrees_with_the_choice_is_said() -> None:
    (text,) = remarks("searched", "baseline")
    assert text.startswith("on test the hand-made net is the better one; the searched net was chosen on select and confirm")
    assert list(remarks("baseline", "baseline")) == []
    assert list(remarks("searched", "neither")) == []
    assert list(remarks("searched", "neither", ["cnn", "neither"])) == []
    (text,) = remarks("searched", "neither", ["cnn", "cnn"])
    assert "better than both" in text


def report(arch: Arch) -> NetReport:
    """A net as `retrain` reports it."""
    share = Proportion(0.9, 0.8, 0.95, 100)
    metrics = Metrics(n=100, top1=share, top1_decision=share, sensitivity={})
    costs = {"params": 1, "macs": 1, "latency_ms_predicted": None, "latency_ms_measured": None}
    return NetReport(arch=arch, **costs, weights="scratch", epochs=1, split="test", metrics=metrics)


def retrained(project: Project, images: Images, chosen: str | None) -> None:
    """Nets as `retrain --baseline` leaves them, drawn and not trained."""
    for number, (folder, kind) in enumerate(((project.run.retrain, "winner"), (project.run.retrain / BASELINE, HAND_DESIGNED))):
        arch = NETS[number]
        torch.manual_seed(number)
        net = build_net(project.space, images.task, tuple(int(gene) for gene in project.space.from_json(arch)[0]))
        facts = facts_of(project.space, images, kind, arch=arch, weights="scratch", from_search=False)
        save_weights(folder / WEIGHTS, net, facts)
    hashes = {"searched": weights_sha256(project.run.retrain), "baseline": weights_sha256(project.run.retrain / BASELINE)}
    share = Proportion(0.9, 0.8, 0.95, 100)
    by = ChosenBy(splits=("select", "confirm"), searched=share, baseline=share, weights_sha256=hashes, words="because")
    result = RetrainResult(
        net=report(NETS[0]),
        baseline=RivalReport(net=report(NETS[1]), limits={"macs": 2e6}),
        chosen=chosen,
        chosen_by=by if chosen is not None else None,
    )
    result.write(project.run.retrain / RESULT)


@pytest.mark.parametrize(
    ("chosen", "asked", "source"),
    [
        ("baseline", "auto", "baseline"),
        ("searched", "auto", "searched"),
        (None, "auto", "searched"),  # an earlier edgenas, or no baseline
        ("baseline", "searched", "searched"),
        ("searched", "baseline", "baseline"),
    ],
)
def test_the_chosen_net_is_deployed_unless_told_otherwise(folder: Path, chosen: str | None, asked: str, source: str) -> None:
    project, images = opened(folder, f"export.net={asked}")
    for _ in decode(images, "calibrate"):
        pass
    retrained(project, images, chosen)
    final = load_final(project, images)
    assert final.source == source
    assert final.arch == NETS[0 if source == "searched" else 1]
    assert any("because" in note for note in final.notes) == (chosen is not None and asked != "baseline")
    assert final.warnings == ()


def test_a_hand_made_net_of_other_limits_is_not_deployed_by_itself(folder: Path) -> None:
    project, images = opened(folder)
    for _ in decode(images, "calibrate"):
        pass
    retrained(project, images, "baseline")
    sha256s = {"splits_sha256": images.splits.sha256, "supernet_sha256": weights_sha256(project.run.supernet)}
    winner = candidate(NETS[0])
    write_search(project, {"macs": 1e6}, winner=winner, **sha256s)
    final = load_final(project, images)
    assert final.source == "searched"
    (warning,) = final.warnings
    assert "the hand-made net was chosen under macs <= 2e+06, not under the limits of the last search; taking" in warning
    final = load_final(opened(folder, "export.net=baseline")[0], images)
    assert final.source == "baseline"
    assert "chosen under macs <= 2e+06" in final.warnings[0]
    write_search(project, {"macs": 2e6}, winner=winner, **sha256s)
    assert load_final(project, images).source == "baseline"
    write_search(project, {"macs": 2e6, "sensitivity[8]": 0.9}, winner=winner, **sha256s)
    (warning,) = load_final(opened(folder)[0], images).warnings
    assert "the hand-made net was chosen under no sensitivity[8], not under the limits of the last search; taking" in warning


def test_a_choice_between_other_weights_is_not_followed(folder: Path) -> None:
    project, images = opened(folder)
    retrained(project, images, "baseline")
    shutil.copyfile(project.run.retrain / WEIGHTS, project.run.retrain / BASELINE / WEIGHTS)
    final = load_final(project, images)
    assert final.source == "searched"
    (warning,) = final.warnings
    assert "is of other weights than are there; taking the searched net: run `edgenas retrain`" in warning
    shutil.rmtree(project.run.retrain / BASELINE)
    project, images = opened(folder, "export.net=baseline")
    with pytest.raises(MissingInputError, match="there is no hand-made net"):
        load_final(project, images)


def test_a_plain_cnns_macs_are_those_of_its_layers() -> None:
    net = untrained(TASK, 4)
    # pairs at 32 and 16 px with 4 and 8 channels, a last pair of 16 at 8 px, and the head
    pairs = 32 * 32 * 3 * 4 + 16 * 16 * 4 * 4 + 16 * 16 * 4 * 8 + 8 * 8 * 8 * 8 + 8 * 8 * 8 * 16 + 8 * 8 * 16 * 16
    assert shape_of(net, TASK)[1] == 9 * pairs + 16 * TASK.num_classes


@pytest.mark.parametrize("setting", ["scratch_epochs=0", "baseline_epochs=0", "race_epochs=-1"])
def test_epochs_out_of_range_are_refused(folder: Path, setting: str) -> None:
    code, value, _ = edgenas_in(folder, "retrain", "--set", f"retrain.{setting}")
    assert (code, value["error"]["type"]) == (1, "ConfigError")
    assert any(setting.split("=")[0] in text for text in [value["error"]["message"], *value["error"]["problems"]])


def test_a_winner_that_is_hand_designed_is_one_of_the_hand_made_nets_and_is_not_trained_again(folder: Path) -> None:
    project, images = opened(folder, "train.epochs=2", "retrain.epochs=1", "retrain.start=scratch")
    for _ in decode(images, "select"):
        pass
    bench = Bench(project, images, "cpu", None, ("labels",), False)
    (way,) = ways_of(bench.project, bench.teachings, scratch_epochs=1)
    won = Net.of_arch(bench, "winner", project.run.retrain / "tries" / "searched", NETS[0])
    winner = Try(won, way, won.folder, 1.0, wilson(9, 10), -0.3)
    train_to_say(bench, NETS[1], way, 3)
    raced, finals = drain(find_best(bench, NETS[:2], 1, None, [winner]))
    assert raced == []
    assert [each.net.arch for each in finals] == NETS[:2]
    assert best_of(finals) is winner
    assert drain(find_best(bench, NETS[:1], 1, None, [winner])) == ([], [winner])
    assert next(find_best(bench, NETS[:1], 1, None, [winner])).text.endswith("is a final of the search, and trained already")
    longer = replace(winner, way=replace(way, epochs=3))  # another training: it races like the others
    train_to_say(bench, NETS[0], way, 8)
    _, finals = drain(find_best(bench, NETS[:2], 1, None, [longer]))
    assert {each.net.name for each in finals} == {HAND_DESIGNED}
