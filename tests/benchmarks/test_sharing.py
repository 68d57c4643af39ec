"""What entangled weights buy on `pvt-nano`; run alone: ``pytest -m benchmark -s tests/benchmarks/test_sharing.py``.

A supernet of slices and one of private blocks learn the digits for equally many steps, on the same batches and with the same
subnets, one a step. A line each: parameters, training loss of the last epoch, loss and accuracy of random subnets on images that
neither saw, as means over seeds with intervals of Student's t (95 %), and the paired difference of the accuracies.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from edgenas.costs import decompose
from edgenas.data import open_source
from edgenas.data.batches import TrainBatches
from edgenas.data.loaders import ImageStore, arrays
from edgenas.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from edgenas.spaces import get_space
from edgenas.supernets import build_supernet
from edgenas.supernets.classical import ClassicalSupernet
from edgenas.training.distillation import TrainingLoss
from edgenas.training.evaluation import SupernetEvaluator
from edgenas.training.loop import EpochRecord, LoopSettings, start, train
from edgenas.training.sampling import SAMPLING_RULES

SEEDS = int(os.environ.get("SHARING_SEEDS", "5"))
EPOCHS = int(os.environ.get("SHARING_EPOCHS", "40"))
RULE = os.environ.get("SHARING_RULE", "uniform")
NUM_SUBNETS = 50
NUM_TRAIN = 900
SPACE = get_space("pvt-nano")
KINDS = ("entangled", "classical")


def build(kind: str) -> nn.Module:
    if kind == "entangled":
        return build_supernet(SPACE, SPACE.default_task)
    return ClassicalSupernet(SPACE, SPACE.default_task, decompose(SPACE, SPACE.default_task))


def one_run(kind: str, seed: int, store: ImageStore, order_N: np.ndarray[tuple[int], np.dtype[np.int64]]) -> dict[str, float]:
    """Train, then evaluate the same random subnets for every kind and seed."""
    train_N, test_N = order_N[:NUM_TRAIN], order_N[NUM_TRAIN:]
    torch.manual_seed(seed)
    settings = LoopSettings(epochs=EPOCHS, learning_rate=2e-3, warmup_epochs=3, ema_decay=0.99, seed=seed)
    state = start(build(kind), settings, torch.device("cpu"))
    batches = TrainBatches(store, train_N, 64, "light", seed=seed, workers=0)
    rule, loss = SAMPLING_RULES[RULE], float("nan")
    for record in train(state, batches, TrainingLoss(smoothing=0.05), settings, subnets=lambda rng, step: rule(SPACE, rng, 1)):
        if isinstance(record, EpochRecord):
            loss = record.losses["loss"]
    genes_AG = SPACE.sample(NUM_SUBNETS, np.random.default_rng(12345))
    labels_N = store.source.labels_N[test_N]
    evaluate = SupernetEvaluator(state.result, arrays(store, test_N)[0], device=torch.device("cpu"))
    probabilities_ANK = evaluate(genes_AG, np.arange(len(test_N))).astype(np.float64)
    right_AN = probabilities_ANK.argmax(axis=2) == labels_N
    chosen_AN = probabilities_ANK[:, np.arange(len(test_N)), labels_N]
    return {
        "params": sum(parameter.numel() for parameter in state.model.parameters()),
        "train loss": loss,
        "test loss": float(-np.log(np.maximum(chosen_AN, 1e-7)).mean()),
        "top-1": float(right_AN.mean()),
        "worst": float(right_AN.mean(axis=1).min()),
        "best": float(right_AN.mean(axis=1).max()),
        "steps": state.step,
    }


def interval(values: Sequence[float]) -> str:
    """Mean and half width of the 95 % interval."""
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 1 else float("nan")
    return f"{np.mean(values):.4f} ± {half:.4f}"


@pytest.mark.benchmark
@pytest.mark.timeout(7200)
def test_entangled_weights_against_private_ones(capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(1)
    store = ImageStore(open_source("digits"), Preprocess(32, IMAGENET_MEAN, IMAGENET_STD))
    order_N = np.random.default_rng(0).permutation(len(store.source.labels_N))
    list(store.fill(order_N))
    runs = {kind: [one_run(kind, seed, store, order_N) for seed in range(SEEDS)] for kind in KINDS}
    lines = []
    for kind, found in runs.items():
        params = int(found[0]["params"])
        parts = [
            f"{name} {interval([run[name] for run in found])}" for name in ("train loss", "test loss", "top-1", "worst", "best")
        ]
        lines.append(f"{kind}: {params:,} parameters ({4 * params / 2**20:.2f} MiB), {', '.join(parts)}")
    gained = interval([first["top-1"] - second["top-1"] for first, second in zip(*runs.values(), strict=True)])
    lines.append(f"top-1 gained by entangling: {gained}")
    host = f"{platform.processor() or platform.machine()}, torch {torch.__version__}, 1 thread"
    steps = int(runs["entangled"][0]["steps"])
    lines.append(f"{SEEDS} seeds, {steps} steps of rule {RULE}, {NUM_SUBNETS} subnets, {len(order_N) - NUM_TRAIN} images ({host})")
    assert len({run["steps"] for found in runs.values() for run in found}) == 1
    with capsys.disabled():
        print("\n" + "\n".join(lines))  # noqa: T201 - a benchmark
