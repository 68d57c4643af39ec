"""`edgenas retrain`: the winner on its own, beside nets that no search has found, and its report on the test split."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgenas.config import Flags
from edgenas.costs import cost_models
from edgenas.data.images import decode
from edgenas.latency import Memory
from edgenas.latency.measuring import OtherNet
from edgenas.project.answers import keep_answers
from edgenas.project.deployed import choose_threshold
from edgenas.project.gates import failure_of, floors_in
from edgenas.project.journals import JOURNAL, journal
from edgenas.project.measuring import measure_archs
from edgenas.project.net_facts import BASELINE, HAND_DESIGNED, genes_of
from edgenas.project.opening import open_images, open_project
from edgenas.project.paging.writing import page_beside
from edgenas.project.results import RESULT, finals_of, require_space, searched
from edgenas.project.retraining.baselines import BaselineLimits, baseline_epochs, find_best, limits_for, table_of, within
from edgenas.project.retraining.ensembles import Joined, join_members
from edgenas.project.retraining.equal_cnn import find_cnn
from edgenas.project.retraining.floors import floor_words, held_to_floors
from edgenas.project.retraining.verdict import CHOSEN_ON, choose, costs, proof_words, remarks
from edgenas.project.retraining.ways import Bench, Net, Try, adopt, best_of, final_words, fit_all, ranker_words, short_name, ways_of
from edgenas.project.together import RETRAINS, own_folder, require_parts
from edgenas.records import Arch, EnsembleReport, FinalTraining, Metrics, NetReport, RetrainResult, RivalReport, TrainedWay
from edgenas.runs import Note, Outcome, Record, locked
from edgenas.search import floors_of
from edgenas.spaces import SearchSpace
from edgenas.spaces.given import read_one
from edgenas.training.cnn import shape_of, untrained
from edgenas.training.comparison import CNN_WORDS, HAND_WORDS, SAME_WORDS, compare
from edgenas.training.curves import curves_of
from edgenas.training.devices import torch_device
from edgenas.training.evaluation import most_frequent_class, predict, report
from edgenas.training.folder import WEIGHTS, weights_sha256
from edgenas.training.ranks import current, join


@dataclass(frozen=True, slots=True)
class RetrainConfig:
    """What `edgenas retrain` was asked for."""

    run: Path
    flags: Flags
    overrides: tuple[str, ...]
    arch: str | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """A net as it is reported: its best training on select among all, and its latency as measured.

    Attributes:
        tries: its trainings to the end.
        width: channels of a plain CNN.
        ensemble: of several nets that answer together.
    """

    best: Try
    tries: Sequence[Try]
    latency_ms: float | None = None
    width: int | None = None
    ensemble: EnsembleReport | None = None


@dataclass(frozen=True, slots=True)
class Rivals:
    """The winner beside what it is compared with.

    Attributes:
        cnn: a plain one of equal latency; None where nothing is measured.
    """

    searched: Kept
    baseline: Kept
    cnn: Kept | None


def run(config: RetrainConfig) -> Iterator[Record]:
    """Train the winner (and what it is compared with where asked for), keep the best on select, then read the test split once.

    Started several times by `torchrun` or SLURM, all processes train together; what is measured and reported is the first one's.

    Raises:
        RankError: if another of these processes is gone.
        UsageError: if a batch has too few images for so many processes.
        MissingInputError: naming what an earlier command makes.
        ArchError: if ``arch`` is no name and no file of one architecture of the space.
    """
    ranks = join(str(config.flags.get("retrain", {}).get("device", "auto")))
    with own_folder(config.run, ranks, RETRAINS) as folder:
        yield from _retrain(replace(config, run=folder))


def _retrain(config: RetrainConfig) -> Iterator[Record]:
    project = open_project(config.run, config.flags, config.overrides)
    device = torch_device(project.settings.retrain.device)
    images = open_images(project)
    require_parts({"train": project.settings.train.batch_size}, current())
    folder, from_search = project.run.retrain, config.arch is None
    if config.arch is not None:
        archs = [read_one(project.space, config.arch)]
    else:
        require_space(project.run, project.space.name)
        archs = [row.arch for row in finals_of(project.run, project.settings.retrain.finals)]
    with locked(project.run):
        yield from decode(images, "train")
        bench = Bench.open(project, images, device, force=config.force)
        search = searched(project.run) if from_search else None
        if search is not None:
            bench = replace(bench, floors=floors_of(search.limits, images.class_names))
        tries = yield from _finals(bench, archs, from_search=from_search)
        winner = best_of(tries)
        joined = yield from join_members(bench, winner, from_search=from_search)
        adopt(joined.best, folder)
        yield from curves_of("winner", folder)
        said = [*ranker_words(_of_net(tries, winner)), *final_words(winner, tries), *proof_words(search, winner), *joined.notes]
        if project.settings.retrain.baseline:
            result = yield from _with_baseline(bench, joined, tries, said, from_search=from_search)
        else:
            result = yield from _alone(bench, joined, tries, said, from_search=from_search)
        if result is None:
            return
        if from_search:
            result = replace(result, finals=_trained_finals(archs, tries, joined.spare))
        gates = floors_in(project.run, images.class_names).judge(_deployed(result)) if from_search else ()
        common = most_frequent_class(images.labels("select"), images.class_names)
        result = replace(result, gates=gates or None, most_frequent_on_select=common)
        result.write(folder / RESULT)
        page = yield from page_beside(project, images)
    for text in result.remarks:
        yield Note(text, in_view=True)
    yield from (Note(text, is_warning=True, in_view=True) for text in result.doubts)
    yield Outcome(result, {"weights": folder / WEIGHTS, "result": folder / RESULT} | page, failure_of(gates))


def _trained_finals(archs: Sequence[Arch], tries: Sequence[Try], spare: Try | None) -> tuple[FinalTraining, ...]:
    """The finals of the search as they were trained, then the smaller net of which several were trained, if it is none of them."""
    finals = [FinalTraining(arch=arch, starts=_starts(tries, arch)) for arch in archs]
    if spare is not None and spare.net.arch is not None and spare.net.arch not in archs:
        finals.append(FinalTraining(arch=spare.net.arch, starts=(spare.trained_way,)))
    return tuple(finals)


def _every(tries: Sequence[Try], joined: Joined) -> list[Try]:
    """All trainings to the end, each once: the smaller net of which several are trained may be a final itself."""
    folders = {each.folder for each in tries}
    return [*tries, *(each for each in joined.others if each.folder not in folders)]


def _alone(
    bench: Bench, joined: Joined, tries: Sequence[Try], said: Sequence[str], *, from_search: bool
) -> Generator[Record, None, RetrainResult | None]:
    """The winner's report; None in any process but the first, which has helped to train."""
    if current().rank > 0:
        return None
    row, _ = yield from _report(bench, "searched", _kept(joined, tries))
    spent = costs(bench, _every(tries, joined), [], [], None, from_search=from_search)
    return RetrainResult(net=row, cost=spent, remarks=tuple(said))


