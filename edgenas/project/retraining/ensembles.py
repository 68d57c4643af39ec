"""Nets of the winner's architecture that answer together, where the search's limits leave room for more than one."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from edgenas.latency.measuring import OtherNet, is_here
from edgenas.percents import percent
from edgenas.project.measuring import measure_archs
from edgenas.project.net_facts import genes_of, told_by
from edgenas.project.results import searched
from edgenas.project.retraining.baselines import BaselineLimits, limits_for, table_of
from edgenas.project.retraining.floors import held_to_floors
from edgenas.project.retraining.ways import Bench, Net, Try, fit_all, judged
from edgenas.records import EnsembleReport, Quantile
from edgenas.runs import Record, atomic_path
from edgenas.search import FLOOR, UpperLimit
from edgenas.search.proof_scores import log_likelihoods
from edgenas.spaces import Genes
from edgenas.stats import Proportion, paired_mean_difference
from edgenas.supernets.ensemble import Ensemble, build_ensemble
from edgenas.training.checkpoints import load_weights, save_weights
from edgenas.training.evaluation import predict
from edgenas.training.folder import LOG, WEIGHTS
from edgenas.training.ranks import current

HINTED = 4  # members at most that are spoken of where none were asked for


@dataclass(frozen=True, slots=True)
class Joined:
    """The winner, or it with others like it.

    Attributes:
        best: that is deployed.
        others: trainings of more members, whether they are deployed or not.
        report: of several nets that are deployed together; None for one.
        latency_ms: of these, as measured; None where nothing was.
        notes: why it is this.
    """

    best: Try
    others: tuple[Try, ...] = ()
    report: EnsembleReport | None = None
    latency_ms: float | None = None
    notes: tuple[str, ...] = ()


def join_members(bench: Bench, winner: Try, *, from_search: bool) -> Generator[Record, None, Joined]:
    """Train as many more nets of the winner's architecture as the limits leave room for, and keep all where that pays on select.

    Their seeds follow that of the settings. Together they are kept where they miss no more floors than the winner and find the
    classes of select likelier by more than chance: the lower end of the paired interval is above 0.
    """
    most = bench.project.settings.retrain.ensemble
    if most == 1:
        return Joined(winner, notes=tuple(_hints(bench, winner.net, from_search=from_search)))
    num, latency_ms, told = yield from _room(bench, winner.net, most, from_search=from_search)
    if num == 1:
        return Joined(winner, notes=(f"one net is kept: {told} no room for a second one of its kind",))
    others = []
    for number in range(2, num + 1):
        net = replace(winner.net, folder=winner.net.folder / f"member-{number}", title=f"member {number} of {num}")
        seed = bench.project.settings.retrain.seed + number - 1
        others += yield from fit_all(bench, net, [winner.way], seed=seed)
    together = _written(bench, [winner, *others])
    (together,) = yield from held_to_floors(bench, [together])
    gain = _likelihood_gain(bench, together, winner)
    pays = gain.low > 0 and len(together.low_floors) <= len(winner.low_floors)
    words = f"the mean of {num} nets of this architecture has {percent(together.select_top1.value)} on select"
    words += f", the first alone {percent(winner.select_top1.value)}; it finds the classes likelier by {_nats(gain)}"
    if not pays:
        low = ", ".join(together.low_floors)
        why = f"it misses {low} on confirm" if gain.low > 0 else "not told apart"
        return Joined(winner, tuple(others), notes=(f"{words}: {why}, and one net is kept",))
    seconds = [each.seconds for each in (winner, *others)]
    report = EnsembleReport(
        num_members=num,
        epochs=num * winner.way.epochs,
        seconds=None if None in seconds else sum(each for each in seconds if each is not None),
        select_top1_alone=winner.select_top1,
        likelihood_gain=gain,
    )
    notes = (f"{words}: they are kept together",)
    return Joined(replace(together, seconds=report.seconds), tuple(others), report, latency_ms, notes)


def _hints(bench: Bench, net: Net, *, from_search: bool) -> Iterator[str]:
    """That the limits have room for more than the winner, if they have."""
    limits = _limits(bench, net, from_search=from_search)
    assert net.arch is not None
    num = members_within(limits, bench.project.space.from_json(net.arch), HINTED)
    if limits.costs and num > 1:
        room = f"{limits} leaves room for {num} such nets"
        yield f"{room}: retrain.ensemble={num} trains them, and deploys their mean where that pays"


def _nats(gain: Proportion) -> str:
    return f"{gain.value:.3f} [{gain.low:.3f}, {gain.high:.3f}] nats an image"


def _room(bench: Bench, net: Net, most: int, *, from_search: bool) -> Generator[Record, None, tuple[int, float | None, str]]:
    """How many nets the limits of the search leave room for, what so many take as measured, and what leaves it, in words."""
    limits = _limits(bench, net, from_search=from_search)
    assert net.arch is not None
    predicted = members_within(limits, bench.project.space.from_json(net.arch), most)
    measured: tuple[int, float | None] = (predicted, None)
    if predicted > 1 and current().rank == 0:  # times of one device, of which the others wait for what follows
        measured = yield from _measured(bench, net, limits, predicted)
    num, latency_ms = current().first(measured)
    return num, latency_ms, f"{limits} leaves" if predicted == 1 else f"measured, {limits} leaves"


def _limits(bench: Bench, net: Net, *, from_search: bool) -> BaselineLimits:
    """Those on costs of the search that chose the net; none where there was none, or floors on sensitivities alone."""
    result = searched(bench.project.run) if from_search else None
    if result is None or all(name.startswith(FLOOR) for name in result.limits):
        return BaselineLimits(())
    return limits_for(bench.project, bench.images, net, from_search=True)


def members_within(limits: BaselineLimits, genes_AG: Genes, most: int) -> int:
    """How many nets of one architecture keep to the upper limits together by what is predicted, ``most`` at most and 1 at least."""
    room = [each.limit / float(each.cost(genes_AG)[0]) for each in limits.costs if isinstance(each, UpperLimit)]
    return max(1, min([most, *(int(ratio * (1 + 1e-9)) for ratio in room)]))


def _measured(bench: Bench, net: Net, limits: BaselineLimits, most: int) -> Generator[Record, None, tuple[int, float | None]]:
    """The most nets whose latency together, measured in turn with less, is within the limit, and that latency.

    Where nothing can be measured it is ``most``: so many keep to the limits as predicted.
    """
    project, table = bench.project, table_of(bench.project, bench.images)
    if table is None or not is_here(table.table):
        return most, None
    assert net.arch is not None
    genes, task, image_px = genes_of(project.space, net.arch), net.images.task, net.images.preprocess.image_px
    nums = range(2, most + 1)
    others = {f"ensemble-{num}": OtherNet(build_ensemble(project.space, task, genes, num).eval(), image_px) for num in nums}
    rows = project.space.from_json(net.arch)
    label = "measuring nets that answer together"
    nets = yield from measure_archs(project, bench.images.task, rows, label=label, table=table, others=others)
    if nets is None:
        return most, None
    limit_ms = next((each.limit for each in limits.costs if each.name == "latency_ms"), None)
    quantile: Quantile = limits.quantile if limits.quantile is not None else "p50"
    fits = [num for num, each in zip(nums, nets[1:], strict=True) if limit_ms is None or each.quantile_ms(quantile) <= limit_ms]
    num = max(fits, default=1)
    return num, nets[num - 1].latency_ms


def _written(bench: Bench, members: Sequence[Try]) -> Try:
    """Nets as one, with the weights of all, beside their own trainings; the log is the first one's."""
    first, num = members[0], len(members)
    net = replace(first.net, num_members=num, title=f"{num} nets together")
    folder = first.net.folder / f"{first.way.name}-ensemble-{num}"
    if current().rank == 0:
        joined = net.bare(bench.project.space)
        assert isinstance(joined, Ensemble)
        for each, member in zip(members, joined.members, strict=True):
            load_weights(each.folder / WEIGHTS, member)
        save_weights(folder / WEIGHTS, joined, {**told_by(first.folder / WEIGHTS), "ensemble": num})
        if (first.folder / LOG).is_file():
            with atomic_path(folder / LOG) as temporary:
                shutil.copyfile(first.folder / LOG, temporary)
    current().first(None)  # the others read what is written now
    return judged(bench, net, first.way, folder)


def _likelihood_gain(bench: Bench, together: Try, alone: Try) -> Proportion:
    """What several nets find the classes of select likelier than one does, in nats an image, with its paired interval."""
    images_NCHW, labels_N = together.net.images.arrays("select")
    both = []
    for each in (together, alone):
        p_NC = predict(each.load(bench.project.space).to(bench.device), images_NCHW)
        both.append(log_likelihoods(p_NC, labels_N))
    return current().first(paired_mean_difference(both[0], both[1]))
