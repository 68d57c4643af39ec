"""The best hand-designed net under the limits of the search, found on the split select."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgenas.costs import CostModel, cost_models
from edgenas.data.images import Images
from edgenas.latency.measuring import is_here
from edgenas.project.net_facts import HAND_DESIGNED
from edgenas.project.nets import supernet_epochs
from edgenas.project.opening import Project
from edgenas.project.results import searched
from edgenas.project.retraining.floors import held_to_floors
from edgenas.project.retraining.ways import Bench, Net, Try, fit_all, is_trained, short_name, ways_of
from edgenas.project.run_tables import RunTable, run_table
from edgenas.records import AT_LEAST, Arch, Quantile, SearchResult, limit_text
from edgenas.runs import Note, Record
from edgenas.search import FLOOR, QUANTITIES, CostLimit, UpperLimit, cost_of, limit_of
from edgenas.search.limits import LATENCY
from edgenas.search.proof_scores import in_turn
from edgenas.spaces import Genes, SearchSpace
from edgenas.spaces.designed import hand_designed
from edgenas.training.ways import FINALISTS, Race, Way


@dataclass(frozen=True, slots=True)
class BaselineLimits:
    """What hand-designed nets may cost.

    Attributes:
        costs: each with its limit.
        latency_ms: that a net measured on this device may take; None for no limit, or one that keeps out no net of the space: nets
            of its latency are no equals of the winner.
        quantile: of calls that is compared with it; None for their median.
        here: name of the limit on latency that what is measured on this device is held to; None without one.
        not_applied: limits of the search that cannot be judged here, in words.
    """

    costs: tuple[CostLimit, ...]
    latency_ms: float | None = None
    quantile: Quantile | None = None
    here: str | None = None
    not_applied: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ", ".join(str(limit) for limit in self.costs)

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """Limits on latency that nothing which is measured here is held to, in words."""
        return tuple(str(limit) for limit in self.costs if limit.name.startswith(LATENCY) and not self._is_here(limit.name))

    def _is_here(self, name: str) -> bool:
        return self.here is not None and name.removesuffix(AT_LEAST) == self.here


def table_of(project: Project, images: Images) -> RunTable | None:
    """The table that the search rested on (of several, that of a device that is here), else the run's; None where none fits."""
    result = searched(project.run)
    name = None if result is None else _limit_here(project, images, result)
    if result is not None and name is not None:
        return limit_table(project, images, result, name)
    table = result.table if result is not None else None
    return run_table(project, images.task, table.sha256 if table is not None else None)


def limits_for(project: Project, images: Images, winner: Net, *, from_search: bool) -> BaselineLimits:
    """The limits of the search that chose the winner; where it had none, or there was none, the winner's own latency (or MACs)."""
    result = searched(project.run) if from_search else None
    costs = cost_models(project.space, images.task)
    limits: list[CostLimit] = []
    missing: list[str] = []
    for name, value in result.limits.items() if result is not None else ():
        quantity = name.removesuffix(AT_LEAST)
        if quantity in QUANTITIES:
            limits.append(limit_of(name, value, cost_of(quantity, project.space, images.task)))
        elif result is not None and name.startswith(LATENCY):
            model = _latency_model(project, images, result, name)
            if model is None:
                missing.append(f"{limit_text(name, f'{value:g}')}: its latency table is not in {project.run.latency}")
            else:
                limits.append(limit_of(name, value, model))
        elif not name.startswith(FLOOR):
            missing.append(f"{limit_text(name, f'{value:g}')}: no installed package brings this limit")
    if result is None or not limits:
        table = table_of(project, images)
        name, model = ("latency_ms", table.predicted) if table is not None else ("macs", costs.macs)
        assert winner.arch is not None
        own = winner.num_members * float(model(project.space.from_json(winner.arch))[0])
        limits.append(UpperLimit(name, own, model))
        return BaselineLimits(tuple(limits), here=name if table is not None else None, not_applied=tuple(missing))
    here = _limit_here(project, images, result)
    latency_ms = result.limits[here] if here is not None and here in result.binding else None
    promise = None if here is None else (result.promises or {}).get(here)
    return BaselineLimits(tuple(limits), latency_ms, promise.quantile if promise is not None else None, here, tuple(missing))


def _limit_here(project: Project, images: Images, result: SearchResult) -> str | None:
    """Name of the upper limit on the latency of this device, the nameless one first; None without one."""
    names = [name for name in result.limits if name.startswith(LATENCY) and not name.endswith(AT_LEAST)]
    for name in sorted(names, key=lambda each: each != LATENCY):  # stable
        table = limit_table(project, images, result, name)
        if table is not None and is_here(table.table):
            return name
    return None


def limit_table(project: Project, images: Images, result: SearchResult, name: str) -> RunTable | None:
    """The table that a limit on latency rests on; None where it is gone."""
    alias = name.removesuffix(AT_LEAST).removeprefix("latency_ms").strip("[]")
    facts = (result.tables or {}).get(alias) if alias else result.table
    sha256 = facts.sha256 if facts is not None else None
    chosen = run_table(project, images.task, sha256)
    return None if chosen is None or (alias and chosen.table.sha256 != sha256) else chosen


def _latency_model(project: Project, images: Images, result: SearchResult, name: str) -> CostModel | None:
    """What the search limited: a prediction, times its promise's factor where there is one; None where the table is gone."""
    chosen = limit_table(project, images, result, name)
    if chosen is None:
        return None
    promise = (result.promises or {}).get(name)
    factor = promise.factor if promise is not None else 1.0
    model = chosen.predicted
    return CostModel(model.name, model.unit, model.factors, model.scale * factor, model.offset * factor)


