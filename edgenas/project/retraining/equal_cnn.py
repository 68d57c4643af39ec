"""A plain convolutional net that is as fast as the limit allows, measured on this device: what a person would try first."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial

from edgenas.latency import Memory
from edgenas.latency.measuring import is_here
from edgenas.project.measuring import measure_archs
from edgenas.project.retraining.baselines import BaselineLimits, table_of
from edgenas.project.retraining.ways import Bench, Net
from edgenas.project.run_tables import RunTable
from edgenas.runs import Note, Record
from edgenas.training.cnn import cnn_for, untrained
from edgenas.training.ranks import current

WIDTHS = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96)
PLAIN_CNN = "plain-cnn"  # kind of net in checkpoints


def find_cnn(
    bench: Bench, limits: BaselineLimits, winner: Net, *, memory: Memory
) -> Generator[Record, None, tuple[Net, int] | None]:
    """The widest plain CNN whose latency as measured here is within the limit; None where nothing can be measured, or is.

    Widths are halved: a wider net is taken to be no faster.

    Args:
        bench: with the project.
        limits: of the search; where they have none on latency, the CNN may take as long as the winner beside it.
        winner: of the space; where several answer together, they are taken to be as many times as slow as one.
        memory: keeps timings.
    """
    ranks = current()
    widest = None
    if ranks.rank == 0:  # times of one device, of which the others wait for what follows
        widest = yield from _widest(bench, limits, winner, memory)
    width = ranks.first(widest)
    if width is None:
        return None
    folder = bench.project.run.retrain / "tries" / f"cnn-{width}"
    return Net(PLAIN_CNN, folder, None, bench.images, partial(cnn_for, bench.images.task, width), {"width": width}), width


def _widest(bench: Bench, limits: BaselineLimits, winner: Net, memory: Memory) -> Generator[Record, None, int | None]:
    """Channels of the widest plain CNN within the limit; None where nothing can be measured, or is within it."""
    table = table_of(bench.project, bench.images)
    if table is None or not is_here(table.table):
        why = "there is no latency table" if table is None else f"the latency table is of {table.table.context.device}, not here"
        yield Note(f"no plain CNN of equal latency beside them: {why}")
        return None
    widest, too_slow = -1, len(WIDTHS)
    while too_slow - widest > 1:
        middle = (widest + too_slow) // 2
        latencies = yield from _beside(bench, limits, winner, WIDTHS[middle], table, memory)
        if latencies is None:
            return None
        limit_ms, cnn_ms = latencies
        widest, too_slow = (middle, too_slow) if cnn_ms <= limit_ms else (widest, middle)
    if widest < 0:
        yield Note(f"no plain CNN of equal latency beside them: even {WIDTHS[0]} channels take more than {limit_ms:.3g} ms")
        return None
    return WIDTHS[widest]


def _beside(
    bench: Bench, limits: BaselineLimits, winner: Net, width: int, table: RunTable, memory: Memory
) -> Generator[Record, None, tuple[float, float] | None]:
    """The limit in milliseconds, or the winner's latency, and a plain CNN's, measured in turn; None where nothing can be."""
    project, task = bench.project, bench.images.task
    assert winner.arch is not None
    rows = project.space.from_json(winner.arch)
    others = {f"cnn-{width}": untrained(task, width)}
    label = f"measuring a plain CNN of {width} channels"
    nets = yield from measure_archs(project, task, rows, label=label, table=table, memory=memory, others=others, attempts=1)
    if nets is None:
        return None
    alone, cnn = nets
    if limits.latency_ms is None:
        return winner.num_members * alone.latency_ms, cnn.latency_ms
    return limits.latency_ms, cnn.quantile_ms(limits.quantile if limits.quantile is not None else "p50")
