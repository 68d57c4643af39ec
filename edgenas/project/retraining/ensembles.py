"""Nets of the winner's architecture that answer together, where the search's limits leave room for more than one."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgenas.data.images import decode
from edgenas.percents import percent
from edgenas.project.net_facts import told_by
from edgenas.project.results import finals_of
from edgenas.project.retraining.floors import held_to_floors
from edgenas.project.retraining.room import Room, limits_together, members_within, room_for
from edgenas.project.retraining.ways import Bench, Net, Try, fit_all, judged, short_name
from edgenas.records import EnsembleReport
from edgenas.runs import Note, Record, atomic_path
from edgenas.search.proof_scores import log_likelihoods
from edgenas.stats import Proportion, paired_mean_difference
from edgenas.supernets.ensemble import Ensemble
from edgenas.training.checkpoints import load_weights, save_weights
from edgenas.training.evaluation import predict
from edgenas.training.folder import LOG, WEIGHTS
from edgenas.training.ranks import current

JUDGED_ON = ("select", "confirm")  # none of their images was learnt from
MANY = 10_000  # finalists, more than there are
HINTED = 4  # members at most that are spoken of where none were asked for


@dataclass(frozen=True, slots=True)
class Joined:
    """The winner, or it with others like it.

    Attributes:
        best: that is deployed.
        others: trainings of more members, whether they are deployed or not.
        spare: the first of these where they are of another architecture than the winner; None where they are like it.
        report: of several nets that are deployed together; None for one.
        latency_ms: of these, as measured; None where nothing was.
        notes: why it is this.
    """

    best: Try
    others: tuple[Try, ...] = ()
    spare: Try | None = None
    report: EnsembleReport | None = None
    latency_ms: float | None = None
    notes: tuple[str, ...] = ()


def join_members(bench: Bench, winner: Try, *, from_search: bool) -> Generator[Record, None, Joined]:
    """Train as many more nets of the winner's architecture as the limits leave room for, and keep all where that pays.

    Where they leave no room for a second one, so many are trained of the net that the proof ranks highest of those that leave some.
    Their seeds follow that of the settings. Together they are kept where they miss no more floors than the winner and find the
    classes of select and confirm likelier. They need not do so beyond chance, which a few hundred images hardly show: the winner's
    weights were chosen by select, and on 10,000 images that nothing else used several nets were better each time
    (docs/measurements/compare_star-long_fashion-mnist_202611.md).
    """
    most = bench.project.settings.retrain.ensemble
    if most == 1:
        return Joined(winner, notes=tuple(_hints(bench, winner.net, from_search=from_search)))
    room = yield from room_for(bench, winner.net, most, from_search=from_search)
    first, spare = winner, None
    if room.num == 1:
        cheaper = (yield from _cheaper(bench, winner.net, most)) if from_search else None
        if cheaper is None:
            return Joined(winner, notes=(f"one net is kept: {room.words} no room for a second one of its kind",))
        net, room = cheaper
        (first,) = yield from fit_all(bench, net, [winner.way])
        spare = first
    members = [first, *(yield from _more_members(bench, first, room.num))]
    together = _written(bench, members)
    (together,) = yield from held_to_floors(bench, [together])
    gain = yield from _likelihood_gain(bench, together, winner)
    others = tuple(each for each in members if each is not winner)
    report = _report(members, winner, gain, room)
    if not (gain.value > 0 and len(together.low_floors) <= len(winner.low_floors)):
        low = ", ".join(together.low_floors)
        why = f"it misses {low} on confirm" if gain.value > 0 else "not likelier"
        return Joined(winner, others, spare, notes=(f"{_words(together, winner, gain)}: {why}, and one net is kept",))
    notes = (f"{_words(together, winner, gain)}: they are kept together",)
    return Joined(replace(together, seconds=report.seconds), others, spare, report, room.latency_ms, notes)


def _cheaper(bench: Bench, winner: Net, most: int) -> Generator[Record, None, tuple[Net, Room] | None]:
    """The best other finalist, proven as long as the search's winner, that keeps to the limits twice, and for how many they
    leave room; None without one."""
    limits = limits_together(bench, winner, from_search=True)
    others = [row.arch for row in finals_of(bench.project.run, MANY) if row.arch != winner.arch]
    cheaper = [arch for arch in others if members_within(limits, bench.project.space.from_json(arch), most) > 1]
    if cheaper:
        yield Note(f"{limits} leaves no room for a second net of the winner's kind: the best proven one that leaves some is taken")
    for arch in cheaper:
        folder = bench.project.run.retrain / "tries" / f"searched-{short_name(arch)}"
        net = Net.of_arch(bench, "winner", folder, arch, title="the first of several", from_search=True)
        room = yield from room_for(bench, net, most, from_search=True)
        if room.num > 1:
            return net, room
    return None


def _more_members(bench: Bench, first: Try, num: int) -> Generator[Record, None, list[Try]]:
    """Trainings of the same net from the seeds that follow, so that there are ``num`` with the first."""
    others = []
    for number in range(2, num + 1):
        net = replace(first.net, folder=first.net.folder / f"member-{number}", title=f"member {number} of {num}")
        seed = bench.project.settings.retrain.seed + number - 1
        others += yield from fit_all(bench, net, [first.way], seed=seed)
    return others


def _report(members: Sequence[Try], alone: Try, gain: Proportion, room: Room) -> EnsembleReport:
    seconds = [each.seconds for each in members]
    return EnsembleReport(
        num_members=len(members),
        epochs=len(members) * members[0].way.epochs,
        seconds=None if None in seconds else sum(each for each in seconds if each is not None),
        select_top1_alone=alone.select_top1,
        likelihood_gain=gain,
        room=room.facts,
    )


def _words(together: Try, winner: Try, gain: Proportion) -> str:
    """How several nets and the winner alone answer the images that choose."""
    is_alike = together.net.arch == winner.net.arch
    of, alone = ("of this architecture", "the first") if is_alike else ("of a smaller architecture", "the winner")
    words = f"the mean of {together.net.num_members} nets {of} has {percent(together.select_top1.value)} on select"
    words += f", {alone} alone {percent(winner.select_top1.value)}"
    return f"{words}; it finds the classes of select and confirm likelier by {_nats(gain)}"


def _hints(bench: Bench, net: Net, *, from_search: bool) -> Iterator[str]:
    """That the limits have room for more than the winner, if they have."""
    limits = limits_together(bench, net, from_search=from_search)
    assert net.arch is not None
    num = members_within(limits, bench.project.space.from_json(net.arch), HINTED)
    if limits.costs and num > 1:
        room = f"{limits} leaves room for {num} such nets"
        yield f"{room}: retrain.ensemble={num} trains them, and deploys their mean where that pays"


def _nats(gain: Proportion) -> str:
    return f"{gain.value:.3f} [{gain.low:.3f}, {gain.high:.3f}] nats an image"


def _written(bench: Bench, members: Sequence[Try]) -> Try:
    """Nets as one, with the weights of all, beside their own trainings, in every rank's folder; the log is the first one's."""
    first, num = members[0], len(members)
    net = replace(first.net, num_members=num, title=f"{num} nets together")
    folder = first.net.folder / f"{first.way.name}-ensemble-{num}"
    joined = net.bare(bench.project.space)
    assert isinstance(joined, Ensemble)
    for each, member in zip(members, joined.members, strict=True):
        load_weights(each.folder / WEIGHTS, member)
    save_weights(folder / WEIGHTS, joined, {**told_by(first.folder / WEIGHTS), "ensemble": num})
    if (first.folder / LOG).is_file():
        with atomic_path(folder / LOG) as temporary:
            shutil.copyfile(first.folder / LOG, temporary)
    return judged(bench, net, first.way, folder)


def _likelihood_gain(bench: Bench, together: Try, alone: Try) -> Generator[Record, None, Proportion]:
    """What several nets find the classes of held-out images likelier than one does, in nats an image, with its paired interval."""
    both = []
    for each in (together, alone):
        images = each.net.images
        yield from decode(images, *JUDGED_ON)
        model = each.load(bench.project.space).to(bench.device)
        seen = [images.arrays(name) for name in JUDGED_ON]
        both.append(np.concatenate([log_likelihoods(predict(model, images_NCHW), labels_N) for images_NCHW, labels_N in seen]))
    return current().first(paired_mean_difference(both[0], both[1]))