def _kept(joined: Joined, tries: Sequence[Try]) -> Kept:
    of_best = _of_net(tries, joined.best) or ([] if joined.spare is None else [joined.spare])
    return Kept(joined.best, of_best, joined.latency_ms, ensemble=joined.report)


def _deployed(result: RetrainResult) -> Metrics:
    """What the report says of the net that is to be deployed."""
    is_baseline = result.chosen == "baseline" and result.baseline is not None
    return result.baseline.net.metrics if is_baseline and result.baseline is not None else result.net.metrics


def _finals(bench: Bench, archs: Sequence[Arch], *, from_search: bool) -> Generator[Record, None, list[Try]]:
    """Train nets to the end in every way that a net of the space is trained in, and hold them to the floors."""
    ways = ways_of(bench.project, bench.teachings)
    tries: list[Try] = []
    for number, arch in enumerate(archs, 1):
        folder = bench.project.run.retrain / "tries" / f"searched-{short_name(arch)}"
        title = f"final {number} of {len(archs)}" if len(archs) > 1 else None
        net = Net.of_arch(bench, "winner", folder, arch, title=title, from_search=from_search)
        tries += yield from held_to_floors(bench, (yield from fit_all(bench, net, ways)))
    return tries


def _of_net(tries: Sequence[Try], which: Try) -> list[Try]:
    """The trainings of the same net."""
    return [each for each in tries if each.net.arch == which.net.arch]


def _starts(tries: Sequence[Try], arch: Arch) -> tuple[TrainedWay, ...]:
    return tuple(each.trained_way for each in tries if each.net.arch == arch)


