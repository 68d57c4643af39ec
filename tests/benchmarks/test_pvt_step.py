"""COViT++'s largest net forward and backward; run alone: ``pytest -m benchmark -s tests/benchmarks/test_pvt_step.py``.

Batch 4, 256 px, pool 15, two threads, the supernet of `pvt-covidx` at its largest widths. With ``COVITPP=FOLDER``, a checkout of
hungnv142/COViTPlusPlus, its own supernet is run in turn with ours, many short visits each, and the ratio is that of medians;
without it the ratio is to 0.853 s, measured once with its code on another day. ``COMPILE=1`` adds our blocks under torch.compile,
block by block, since the whole net takes minutes to compile, its
convolutions kept channels-last. ``CLOCK=cpu`` takes the process's CPU time, for a shared machine.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
import types
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call

from edgenas.spaces import get_space
from edgenas.supernets import build_supernet
from edgenas.supernets.products import fast_products
from edgenas.supernets.slots import Skeleton

VISITS = int(os.environ.get("VISITS", "15"))
THREADS = int(os.environ.get("THREADS", "2"))
BASELINE_S = 0.853
SPACE = get_space("pvt-covidx")
ARCH = {"pool_size": 15, "depths": [3, 4, 12, 2], "qkv_dims": [32, 64, 160, 256], "mlp_ratios": [8, 8, 8, 4]}
CLOCK = time.process_time if os.environ.get("CLOCK") == "cpu" else time.perf_counter


def ancestor(folder: str) -> nn.Module:
    """COViT++'s supernet, set to its largest net; what it imports and never calls is replaced."""
    for name in ("mmcv", "mmcv.cnn", "mmcv.cnn.utils", "mmcv.cnn.utils.flops_counter"):
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["mmcv.cnn.utils.flops_counter"].get_model_complexity_info = None  # type: ignore[attr-defined]
    sys.path.insert(0, folder)
    from model.supernet import PVTSuper  # type: ignore[import-not-found]

    net: nn.Module = PVTSuper(img_size=[256, 256], num_classes=3, mlp_ratios=[8, 8, 8, 4], depths=[3, 4, 12, 2])
    net.set_sample_config({"embed_dims": [32, 64, 160, 256], "depths": [3, 4, 12, 2], "sample_pooling_dim": 15})
    return net.train()


def compiled(forward: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """The same with every component under torch.compile."""
    options = {"force_layout_optimization": True}  # else depthwise convolutions run in the slow layout in backward
    fast = torch.compile(functional_call, dynamic=False, options=options)

    def run() -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(Skeleton, "__call__", lambda skeleton, weights, x: fast(skeleton.module, weights, (x,)))
            return forward()

    return run


def seconds(forward: Callable[[], Any], net: nn.Module) -> float:
    net.zero_grad(set_to_none=True)
    start = CLOCK()
    forward().square().sum().backward()
    return CLOCK() - start


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore")  # of timm's old names, which the ancestor imports, and of compilers
def test_the_largest_net_of_covitpp(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    images_NCHW = torch.randn(4, 3, 256, 256)
    ours, genes = build_supernet(SPACE, SPACE.default_task).train(), tuple(int(gene) for gene in SPACE.from_json(ARCH)[0])

    def forward() -> Any:
        return ours(images_NCHW, genes)

    runs: dict[str, tuple[Callable[[], Any], nn.Module]] = {"eager": (forward, ours)}
    if os.environ.get("COMPILE") == "1":
        runs["compiled"] = (compiled(forward, monkeypatch), ours)
    folder = os.environ.get("COVITPP")
    if folder is not None:
        theirs = ancestor(folder)
        runs["ancestor"] = (lambda: theirs(images_NCHW), theirs)
    for run in runs.values():
        seconds(*run)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(VISITS):
        for name, run in runs.items():
            with fast_products(torch.device("cpu")) if name == "eager" else nullcontext():  # as a step of training
                times[name].append(seconds(*run))
    medians = {name: statistics.median(values) for name, values in times.items()}
    reference = medians.pop("ancestor", BASELINE_S)
    parts = [f"ancestor {reference:.3f} s ({'in turn' if folder is not None else 'baseline'})"]
    for name, median in medians.items():
        mad = statistics.median(abs(value - median) for value in times[name])
        parts.append(f"{name} {median:.3f} ± {mad:.3f} s, {reference / median:.2f} times faster")
    host = f"{platform.machine()}, torch {torch.__version__}, {THREADS} threads, {VISITS} visits, {CLOCK.__name__}"
    assert min(medians.values()) > 0
    with capsys.disabled():
        print(f"\nCOViT++ largest net, batch 4, 256 px, pool 15: {'; '.join(parts)} ({host})")  # noqa: T201 - a benchmark
