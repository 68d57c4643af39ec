"""AutoFormer-T's supernet forward and backward, and DSS.

Run alone: ``pytest -m benchmark -s tests/benchmarks/test_autoformer_step.py``. Batch 8, 224 px, random subnets, two threads. With
``AUTOFORMER=FOLDER``, the folder ``AutoFormer`` of a checkout of microsoft/Cream, its supernet takes the same weights and subnets
in turn with ours, and the ratio is the median of those of the visits; with ``TFTAS=FOLDER``, a checkout of decemberzhou/TF_TAS, so
does its DSS. A second step of ours computes in bfloat16, as ``train.amp_dtype = "bf16"`` does. Without them the ratio is to 2.58 s
and 2.27 s, measured once with their code on another day. ``CLOCK=cpu`` takes the process's CPU time, for a shared machine.
"""

from __future__ import annotations

import collections.abc
import importlib
import os
import platform
import statistics
import sys
import time
import types
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgenas.proxies.dss import WeightNorms, dss_as_published, dss_as_released
from edgenas.spaces import get_space
from edgenas.supernets import build_supernet
from edgenas.supernets.autoformer_files import load_ancestor_weights
from edgenas.supernets.products import fast_products

VISITS = int(os.environ.get("VISITS", "12"))
THREADS = int(os.environ.get("THREADS", "2"))
STEP_S, DSS_S = 2.58, 2.27
SPACE = get_space("autoformer-tiny")
CLOCK = time.process_time if os.environ.get("CLOCK") == "cpu" else time.perf_counter


def ancestor(folder: str, module: str = "model.supernet_transformer") -> nn.Module:
    """AutoFormer's supernet of its Tiny space, or TF-TAS's copy of it; what it imports of old libraries is replaced."""
    six = types.ModuleType("torch._six")
    six.container_abcs = collections.abc  # type: ignore[attr-defined]
    sys.modules.setdefault("torch._six", six)
    for name in [name for name in sys.modules if name.split(".")[0] in ("model", "lib")]:
        del sys.modules[name]  # of the other ancestor, whose packages have the same names
    sys.path.insert(0, str(Path(folder).resolve()))
    build = importlib.import_module(module).Vision_TransformerSuper
    widths = {"img_size": 224, "patch_size": 16, "embed_dim": 256, "depth": 14, "num_heads": 4, "mlp_ratio": 4, "num_classes": 1000}
    options = {"qkv_bias": True, "gp": True, "relative_position": True, "change_qkv": True, "abs_pos": True}
    net: nn.Module = build(**widths, **options, max_relative_position=14, drop_rate=0.0, drop_path_rate=0.0)
    return net.train()


def set_to(net: Any, genes: tuple[int, ...]) -> None:
    arch = SPACE.to_json(np.array(genes, dtype=np.int16))
    depth = len(arch["num_heads"])
    widths = {"embed_dim": [arch["embed_dim"]] * depth, "mlp_ratio": arch["mlp_ratio"], "num_heads": arch["num_heads"]}
    net.set_sample_config({"layer_num": depth, **widths})


def seconds(forward: Callable[[], Any], net: nn.Module, *, is_half: bool = False, is_ours: bool = True) -> float:
    net.zero_grad(set_to_none=True)
    start = CLOCK()
    with fast_products(torch.device("cpu")) if is_ours else nullcontext():  # as a step of training
        with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
            logits = forward()
        logits.float().square().mean().backward()
    return CLOCK() - start


def host() -> str:
    return f"{platform.machine()}, torch {torch.__version__}, {THREADS} threads, {VISITS} visits, {CLOCK.__name__}"