def _with_baseline(
    bench: Bench, joined: Joined, tries: Sequence[Try], said: Sequence[str], *, from_search: bool
) -> Generator[Record, None, RetrainResult | None]:
    """The winner's report beside those of the best hand-designed net and of a plain CNN, choice and verdict included.

    None in any process but the first, which has helped to train them.
    """
    project, folder, winner = bench.project, bench.project.run.retrain, joined.best
    limits = limits_for(project, bench.images, winner.net, from_search=from_search)
    archs, fits = yield from _allowed(project.space, limits)
    epochs = baseline_epochs(project, winner.way, [each.way for each in tries])
    raced, finals = yield from find_best(bench, archs, epochs, _pace(tries), tries)
    baseline = best_of(finals)
    adopt(baseline, folder / BASELINE)
    yield from curves_of(HAND_DESIGNED, folder / BASELINE)
    assert winner.net.arch is not None
    assert baseline.net.arch is not None
    identity = {"archs": [winner.net.arch, baseline.net.arch], "members": winner.net.num_members}
    with journal(folder / JOURNAL, identity) as memory:
        cnn = yield from _cnn(bench, limits, winner.net, epochs, memory=memory)
        if current().rank > 0:
            return None
        nets = Rivals(_kept(joined, tries), Kept(baseline, _of_net(finals, baseline)), cnn)
        nets = yield from _timed(bench, nets, memory=memory)
        yield from decode(winner.net.images, *CHOSEN_ON)
        yield from decode(baseline.net.images, *CHOSEN_ON)
        judged = yield from _judge(bench, nets, baseline_fits=fits)
    assert judged.baseline is not None
    same = (SAME_WORDS,) if winner.net.is_same(baseline.net) else ()
    beyond = (
        () if fits else (f"no hand-made net meets {limits}: the nearest is shown beside the searched one, and is not deployed",)
    )
    chosen_under = {limit.name: limit.limit for limit in limits.costs} | {floor.name: floor.floor for floor in bench.floors}
    return replace(
        judged,
        baseline=replace(judged.baseline, limits=chosen_under, num_nets=len(archs)),
        remarks=(*said, *same, *beyond, *floor_words(finals), *judged.remarks),
        cost=costs(bench, _every(tries, joined), raced, finals, baseline, from_search=from_search),
    )


def _allowed(space: SearchSpace, limits: BaselineLimits) -> Generator[Record, None, tuple[list[Arch], bool]]:
    """The hand-designed nets within the limits, or the nearest where there is none, and whether there is one."""
    for text in limits.not_applied:
        yield Note(f"hand-designed nets are not held to {text}", is_warning=True)
    archs, any_fits = within(space, limits)
    if not any_fits:
        yield Note(f"no hand-designed net meets {limits}; the nearest is taken", is_warning=True)
    return archs, any_fits


def _pace(tries: Sequence[Try]) -> float | None:
    """Seconds an epoch of the winner's trainings, the slowest; None without logs."""
    return max((each.seconds / each.way.epochs for each in tries if each.seconds is not None), default=None)


def _cnn(bench: Bench, limits: BaselineLimits, winner: Net, epochs: int, *, memory: Memory) -> Generator[Record, None, Kept | None]:
    """The plain CNN of equal latency, trained from fresh weights like the hand-designed nets; None where nothing is measured."""
    equal = yield from find_cnn(bench, limits, winner, memory=memory)
    if equal is None:
        return None
    net, width = equal
    ways = [way for way in ways_of(bench.project, bench.teachings, scratch_epochs=epochs) if way.weights == "scratch"]
    tries = yield from fit_all(bench, net, ways)
    best = best_of(tries)
    adopt(best, bench.project.run.retrain / "cnn")
    return Kept(best, tries, width=width)


def _timed(bench: Bench, nets: Rivals, *, memory: Memory) -> Generator[Record, None, Rivals]:
    """The nets with their latencies, in turn in one session, on the device of the run's table; without one as they are.

    Where the baseline is the same net as the winner, it is timed once.
    """
    project, task = bench.project, bench.images.task
    winner, baseline = nets.searched.best.net, nets.baseline.best.net
    archs = [winner.arch] if winner.arch == baseline.arch else [winner.arch, baseline.arch]
    rows = np.concatenate([project.space.from_json(each) for each in archs if each is not None])
    others: dict[str, nn.Module | OtherNet] = {}
    if winner.num_members > 1:
        together = OtherNet(winner.bare(project.space).eval(), winner.images.preprocess.image_px)
        others[f"ensemble-{winner.num_members}"] = together
    if nets.cnn is not None and nets.cnn.width is not None:
        others[f"cnn-{nets.cnn.width}"] = untrained(task, nets.cnn.width)
    table = table_of(project, bench.images)
    timed = yield from measure_archs(project, task, rows, label="measuring", table=table, memory=memory, others=others)
    if timed is None:
        return nets
    latencies_ms = [each.latency_ms for each in timed]
    of_winner_ms = latencies_ms[0 if winner.num_members == 1 else len(archs)]
    cnn = None if nets.cnn is None else replace(nets.cnn, latency_ms=latencies_ms[-1])
    return Rivals(
        replace(nets.searched, latency_ms=of_winner_ms), replace(nets.baseline, latency_ms=latencies_ms[len(archs) - 1]), cnn
    )


