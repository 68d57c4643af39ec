"""Several nets of the winner's architecture: how many, what they are kept for, and what is deployed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import edgenas
from edgenas.costs import cost_models
from edgenas.errors import CheckpointError, ConfigError
from edgenas.latency import LatencyTable
from edgenas.latency.measuring import whole
from edgenas.latency.timing import TimingSettings
from edgenas.project.comparing import judging
from edgenas.project.comparing.contenders import Ours
from edgenas.project.comparing.judging import measure
from edgenas.project.deployed import load_final
from edgenas.project.net_facts import told_by
from edgenas.project.results import RESULT, outdated_net, searched, winner_of
from edgenas.project.retraining import ensembles
from edgenas.project.retraining import room as room_of
from edgenas.project.retraining.baselines import BaselineLimits
from edgenas.project.retraining.ensembles import join_members
from edgenas.project.retraining.room import Room, limits_together, members_within
from edgenas.project.retraining.ways import Bench, Net, Try, fit_all, is_trained, job_of
from edgenas.project.run_tables import RunTable
from edgenas.records import Arch, CheckpointFacts, EnsembleReport, EnsembleRoom, PromisedBound, RetrainResult
from edgenas.runs import Record
from edgenas.search import LowerLimit, UpperLimit
from edgenas.spaces.pvt import PVT_NANO
from edgenas.stats import Proportion
from edgenas.supernets import build_net
from edgenas.supernets.ensemble import Ensemble, build_ensemble
from edgenas.training.checkpoints import load_weights, save_tensors, save_weights
from edgenas.training.earlier import read_earlier
from edgenas.training.fitting import fit
from edgenas.training.folder import STATE, WEIGHTS, weights_sha256
from edgenas.training.foreign import fetch
from edgenas.training.initial import Chooser, start_net
from edgenas.training.ways import Way
from tests.project.test_finals import proven, search_found
from tests.project.test_verdict import NETS, drain, opened, report, table_facts, write_search
from tests.recipes.budgets import TASK, edgenas_in, make_project, scaled
from tests.recipes.zygote import FEW_VISITS

ROW = PVT_NANO.from_json(NETS[0])
MODELS = cost_models(PVT_NANO, TASK)
PARAMS, MACS = float(MODELS.params(ROW)[0]), float(MODELS.macs(ROW)[0])
SHORT = ("retrain.start=scratch", "retrain.scratch_epochs=1", "retrain.teaching=labels", "train.batch_size=256")
WAY = Way("scratch", "labels", 1, 4e-3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose search found the first of the hand-designed nets, which is trained."""
    folder = make_project(tmp_path_factory.mktemp("ensembles"))
    search_found(opened(folder)[0], proven(NETS[0], -0.5))
    trained(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def nothing_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is of another device."""
    monkeypatch.setattr(room_of, "is_here", lambda _: False)


@pytest.mark.parametrize(("room", "most", "num"), [(0.5, 4, 1), (1.0, 4, 1), (2.99, 4, 2), (3.0, 4, 3), (9.0, 4, 4), (9.0, 1, 1)])
def test_so_many_nets_are_taken_as_the_tightest_upper_limit_has_room_for(room: float, most: int, num: int) -> None:
    tight = UpperLimit("params", room * PARAMS, MODELS.params)
    wide = UpperLimit("macs", 1e12, MODELS.macs)
    assert members_within(BaselineLimits((wide, tight)), ROW, most) == num


def test_a_lower_limit_leaves_all_the_room() -> None:
    assert members_within(BaselineLimits((LowerLimit("params", PARAMS, MODELS.params),)), ROW, 3) == 3


@pytest.mark.parametrize("num", ["0", "17", "1.5", "many"])
def test_one_to_sixteen_nets_can_be_asked_for(folder: Path, num: str) -> None:
    with pytest.raises(ConfigError, match=r"retrain\.ensemble is .*at least 1 and at most 16"):
        opened(folder, f"retrain.ensemble={num}")


def trained(folder: Path, *settings: str, arch: Arch = NETS[0]) -> tuple[Bench, Try]:
    project, images = opened(folder, *SHORT, *settings)
    bench = Bench(project, images, "cpu", None, ("labels",), False)
    net = Net.of_arch(bench, "winner", project.run.retrain / "tries" / "searched", arch)
    (winner,) = drain(fit_all(bench, net, [WAY]))
    return bench, winner


@pytest.mark.usefixtures("nothing_is_timed")
def test_members_have_weights_of_their_own_and_the_first_is_the_winner(folder: Path) -> None:
    bench, winner = trained(folder, "retrain.ensemble=3")
    joined = drain(join_members(bench, winner, from_search=False))
    together = ensembles._written(bench, [winner, *joined.others]).load(bench.project.space)
    assert isinstance(together, Ensemble)
    states = [member.state_dict() for member in together.members]
    assert len(states) == 3
    assert all(torch.equal(tensor, states[0][name]) for name, tensor in winner.load(bench.project.space).state_dict().items())
    name = next(name for name in states[0] if name.endswith("weight"))
    assert not torch.equal(states[0][name], states[1][name])
    assert not torch.equal(states[1][name], states[2][name])


def test_what_retrain_keeps_is_not_trained_anew_in_its_place_for_a_comparison(folder: Path) -> None:
    bench, kept = trained(folder)
    aside = replace(bench, aside=bench.project.run.compare / "tries")
    assert drain(fit_all(aside, kept.net, [WAY]))[0].folder == kept.folder  # trained just so already
    before = weights_sha256(kept.folder)
    longer = replace(WAY, epochs=2)
    (other,) = drain(fit_all(aside, kept.net, [longer]))
    assert other.folder == aside.aside / "searched" / WAY.name
    assert weights_sha256(kept.folder) == before
    assert is_trained(aside, kept.net, longer)
    assert is_trained(bench, kept.net, WAY)


def test_an_unfinished_training_of_retrain_is_not_given_up_for_a_comparison(folder: Path) -> None:
    bench, kept = trained(folder)
    way = Way("scratch", "labels", 40, 4e-3)
    net = replace(kept.net, folder=kept.net.folder.with_name("unfinished"))
    training = fit(replace(job_of(bench, net, way), checkpoint_every_s=0.0))
    for _ in range(8):
        next(training)
    training.close()
    aside = replace(bench, aside=bench.project.run.compare / "tries")
    assert (net.folder / way.name / STATE).is_file()
    assert job_of(aside, net, way).folder == net.folder / way.name
    assert job_of(aside, net, WAY).folder == aside.aside / "unfinished" / WAY.name


def gains(value: float) -> Callable[..., Generator[Record, None, Proportion]]:
    """What several nets are said to find likelier."""

    def told(*_: object) -> Generator[Record, None, Proportion]:
        yield from ()
        return Proportion(value, value - 0.02, value + 0.02, 100)

    return told


def test_likelihoods_are_those_of_both_held_out_splits(folder: Path) -> None:
    bench, winner = trained(folder)
    gain = drain(ensembles._likelihood_gain(bench, winner, winner))
    assert gain.value == 0
    assert gain.n == len(bench.images.labels("select")) + len(bench.images.labels("confirm"))


@pytest.mark.usefixtures("nothing_is_timed")
@pytest.mark.parametrize(("gain", "kept"), [(0.001, True), (0.0, False), (-0.001, False), (float("nan"), False)])
def test_nets_are_kept_together_where_they_find_the_classes_likelier(
    folder: Path, monkeypatch: pytest.MonkeyPatch, gain: float, kept: bool
) -> None:
    monkeypatch.setattr(ensembles, "_likelihood_gain", gains(gain))
    bench, winner = trained(folder, "retrain.ensemble=2")
    joined = drain(join_members(bench, winner, from_search=False))
    assert (joined.best is not winner) == kept
    assert (joined.report is not None) == kept
    assert len(joined.others) == 1
    said = "they are kept together" if kept else "one net is kept"
    assert said in joined.notes[0]


@pytest.mark.parametrize(("room", "num"), [(1.9, None), (2.1, 2), (99.0, 4)])
def test_room_for_more_nets_is_told_where_none_were_asked_for(folder: Path, room: float, num: int | None) -> None:
    project, _ = opened(folder)
    write_search(project, {"macs": room * MACS}, winner=proven(NETS[0], -0.5))
    bench, winner = trained(folder)
    joined = drain(join_members(bench, winner, from_search=True))
    limit = f"macs <= {room * MACS:.12g}"
    told = f"{limit} leaves room for {num} such nets: retrain.ensemble={num} trains them, and deploys their mean where that pays"
    assert joined.notes == (() if num is None else (told,))
    assert joined.best is winner


def test_without_room_for_a_second_net_nothing_more_is_trained(folder: Path) -> None:
    project, _ = opened(folder)
    search_found(project, proven(NETS[0], -0.5), macs=1.9 * MACS)
    bench, winner = trained(folder, "retrain.ensemble=4")
    joined = drain(join_members(bench, winner, from_search=True))
    assert joined.best is winner
    assert joined.others == ()
    assert joined.notes == (f"one net is kept: macs <= {1.9 * MACS:.12g} leaves no room for a second one of its kind",)


@pytest.mark.usefixtures("nothing_is_timed")
@pytest.mark.parametrize(("gain", "kept"), [(0.01, True), (-0.01, False)])
def test_several_of_a_smaller_proven_net_stand_against_a_winner_without_room(
    folder: Path, monkeypatch: pytest.MonkeyPatch, gain: float, kept: bool
) -> None:
    macs = [float(MODELS.macs(PVT_NANO.from_json(arch))[0]) for arch in NETS]
    order = np.argsort(macs)
    largest, large, small = (NETS[order[place]] for place in (-1, -2, 2))
    room = 1.05 * macs[order[-1]]
    assert macs[order[2]] < room / 2 < macs[order[-2]]
    project, _ = opened(folder)
    search_found(project, proven(largest, -0.3), proven(large, -0.4), proven(small, -0.5), macs=room)
    monkeypatch.setattr(ensembles, "_likelihood_gain", gains(gain))
    bench, winner = trained(folder, "retrain.ensemble=2", arch=largest)
    joined = drain(join_members(bench, winner, from_search=True))
    assert joined.spare is not None
    assert joined.spare.net.arch == small
    assert [each.net.arch for each in joined.others] == [small] * 2
    assert (joined.best.net.arch == small, joined.best.net.num_members) == ((True, 2) if kept else (False, 1))
    assert "the mean of 2 nets of a smaller architecture has" in joined.notes[0]
    assert "the winner alone" in joined.notes[0]


@pytest.mark.usefixtures("nothing_is_timed")
def test_the_winner_of_the_search_may_be_the_smaller_net(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    largest = max(NETS, key=lambda arch: float(MODELS.macs(PVT_NANO.from_json(arch))[0]))
    room = 1.05 * float(MODELS.macs(PVT_NANO.from_json(largest))[0])
    search_found(opened(folder)[0], proven(NETS[0], -0.3), proven(largest, -0.4), macs=room)
    monkeypatch.setattr(ensembles, "_likelihood_gain", gains(0.01))
    bench, overtaker = trained(folder, "retrain.ensemble=2", arch=largest)
    joined = drain(join_members(bench, overtaker, from_search=True))
    assert (joined.best.net.arch, joined.best.net.num_members) == (NETS[0], 2)


def test_a_smaller_net_that_measures_too_slow_gives_way_to_the_next(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_macs = sorted(NETS, key=lambda arch: float(MODELS.macs(PVT_NANO.from_json(arch))[0]))
    room = 1.05 * float(MODELS.macs(PVT_NANO.from_json(by_macs[-1]))[0])
    search_found(opened(folder)[0], proven(by_macs[-1], -0.3), proven(by_macs[1], -0.4), proven(by_macs[0], -0.5), macs=room)

    def timed(_: Bench, net: Net, *__: object) -> Generator[Record, None, tuple[int, None]]:
        yield from ()
        return (2 if net.arch == by_macs[0] else 1), None

    monkeypatch.setattr(ensembles, "_likelihood_gain", gains(0.01))
    monkeypatch.setattr(room_of, "_measured", timed)
    bench, winner = trained(folder, "retrain.ensemble=2", arch=by_macs[-1])
    joined = drain(join_members(bench, winner, from_search=True))
    assert joined.spare is not None
    assert joined.spare.net.arch == by_macs[0]


def test_floors_alone_leave_all_the_room(folder: Path) -> None:
    project, images = opened(folder)
    write_search(project, {"sensitivity[0]": 0.5}, winner=proven(NETS[0], -0.5))
    bench = Bench(project, images, "cpu", None, ("labels",), False)
    net = Net.of_arch(bench, "winner", folder, NETS[0])
    assert members_within(limits_together(bench, net, from_search=True), ROW, 3) == 3


def test_several_nets_are_retrained_deployed_and_exported_as_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensembles, "_likelihood_gain", gains(0.01))
    monkeypatch.setattr(whole, "ATTEMPTS", 1)
    monkeypatch.setattr(whole, "FINALIST_TIMING", TimingSettings(**FEW_VISITS))
    sets = [part for setting in (*SHORT, "retrain.ensemble=2") for part in ("--set", setting)]
    search_found(opened(folder)[0], proven(NETS[0], -0.5))
    code, value, told = edgenas_in(folder, "retrain", *sets)
    assert code == 0, (value, told)
    result = RetrainResult.from_json(value["result"])
    assert result.net.ensemble is not None
    assert result.net.ensemble.num_members == 2
    assert result.net.params == 2 * PARAMS
    assert result.net.latency_ms_measured is not None
    assert "measuring nets that answer together" in told
    code, value, told = edgenas_in(folder, "retrain", *sets)  # near a limit, times may decide otherwise
    assert "2 nets were kept together under these limits and are not measured again (--force does)" in " ".join(told.split())
    assert "measuring nets that answer together" not in told
    assert RetrainResult.from_json(value["result"]).net.latency_ms_measured == result.net.latency_ms_measured
    project, images = opened(folder)
    final = load_final(project, images)
    assert isinstance(final.net, Ensemble)
    assert (final.params, final.num_members) == (result.net.params, 2)
    assert final.latency is not None
    assert final.latency.latency_ms_measured == result.net.latency_ms_measured
    loaded = edgenas.load(folder / "edgenas-run")
    images_NCHW = torch.from_numpy(np.asarray(images.arrays("test")[0][:4]))
    with torch.no_grad():
        torch.testing.assert_close(loaded(images_NCHW), final.net(images_NCHW))
    code, value, told = edgenas_in(folder, "export", "--format", "onnx")
    assert code == 0, (value, told)
    manifest = json.loads((folder / "edgenas-run/export/onnx/manifest.json").read_text())
    assert manifest["architecture"]["ensemble"] == 2
    assert "the mean of 2 nets" in (folder / "edgenas-run/export/onnx/README.md").read_text()


@pytest.mark.usefixtures("nothing_is_timed")
def test_several_of_a_smaller_net_are_deployed_instead_of_the_winner(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensembles, "_likelihood_gain", gains(0.01))
    sets = [part for setting in (*SHORT, "retrain.ensemble=2") for part in ("--set", setting)]
    largest = max(NETS, key=lambda arch: float(MODELS.macs(PVT_NANO.from_json(arch))[0]))
    room = 1.05 * float(MODELS.macs(PVT_NANO.from_json(largest))[0])
    project, images = opened(folder)
    search_found(project, proven(largest, -0.4), proven(NETS[0], -0.5), macs=room)
    code, value, told = edgenas_in(folder, "retrain", *sets)
    assert code == 0, (value, told)
    result = RetrainResult.from_json(value["result"])
    assert (result.net.arch, result.net.params) == (NETS[0], 2 * PARAMS)
    assert result.net.starts
    first, last = result.finals or ()
    assert [first.arch, last.arch] == [largest, NETS[0]]
    assert Ours.of(project, images).teachings == ("labels",)
    tried = [replace(first.starts[0], teaching=teaching, learning_rate=2e-3) for teaching in ("teacher", "labels")]
    path = project.run.retrain / RESULT
    replace(result, finals=(replace(first, starts=(*tried, replace(tried[0], learning_rate=1e-3))), last)).write(path)
    ours = Ours.of(project, images)  # rivals get the choice that the winner had
    assert (ours.teachings, ours.rates) == (("teacher", "labels"), (2e-3, 1e-3))
    result.write(path)
    assert isinstance(load_final(project, images).net, Ensemble)
    for macs, is_outdated in ((0.9 * room, True), (room, False)):
        search_found(project, proven(largest, -0.4), proven(NETS[0], -0.5), macs=macs)
        facts = CheckpointFacts.said_by(project.run.retrain / WEIGHTS, told_by(project.run.retrain / WEIGHTS))
        why = outdated_net(project.run, facts, winner_of(project.run))
        assert why == (f"holds 2 nets together that were not held to macs <= {macs:g}" if is_outdated else None)
    code, value, told = edgenas_in(folder, "retrain", *sets)
    assert "is trained again" not in told
    assert RetrainResult.from_json(value["result"]).net.arch == NETS[0]
    code, value, told = edgenas_in(folder, "retrain", *sets, "--set", "retrain.finals=2")  # the smaller net is a final itself
    assert "is trained again" not in told
    assert value["result"]["cost"]["searched"]["final_epochs"] == 3  # of the winner and two smaller nets
    assert len(value["result"]["finals"]) == 2
    assert edgenas_in(folder, "export", "--format", "onnx")[0] == 0


def kept_together(bench: Bench, num: int, asked: int, limits: dict[str, float]) -> Room | None:
    """What `retrain` finds kept where three of four nets were, under a limit of 9 ms."""
    project = bench.project
    before = EnsembleRoom(asked=4, limits={"latency_ms": 9.0}, quantiles={"latency_ms": "p95"})
    share = Proportion(0.9, 0.8, 0.95, 100)
    together = EnsembleReport(num_members=num, epochs=3, seconds=1.0, select_top1_alone=share, likelihood_gain=share, room=before)
    net = replace(report(NETS[0]), ensemble=together, latency_ms_measured=8.5)
    RetrainResult(net=net).write(project.run.retrain / RESULT)
    winner = Net.of_arch(bench, "winner", project.run.retrain, NETS[0])
    return room_of._kept(bench, winner, EnsembleRoom(asked=asked, limits=limits, quantiles={"latency_ms": "p95"}))


@pytest.mark.parametrize(
    ("num", "asked", "limit_ms", "is_kept"),
    [
        (3, 4, 9.0, True),
        (3, 8, 9.0, True),  # the fourth did not fit
        (4, 8, 9.0, False),  # a fifth was never asked for
        (4, 4, 9.0, True),
        (3, 3, 9.0, True),
        (3, 2, 9.0, False),  # what two take was not kept
        (3, 4, 8.9, False),
    ],
)
def test_nets_that_were_kept_together_are_kept_under_the_limits_they_keep_to(
    folder: Path, num: int, asked: int, limit_ms: float, is_kept: bool
) -> None:
    project, images = opened(folder)
    bench = Bench(project, images, "cpu", None, ("labels",), False)
    kept = kept_together(bench, num, asked, {"latency_ms": limit_ms})
    assert (kept is not None) == is_kept
    if kept is not None:
        assert (kept.num, kept.latency_ms) == (num, 8.5)
    other = Net.of_arch(bench, "winner", project.run.retrain, NETS[1])
    assert room_of._kept(bench, other, EnsembleRoom(asked=4, limits={"latency_ms": 9.0})) is None
    (project.run.retrain / RESULT).write_text("{")
    assert room_of._kept(bench, other, EnsembleRoom(asked=4, limits={"latency_ms": 9.0})) is None  # it is written anew


def test_limits_of_every_device_that_is_here_are_measured(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, images = opened(folder)
    own = next(project.run.latency.glob("*.json"))
    away = scaled(LatencyTable.load(own), 2.0)
    away.write(project.run.latency / "away.json")
    tables = {"near": table_facts(LatencyTable.load(own).sha256), "away": table_facts(away.sha256)}
    share = Proportion(1.0, 0.9, 1.0, 20)
    promise = PromisedBound(quantile="p95", confidence=0.95, factor=1.1, num_nets=40, num_runs=36, coverage=share, slack=share)
    limits = {"latency_ms[away]": 8.0, "latency_ms[near]": 4.0, "params": 1e9}
    write_search(project, limits, winner=proven(NETS[0], -0.5), tables=tables, promises={"latency_ms[near]": promise})
    bench = Bench(project, images, "cpu", None, ("labels",), False)
    net = Net.of_arch(bench, "winner", project.run.retrain, NETS[0])
    result, found = searched(project.run), limits_together(bench, net, from_search=True)
    monkeypatch.setattr(room_of, "is_here", lambda table: table.sha256 != away.sha256)
    (near,) = room_of._timed_limits(bench, found, result)
    assert (near.table.table.sha256, near.limit_ms, near.quantile) == (LatencyTable.load(own).sha256, 4.0, "p95")
    monkeypatch.setattr(room_of, "is_here", lambda _: True)
    both = room_of._timed_limits(bench, found, result)
    assert [(each.limit_ms, each.quantile) for each in both] == [(8.0, "p50"), (4.0, "p95")]

    def timed(*_: object, table: RunTable, others: Mapping[str, object], **__: object) -> Generator[None, None, list[object]]:
        """One net takes 2 ms, and twice that on the other device; slow calls half as much again."""
        yield from ()
        ms = [2.0 * num * (1 + (table.table.sha256 == away.sha256)) for num in range(1, len(others) + 2)]
        return [SimpleNamespace(latency_ms=each, quantile_ms=lambda q, each=each: each * (1.5 if q == "p95" else 1)) for each in ms]

    monkeypatch.setattr(room_of, "measure_archs", timed)
    assert drain(room_of._measured(bench, net, both, 4)) == (1, 4.0)
    assert drain(room_of._measured(bench, net, both[:1], 4)) == (2, 8.0)
    assert drain(room_of._measured(bench, net, [], 4)) == (4, None)


@pytest.mark.parametrize(("said", "problem"), [("x", "ensemble"), (0, "holds 0 nets"), (10**9, "holds 1000000000 nets")])
def test_a_checkpoint_of_an_impossible_number_of_nets_is_named(folder: Path, said: object, problem: str) -> None:
    bench, winner = trained(folder)
    path = bench.project.run.retrain / WEIGHTS
    tensors, facts = load_weights(winner.folder / WEIGHTS)
    save_tensors(path, tensors, {"kind": "weights", "facts": {**facts, "ensemble": said}})
    with pytest.raises(CheckpointError) as raised:
        load_final(bench.project, bench.images)
    assert str(path) in raised.value.message
    assert problem in f"{raised.value.message} {raised.value.problems}"


@pytest.mark.parametrize("num_members", [1, 2])
def test_compare_times_several_nets_as_their_file_and_a_single_one_as_search_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch, num_members: int
) -> None:
    project, images = opened(folder)
    contenders = [SimpleNamespace(name=name, image_px=32, images=images, num_members=1) for name in ("searched", "cnn", "hand")]
    contenders[0].num_members = num_members

    def timed(*_: object, others: Mapping[str, str], **__: object) -> Generator[None, None, list[str]]:
        yield from ()
        return ["the arch", *others.values()]

    def file_of(each: SimpleNamespace, _: object) -> Generator[None, None, str]:
        yield from ()
        return f"{each.name}'s file"

    monkeypatch.setattr(judging, "measure_archs", timed)
    measured = drain(measure(project, contenders, NETS[0], None, {}, SimpleNamespace(timed=file_of)))  # type: ignore[arg-type]
    assert measured == ["the arch" if num_members == 1 else "searched's file", "cnn's file", "hand's file"]


def test_a_later_project_starts_from_the_first_of_several_nets_and_learns_from_all(tmp_path: Path) -> None:
    genes = tuple(int(gene) for gene in ROW[0])
    together = build_ensemble(PVT_NANO, TASK, genes, 2).eval()
    facts = {"space": "pvt-nano", "image_px": TASK.image_px, "in_channels": TASK.in_channels, "num_classes": TASK.num_classes}
    path = tmp_path / "weights.safetensors"
    save_weights(path, together, {**facts, "net": "winner", "arch": NETS[0], "ensemble": 2})
    images_NCHW = torch.randn(2, TASK.in_channels, TASK.image_px, TASK.image_px, generator=torch.Generator().manual_seed(0))
    earlier = read_earlier(path)
    assert earlier is not None
    assert isinstance(together, Ensemble)
    net = build_net(PVT_NANO, TASK, genes).eval()
    weights = fetch(str(path))
    init = start_net(net, PVT_NANO, genes, weights, Chooser())
    assert init.notes == ("weights of the first of 2 nets that answer together are taken",)
    with torch.no_grad():
        torch.testing.assert_close(earlier.net()(images_NCHW), together(images_NCHW))
        torch.testing.assert_close(net(images_NCHW), together.members[0](images_NCHW))
