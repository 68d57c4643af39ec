"""How many nets of the winner's architecture the limits of the search leave room for."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from edgenas.errors import EdgeNASError
from edgenas.latency.measuring import OtherNet, is_here
from edgenas.project.measuring import measure_archs
from edgenas.project.net_facts import genes_of
from edgenas.project.results import read_retrain, searched
from edgenas.project.retraining.baselines import BaselineLimits, limit_table, limits_for, table_of
from edgenas.project.retraining.ways import Bench, Net
from edgenas.project.run_tables import RunTable
from edgenas.records import EnsembleRoom, Quantile, SearchResult
from edgenas.runs import Note, Record
from edgenas.search import FLOOR, UpperLimit
from edgenas.search.limits import LATENCY
from edgenas.spaces import Genes
from edgenas.supernets.ensemble import build_ensemble
from edgenas.training.ranks import current


@dataclass(frozen=True, slots=True)
class Room:
    """Nets that limits leave room for.

    Attributes:
        num: of them.
        latency_ms: of so many, as measured with the run's table; None where nothing was.
        words: what leaves it.
        facts: under which limits; None without a search.
    """

    num: int
    latency_ms: float | None
    words: str
    facts: EnsembleRoom | None


@dataclass(frozen=True, slots=True)
class TimedLimit:
    """A limit on what a device takes that is here.

    Attributes:
        table: of the device.
        limit_ms: most milliseconds; None where latency has no limit.
        quantile: of calls that is compared with it.
    """

    table: RunTable
    limit_ms: float | None
    quantile: Quantile = "p50"


def room_for(bench: Bench, net: Net, most: int, *, from_search: bool) -> Generator[Record, None, Room]:
    """How many nets of one architecture, ``most`` at most, keep to every limit: as predicted, on latency also as measured in turn.

    So many as were kept together are not measured again under the same limits, since near a limit times would decide otherwise.
    """
    limits, result = limits_together(bench, net, from_search=from_search), searched(bench.project.run) if from_search else None
    assert net.arch is not None
    predicted = members_within(limits, bench.project.space.from_json(net.arch), most)
    facts = None if result is None else _facts(result, most)
    kept = current().first(None if bench.force else _kept(bench, net, facts))
    if kept is not None and predicted > 1:
        yield Note(f"{kept.num} nets were kept together under these limits and are not measured again (--force does)")
        return kept
    measured: tuple[int, float | None] = (predicted, None)
    if predicted > 1 and current().rank == 0:  # times of one device, of which the others wait for what follows
        measured = yield from _measured(bench, net, _timed_limits(bench, limits, result), predicted)
    num, latency_ms = current().first(measured)
    return Room(num, latency_ms, f"{limits} leaves" if predicted == 1 else f"measured, {limits} leaves", facts)


def limits_together(bench: Bench, net: Net, *, from_search: bool) -> BaselineLimits:
    """Those on costs of the search that chose the net; none where there was none, or floors on sensitivities alone."""
    result = searched(bench.project.run) if from_search else None
    if result is None or all(name.startswith(FLOOR) for name in result.limits):
        return BaselineLimits(())
    return limits_for(bench.project, bench.images, net, from_search=True)


def members_within(limits: BaselineLimits, genes_AG: Genes, most: int) -> int:
    """How many nets of one architecture keep to the upper limits together by what is predicted, ``most`` at most and 1 at least."""
    room = [each.limit / float(each.cost(genes_AG)[0]) for each in limits.costs if isinstance(each, UpperLimit)]
    return max(1, min([most, *(int(ratio * (1 + 1e-9)) for ratio in room)]))


def _facts(result: SearchResult, most: int) -> EnsembleRoom:
    """What decides how many nets there is room for, but for their architecture."""
    tables = [table for table in (result.table, *(result.tables or {}).values()) if table is not None]
    promises = {name: str(promise.quantile) for name, promise in (result.promises or {}).items()}
    return EnsembleRoom(
        asked=most,
        limits=dict(result.limits),
        quantiles=promises or None,
        tables=tuple(dict.fromkeys(table.sha256 for table in tables)) or None,
    )


def _kept(bench: Bench, net: Net, facts: EnsembleRoom | None) -> Room | None:
    """The nets that the last `retrain` kept together, if they were measured and today's limits leave just so much room."""
    with suppress(EdgeNASError):  # a damaged report is written anew
        retrained = read_retrain(bench.project.run)
        kept = None if retrained is None or retrained.net.arch != net.arch else retrained.net.ensemble
        if retrained is None or kept is None or kept.room is None or facts is None or retrained.net.latency_ms_measured is None:
            return None
        is_all = kept.num_members == facts.asked or (kept.num_members < min(kept.room.asked, facts.asked))
        if is_all and kept.room.is_under(facts):
            return Room(kept.num_members, retrained.net.latency_ms_measured, "measured, these limits leave", facts)
    return None


def _timed_limits(bench: Bench, limits: BaselineLimits, result: SearchResult | None) -> list[TimedLimit]:
    """Limits on the latency of devices that are here; without one the run's table alone, which says what nets take."""
    project, images = bench.project, bench.images
    timed = []
    for limit in limits.costs if result is not None else ():
        if not (isinstance(limit, UpperLimit) and limit.name.startswith(LATENCY)):
            continue
        assert result is not None
        table, promise = limit_table(project, images, result, limit.name), (result.promises or {}).get(limit.name)
        if table is not None and is_here(table.table):
            timed.append(TimedLimit(table, limit.limit, "p50" if promise is None else promise.quantile))
    own = table_of(project, images)
    if not timed and own is not None and is_here(own.table):
        timed.append(TimedLimit(own, None))
    return timed


def _measured(
    bench: Bench, net: Net, devices: Sequence[TimedLimit], most: int
) -> Generator[Record, None, tuple[int, float | None]]:
    """The most nets whose latency together, measured in turn with less, is within every limit, and that latency.

    Where nothing can be measured it is ``most``: so many keep to the limits as predicted.
    """
    project = bench.project
    assert net.arch is not None
    genes, task, image_px = genes_of(project.space, net.arch), net.images.task, net.images.preprocess.image_px
    num, latencies_ms = most, list[float]()
    for device in devices:
        nums = range(2, num + 1)
        others = {f"ensemble-{each}": OtherNet(build_ensemble(project.space, task, genes, each).eval(), image_px) for each in nums}
        rows = project.space.from_json(net.arch)
        label = "measuring nets that answer together"
        nets = yield from measure_archs(project, bench.images.task, rows, label=label, table=device.table, others=others)
        if nets is None:
            continue
        limit_ms = float("inf") if device.limit_ms is None else device.limit_ms
        num = max((each for each in nums if nets[each - 1].quantile_ms(device.quantile) <= limit_ms), default=1)
        latencies_ms = latencies_ms or [each.latency_ms for each in nets]
    return num, latencies_ms[num - 1] if latencies_ms else None
