"""A plain convolutional net that is as fast as the limit allows, measured on this device: what a person would try first."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial

from edgenas.latency import Memory
from edgenas.latency.measuring import is_here
from edgenas.project.measuring import measure_archs
from edgenas.project.retraining.baselines import Limits, table_of
from edgenas.project.retraining.ways import Bench, Net
from edgenas.project.run_tables import RunTable
from edgenas.records import Arch
from edgenas.runs import Note, Record
from edgenas.training.cnn import cnn_for, untrained

WIDTHS = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96)
AT_ONCE = 3  # that are timed together, from narrow to wide, until one is too slow
PLAIN_CNN = "plain-cnn"  # kind of net in checkpoints


def find_cnn(bench: Bench, limits: Limits, arch: Arch, *, memory: Memory) -> Generator[Record, None, tuple[Net, int] | None]:
    """The widest plain CNN whose latency as measured here is within the limit; None where nothing can be measured, or is.

    Args:
        bench: with the project.
        limits: of the search; where they have none on latency, the CNN may take as long as the winner beside it.
        arch: of the winner, readable.
        memory: keeps timings.
    """
    table = table_of(bench.project, bench.images)
    if table is None or not is_here(table.table):
        why = "there is no latency table" if table is None else f"the latency table is of {table.table.context.device}, not here"
        yield Note(f"no plain CNN of equal latency beside them: {why}")
        return None
    within: list[int] = []
    for start in range(0, len(WIDTHS), AT_ONCE):
        widths = WIDTHS[start : start + AT_ONCE]
        latencies = yield from _beside(bench, limits, arch, widths, table, memory)
        if latencies is None:
            return None
        limit_ms, *measured = latencies
        within += [width for width, ms in zip(widths, measured, strict=True) if ms <= limit_ms]
        if max(measured) > limit_ms:
            break
    if not within:
        yield Note(f"no plain CNN of equal latency beside them: even {WIDTHS[0]} channels take more than {limit_ms:.3g} ms")
        return None
    width, task = max(within), bench.images.task
    folder = bench.project.run.retrain / "tries" / f"cnn-{width}"
    return Net(PLAIN_CNN, folder, None, bench.images, partial(cnn_for, task, width), {"width": width}), width


def _beside(
    bench: Bench, limits: Limits, arch: Arch, widths: Sequence[int], table: RunTable, memory: Memory
) -> Generator[Record, None, list[float] | None]:
    """The limit in milliseconds, or the winner's latency, then those of plain CNNs, measured in turn; None where nothing can be."""
    project, task = bench.project, bench.images.task
    rows = project.space.from_json(arch)
    others = {f"cnn-{width}": untrained(task, width) for width in widths}
    label = f"measuring plain CNNs of {widths[0]} to {widths[-1]} channels"
    nets = yield from measure_archs(project, task, rows, label=label, table=table, memory=memory, others=others, attempts=1)
    if nets is None:
        return None
    if limits.latency_ms is None:
        return [net.latency_ms for net in nets]
    quantile = limits.quantile if limits.quantile is not None else "p50"
    return [limits.latency_ms, *(net.quantile_ms(quantile) for net in nets[1:])]
