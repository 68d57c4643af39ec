"""A plain convolutional net that is as fast as the limit allows, measured on this device: what a person would try first."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from edgenas.latency import Memory
from edgenas.project.measuring import measure_archs
from edgenas.project.retraining.baselines import Limits, table_of
from edgenas.project.retraining.ways import Bench, Net
from edgenas.project.run_tables import RunTable, is_here
from edgenas.records import Arch
from edgenas.runs import Note, Record
from edgenas.spaces import Task
from edgenas.training.cnn import plain_cnn

WIDTHS = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96)
AT_ONCE = 3  # that are timed together, from narrow to wide, until one is too slow
PLAIN_CNN = "plain-cnn"  # kind of net in checkpoints


def build(task: Task, width: int) -> nn.Module:
    """A plain CNN that reads a task's images, with weights from PyTorch's generator."""
    return plain_cnn(task.num_classes, task.image_px, task.in_channels, width=width)


def untrained(task: Task, width: int) -> nn.Module:
    """The same in eval mode, to be timed; the shared generator is left as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(task, width).eval()


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
    return Net(PLAIN_CNN, folder, None, bench.images, partial(build, task, width), {"width": width}), width


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


def shape_of(net: nn.Module, task: Task) -> tuple[int, int]:
    """Parameters and multiply-accumulates of a plain CNN, the latter of its convolutions and linear layers."""
    macs: list[int] = []

    def count(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        weight = module.weight
        assert isinstance(weight, Tensor)
        macs.append(output.numel() * weight[0].numel())

    hooks = [each.register_forward_hook(count) for each in net.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        net(torch.zeros(1, task.in_channels, task.image_px, task.image_px))
    for hook in hooks:
        hook.remove()
    return sum(parameter.numel() for parameter in net.parameters()), sum(macs)