@pytest.mark.benchmark
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore")  # of timm's old names, which the ancestor imports
def test_a_step_of_random_subnets_of_autoformer_tiny(capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    images_NCHW = torch.randn(8, 3, 224, 224)
    ours: Any = build_supernet(SPACE, SPACE.default_task).train()
    folder = os.environ.get("AUTOFORMER")
    theirs: Any = None if folder is None else ancestor(folder)
    if theirs is not None:
        load_ancestor_weights(ours, theirs.state_dict())
    times: dict[str, list[float]] = {"ours": [], "bf16": [], "ancestor": []}
    for visit, row in enumerate(SPACE.sample(VISITS + 1, np.random.default_rng(0))):
        genes = tuple(int(gene) for gene in row)
        mine = seconds(lambda: ours(images_NCHW, genes), ours)  # noqa: B023 - called at once
        half = seconds(lambda: ours(images_NCHW, genes), ours, is_half=True)  # noqa: B023 - called at once
        other = STEP_S
        if theirs is not None:
            set_to(theirs, genes)
            other = seconds(lambda: theirs(images_NCHW), theirs, is_ours=False)
        if visit:  # the first warms up
            times["ours"].append(mine)
            times["bf16"].append(half)
            times["ancestor"].append(other)
    median, reference = statistics.median(times["ours"]), statistics.median(times["ancestor"])
    mad = statistics.median(abs(value - median) for value in times["ours"])
    ratio, in_half = (
        statistics.median(b / a for a, b in zip(times[name], times["ancestor"], strict=True)) for name in ("ours", "bf16")
    )
    kind = "in turn" if theirs is not None else "baseline"
    assert median > 0
    with capsys.disabled():
        text = f"AutoFormer-T step, batch 8, 224 px: {median:.3f} ± {mad:.3f} s, ancestor {reference:.3f} s ({kind})"
        print(f"\n{text}, {ratio:.2f} times faster, {in_half:.2f} in bf16 ({host()})")  # noqa: T201 - a benchmark


def ancestors_dss(folder: str, *, published: bool) -> tuple[nn.Module, Callable[[], float]]:
    """TF-TAS's supernet in eval mode, and its DSS of the subnet that it is set to, copy of the net included as in its search.

    Its code leaves q, k and v out; ``published`` computes the norms of their weights and gradients, too, as it computes the others.
    """
    net: Any = ancestor(folder, "model.autoformer_space").eval()
    judge = importlib.import_module("lib.training_free.compute_indicators").find_indicators
    loader = [(torch.ones(1, 3, 224, 224), torch.zeros(1, dtype=torch.int64))]  # read for its shape only

    def score() -> float:
        result = float(judge(net, loader, ("random", 1, 1000), torch.device("cpu"))["dss"])
        for block in net.blocks[: net.sample_layer_num] if published else ():
            for _ in ("weight", "gradient"):  # of the same shape
                torch.norm(block.attn.qkv.samples["weight"], "nuc")
        return result

    return net, score


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    start = CLOCK()
    result = function()
    return CLOCK() - start, result


@pytest.mark.benchmark
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore")  # of timm's old names, which the ancestor imports
@pytest.mark.parametrize("judge", [dss_as_released, dss_as_published])
def test_dss_of_one_subnet_of_autoformer_tiny(judge: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    supernet: Any = build_supernet(SPACE, SPACE.default_task)
    folder = os.environ.get("TFTAS")
    theirs = None if folder is None else ancestors_dss(folder, published=judge is dss_as_published)
    if theirs is not None:
        load_ancestor_weights(supernet, theirs[0].state_dict())
    norms = WeightNorms()
    times, ratios = [], []
    for row in SPACE.sample(VISITS + 1, np.random.default_rng(0)):
        genes = tuple(int(gene) for gene in row)
        asked = {} if judge is dss_as_released else {"is_split": False}  # q, k and v as one matrix alone, as the ancestor's
        mine_s, score = timed(lambda: judge(supernet, genes, norms, **asked))  # noqa: B023 - called at once
        assert score.stacked > 0
        other_s = DSS_S
        if theirs is not None:
            with torch.no_grad():  # as in its search, which evaluates the subnet's setting
                set_to(theirs[0], genes)
            other_s, other = timed(theirs[1])
            if judge is dss_as_released:
                assert score.stacked == pytest.approx(other, rel=1e-3)
        times.append(mine_s)
        ratios.append(other_s / mine_s)
    first, median = times[0], statistics.median(times[1:])
    low, ratio, high = np.quantile(ratios[1:], (0.25, 0.5, 0.75))
    kind = "in turn" if theirs is not None else f"TF-TAS's {DSS_S} s of another day"
    with capsys.disabled():
        text = f"{judge.__name__} of an AutoFormer-T subnet: {median:.3f} s, the first {first:.3f} s; {kind}, {ratio:.2f}"
        print(f"\n{text} ({low:.2f} to {high:.2f}) times faster ({host()})")  # noqa: T201 - a benchmark
