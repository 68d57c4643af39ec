"""Forward and backward of supernets, in turn with those of another version of edgenas.

Run alone: ``BEFORE=FOLDER pytest -m benchmark -s tests/benchmarks/test_supernet_step.py``; FOLDER holds the other version's
``edgenas/``. Both get the same weights, images and subnets, in one process and in an order that changes from visit to visit, after
each has run every subnet once. The ratio is the median of those of the visits, before to now: above 1 is faster now. ``CLOCK=cpu``
takes the process's CPU time, for a shared machine.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgenas.spaces import SearchSpace, Task, get_space
from edgenas.supernets import build_supernet

VISITS = int(os.environ.get("VISITS", "12"))
THREADS = int(os.environ.get("THREADS", "1"))
CLOCK = time.process_time if os.environ.get("CLOCK") == "cpu" else time.perf_counter
LARGEST_COVITPP = {"pool_size": 15, "depths": [3, 4, 12, 2], "qkv_dims": [32, 64, 160, 256], "mlp_ratios": [8, 8, 8, 4]}


def build_before(folder: str, name: str, task: Task) -> Any:
    """The other version's supernet; its modules are forgotten afterwards, and ours are back."""
    ours = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "edgenas"}
    for module in ours:
        del sys.modules[module]
    sys.path.insert(0, folder)
    try:
        from edgenas import spaces, supernets

        assert str(spaces.__file__).startswith(folder)
        return supernets.build_supernet(spaces.get_space(name), spaces.Task(task.num_classes, task.in_channels, task.image_px))
    finally:
        sys.path.remove(folder)
        for module in [module for module in sys.modules if module.partition(".")[0] == "edgenas"]:
            del sys.modules[module]
        sys.modules.update(ours)


def rows(space: SearchSpace) -> list[tuple[int, ...]]:
    """Random subnets; of COViT++'s space the largest net."""
    if space.name == "pvt-covidx":
        return [tuple(int(gene) for gene in space.from_json(LARGEST_COVITPP)[0])] * VISITS
    return [tuple(int(gene) for gene in row) for row in space.sample(VISITS, np.random.default_rng(0))]


def seconds(net: Any, images_NCHW: torch.Tensor, genes: tuple[int, ...]) -> float:
    net.zero_grad(set_to_none=True)
    start = CLOCK()
    net(images_NCHW, genes).square().mean().backward()
    return CLOCK() - start


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("name", "batch_size"), [("autoformer-tiny", 8), ("pvt-covidx", 4), ("pvt-nano", 32), ("pvt-elastic-nano", 32)]
)
def test_a_step_against_another_version(name: str, batch_size: int, capsys: pytest.CaptureFixture[str]) -> None:
    folder = os.environ.get("BEFORE")
    if folder is None:
        pytest.skip("BEFORE names no folder with another version")
    torch.set_num_threads(THREADS)
    space = get_space(name)
    task = space.default_task
    now, before = build_supernet(space, task).train(), build_before(str(Path(folder).resolve()), name, task).train()
    before.load_state_dict(now.state_dict())
    images_NCHW = torch.randn(batch_size, task.in_channels, task.image_px, task.image_px)
    for genes in dict.fromkeys(rows(space)):
        seconds(before, images_NCHW, genes)
        seconds(now, images_NCHW, genes)
    visits: list[tuple[float, float]] = []
    for visit, genes in enumerate(rows(space)):
        nets = (before, now) if visit % 2 else (now, before)
        first, second = (seconds(net, images_NCHW, genes) for net in nets)
        visits.append((first, second) if visit % 2 else (second, first))
    ratios = [old / new for old, new in visits]
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    old, new = (statistics.median(times) for times in zip(*visits, strict=True))
    assert middle > 0
    host = f"{platform.machine()}, torch {torch.__version__}, {THREADS} threads, {CLOCK.__name__}, load {os.getloadavg()[0]:.1f}"
    with capsys.disabled():
        text = f"{name}, batch {batch_size}, {task.image_px} px: before {old:.4f} s, now {new:.4f} s"
        print(f"\n{text}, ratio {middle:.3f} (quartiles {low:.3f} to {high:.3f}, {VISITS} visits; {host})")  # noqa: T201 - a benchmark