def _judge(bench: Bench, nets: Rivals, *, baseline_fits: bool) -> Generator[Record, None, RetrainResult]:
    """Choose on select and confirm, then read test once and compare."""
    chosen, chosen_by = choose(bench, nets.searched.best, nets.baseline.best, baseline_fits=baseline_fits)
    seed = bench.project.settings.retrain.seed
    row, right_N = yield from _report(bench, "searched", nets.searched)
    hand_row, hand_right_N = yield from _report(bench, "baseline", nets.baseline)
    comparison = compare(right_N, hand_right_N, "baseline", HAND_WORDS, seed=seed)
    cnn, better_than_cnn = None, []
    if nets.cnn is not None:
        cnn_row, cnn_right_N = yield from _report(bench, "cnn", nets.cnn)
        searched_cnn, hand_cnn = (compare(each, cnn_right_N, "cnn", CNN_WORDS, seed=seed) for each in (right_N, hand_right_N))
        cnn, better_than_cnn = RivalReport(net=cnn_row, comparison=searched_cnn), [searched_cnn.better, hand_cnn.better]
    return RetrainResult(
        net=row,
        baseline=RivalReport(net=hand_row),
        comparison=comparison,
        cnn=cnn,
        chosen=chosen,
        chosen_by=chosen_by,
        remarks=tuple(remarks(chosen, comparison.better, better_than_cnn)),
    )


def _report(bench: Bench, name: str, kept: Kept) -> Generator[Record, None, tuple[NetReport, NDArray[np.bool_]]]:
    """Costs, accuracy and sensitivities on the test split at the threshold that calibrate chose; which images were right.

    What the net answered is kept beside it, so that no page need read the split again.
    """
    project, best = bench.project, kept.best
    images = best.net.images
    yield from decode(images, "calibrate", "test")
    net = best.load(project.space)
    choice = choose_threshold(project, images, net)
    threshold = None if choice is None else choice.threshold
    images_NCHW, labels_N = images.arrays("test")
    probabilities_NC = predict(net, images_NCHW)
    metrics = report(
        probabilities_NC,
        labels_N,
        images.class_names,
        positive=project.settings.data.positive,
        threshold=threshold,
        sites=images.sites("test"),
        choice=choice,
    )
    sha256 = weights_sha256(best.folder)
    assert sha256 is not None  # they were loaded
    keep_answers(project.run, images, probabilities_NC, net=name, weights_sha256=sha256, threshold=threshold)
    params, macs, predicted_ms = _costs(bench, kept)
    row = NetReport(
        arch=best.net.arch,
        width=kept.width,
        params=params,
        macs=macs,
        latency_ms_predicted=predicted_ms,
        weights=best.way.weights,
        teaching=best.way.teaching,
        epochs=best.way.epochs,
        learning_rate=best.way.chosen_rate,
        select_top1=best.select_top1,
        starts=tuple(each.trained_way for each in kept.tries),
        latency_ms_measured=kept.latency_ms,
        ensemble=kept.ensemble,
        split="test",
        metrics=metrics,
    )
    return row, probabilities_NC.argmax(axis=1) == labels_N


def _costs(bench: Bench, kept: Kept) -> tuple[int, int, float | None]:
    """Params, MACs and predicted latency in milliseconds; a plain CNN has no prediction."""
    project, net = bench.project, kept.best.net
    if net.arch is None:
        return (*shape_of(kept.best.load(project.space), bench.images.task), None)
    row, num = np.array([genes_of(project.space, net.arch)], dtype=np.int16), net.num_members
    models = cost_models(project.space, bench.images.task)
    table = table_of(project, bench.images)
    predicted_ms = num * float(table.predicted(row)[0]) if table is not None else None
    return num * int(models.params(row)[0]), num * int(models.macs(row)[0]), predicted_ms