def within(space: SearchSpace, limits: BaselineLimits) -> tuple[list[Arch], bool]:
    """The hand-designed nets that meet the limits, and whether any does; where none does, the one that is nearest to them."""
    archs = hand_designed(space)
    rows_AG: Genes = np.concatenate([space.from_json(arch) for arch in archs])
    excess_A = np.max([limit.violation(rows_AG) for limit in limits.costs], axis=0)
    allowed = np.flatnonzero(excess_A <= 0)
    if len(allowed):
        return [archs[position] for position in allowed], True
    return [archs[int(np.argmin(excess_A))]], False


def baseline_epochs(project: Project, winner: Way, ways: Sequence[Way]) -> int:
    """How long fresh hand-designed weights train: as the winner's did, or as was set, and never less than it was trained here."""
    asked = project.settings.retrain.baseline_epochs
    seen = winner.epochs + (supernet_epochs(project) if winner.weights == "finetuned" else 0)
    return max(seen if asked is None else asked, *(way.epochs for way in ways), 1)


def find_best(
    bench: Bench,
    archs: Sequence[Arch],
    epochs: int,
    seconds_per_epoch: float | None,
    winner: Sequence[Try] = (),
) -> Generator[Record, None, tuple[list[Try], list[Try]]]:
    """Race the nets until two are left, then train those to the end in every way.

    A winner of the search that is hand-designed itself is one of these nets: it need not race, and its trainings to the end count.

    Args:
        bench: with what trains them.
        archs: hand-designed nets.
        epochs: of fresh weights, to the end.
        seconds_per_epoch: of the winner's training, for an estimate; None without.
        winner: trainings to the end of the search's finals.

    Returns:
        The trainings of the race, and those to the end, held to the floors of the bench.
    """
    ways = ways_of(bench.project, bench.teachings, scratch_epochs=epochs)
    settled: list[Try] = []
    for arch in archs:
        own = [each for each in winner if each.net.arch == arch and each.way in ways]
        settled += own if len(own) == len(ways) else []
    archs = [arch for arch in archs if all(arch != each.net.arch for each in settled)]
    race, nets = _entered(bench, archs, ways)
    yield _told(len(nets), race, ways, epochs_left(bench, nets, race, ways), seconds_per_epoch)
    raced: list[Try] = []
    for number, (_, short) in enumerate(race.rounds, 1):
        tries = []
        for net in nets:
            shown = replace(net, folder=net.folder / f"round-{number}")
            tries += yield from fit_all(bench, shown, [replace(race.way, epochs=short)], says_kept=False)
        raced += tries
        order = sorted(range(len(nets)), key=lambda position: -tries[position].select_log_likelihood)  # stable
        resolutions = [int((net.arch or {}).get("resolution_px", 1)) for net in nets]
        nets = [nets[position] for position in sorted(in_turn(order, resolutions, max(FINALISTS, len(nets) // 2)))]
    finals: list[Try] = []
    for net in nets:
        finals += yield from fit_all(bench, net, ways)
    return raced, [*settled, *(yield from held_to_floors(bench, finals))]


def _entered(bench: Bench, archs: Sequence[Arch], ways: Sequence[Way]) -> tuple[Race, list[Net]]:
    """The race of some nets, and these at its start."""
    root = bench.project.run.retrain / "tries"
    nets = [Net.of_arch(bench, HAND_DESIGNED, root / f"hand-{short_name(arch)}", arch) for arch in archs]
    return Race.plan(len(archs), ways, bench.project.settings.retrain.race_epochs), nets


def is_found(bench: Bench, archs: Sequence[Arch], epochs: int) -> bool:
    """Whether `find_best` has nothing left to train."""
    ways = ways_of(bench.project, bench.teachings, scratch_epochs=epochs)
    race, nets = _entered(bench, archs, ways)
    return not epochs_left(bench, nets, race, ways)


def epochs_left(bench: Bench, nets: Sequence[Net], race: Race, ways: Sequence[Way]) -> int:
    """Epochs that `find_best` still has to train.

    Who reaches a later round is open before the earlier one is run: as many nets as are trained already count for nothing there.
    """
    rounds = [(num, f"round-{number}", replace(race.way, epochs=short)) for number, (num, short) in enumerate(race.rounds, 1)]
    last = FINALISTS if rounds else len(nets)
    left = 0
    for num, folder, way in (*rounds, *((last, "", way) for way in ways)):
        done = sum(is_trained(bench, replace(net, folder=net.folder / folder), way) for net in nets)
        left += way.epochs * max(0, num - done)
    return left


def _told(num: int, race: Race, ways: Sequence[Way], left: int, seconds_per_epoch: float | None) -> Note:
    """What will be trained and about how long that takes; what is trained already takes no time."""
    nets = f"{num} hand-designed net{'' if num == 1 else 's'}"
    if not num:
        return Note("every hand-designed net within the limits is a final of the search, and trained already")
    if not left:
        return Note(f"{nets}: already trained (--force trains them again)")
    finals = num if not race.rounds else FINALISTS
    epochs = race.epochs + finals * sum(way.epochs for way in ways)
    rounds = "".join(f", {nets} for {short} epoch{'' if short == 1 else 's'}" for nets, short in race.rounds)
    work = f"{epochs} epochs" if left == epochs else f"{left} of {epochs} epochs are left"
    minutes = "" if seconds_per_epoch is None else f", about {left * seconds_per_epoch / 60:.1f} minutes at the winner's pace"
    tried = f"{len(ways)} way{'' if len(ways) == 1 else 's'}"
    return Note(f"{nets}: the best on select is looked for{rounds}, {finals} to the end in {tried}: {work}{minutes}")
