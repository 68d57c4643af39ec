"""A plain convolutional net that is as fast as the limit allows, measured on this device: what a person would try first."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgenas.latency import Memory
from edgenas.recipes.baselines import Limits, table_of
from edgenas.recipes.profile import measure_archs
from edgenas.recipes.run_tables import is_here
from edgenas.recipes.ways import Bench, Net
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


def find_cnn(
    bench: Bench, limits: Limits, winner_ms: float | None, *, memory: Memory
) -> Generator[Record, None, tuple[Net, int] | None]:
    """The widest plain CNN whose latency, measured beside others here, is within the limit (or the winner's); None without any.

    Args:
        bench: with the project.
        limits: of the search.
        winner_ms: latency of the winner as measured, which counts where the search had no limit; None if it was not.
        memory: keeps timings.
    """
    project, task = bench.project, bench.images.task
    table = table_of(project, bench.images)
    if table is None or not is_here(table.table):
        why = "there is no latency table" if table is None else f"the latency table is of {table.table.context.device}, not here"
        yield Note(f"no plain CNN of equal latency beside them: {why}", is_warning=table is not None)
        return None
    limit_ms = limits.latency_ms if limits.latency_ms is not None else winner_ms
    if limit_ms is None:
        yield Note("no plain CNN of equal latency beside them: the winner was not measured")
        return None
    within: list[int] = []
    for start in range(0, len(WIDTHS), AT_ONCE):
        widths = WIDTHS[start : start + AT_ONCE]
        others = {f"cnn-{width}": untrained(task, width) for width in widths}
        none = np.empty((0, len(project.space.choices)), dtype=np.int16)
        label = f"measuring plain CNNs {widths[0]} to {widths[-1]} wide"
        nets = yield from measure_archs(project, task, none, label=label, table=table, memory=memory, others=others)
        if nets is None:
            return None
        quantile = limits.quantile if limits.latency_ms is not None else None
        measured = [net.latency_ms if quantile is None else net.quantile_ms(quantile) for net in nets]
        within += [width for width, ms in zip(widths, measured, strict=True) if ms <= limit_ms]
        if max(measured) > limit_ms:
            break
    if not within:
        yield Note(f"no plain CNN of equal latency beside them: even {WIDTHS[0]} channels take more than {limit_ms:.3g} ms")
        return None
    width = max(within)
    folder = project.run.retrain / "tries" / f"cnn-{width}"
    return Net(PLAIN_CNN, folder, None, bench.images, partial(build, task, width), {"width": width}), width


def shape_of(net: nn.Module, task: Task) -> dict[str, Any]:
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
    return {"params": sum(parameter.numel() for parameter in net.parameters()), "macs": sum(macs)}
