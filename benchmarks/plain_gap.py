"""What keeps a mobile net behind a plain CNN of equal latency: one difference between the two at a time, at equal steps.

Every arm is one net, trained alone on 200 images a class of Fashion-MNIST's published training images, and judged on 500 others a
class; the test images are not read. Latencies are ratios to the plain CNN, in turn with it in one process, by CPU time on one
thread. What is done is kept: the same command goes on.

    python -m benchmarks.plain_gap --folder plain-gap --seeds 0 1 --time
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.mobile_sharing import TASK, Batches, subset
from edgenas.runs import append_jsonl
from edgenas.spaces.pvt_mobile import PLAIN, AttentionBlockSpec, ConvBlockSpec
from edgenas.stats import paired_score
from edgenas.supernets.pvt_mobile_net import BRANCH, AttentionBlock, Bottleneck, ConvNorm, PlainBlock, initialise
from edgenas.training.cnn import shape_of
from edgenas.training.distillation import TrainingLoss
from edgenas.training.evaluation import logits
from edgenas.training.loop import LoopSettings, start, train
from edgenas.training.recalibration import recalibrate

TRAINED, JUDGED, EPOCHS, NORM_IMAGES = 200, 500, 9, 128
VISITS, CALLS = 60, 10


@dataclass(frozen=True, slots=True)
class Unit:
    """A 3x3 convolution, batch norm, ReLU; where ``expansion`` is above 0, a narrowing 1x1 convolution and batch norm follow.

    Attributes:
        width: channels that it gives.
        stride: of the 3x3 convolution.
        expansion: of a bottleneck's channels, as a multiple of those that it reads; 0 for a plain convolution.
        shortcut: what it reads is added to what it gives.
        relu_after: of a plain convolution with a shortcut, the ReLU follows the sum, as in the blocks of `pvt-mobile-plain`.
        heads: of attention before it, of the kind ``sra`` and 16 channels each; 0 for none.
    """

    width: int
    stride: int = 1
    expansion: int = 0
    shortcut: bool = False
    relu_after: bool = False
    heads: int = 0


@dataclass(frozen=True, slots=True)
class Design:
    """A net, and how it begins and learns.

    Attributes:
        units: in order.
        neck: channels of a 1x1 convolution before the mean; 0 for none.
        learning_rate: highest.
        branch: gain of the last batch norm of a unit with a shortcut, at first.
        attends: factor on the last weights of attention, at first.
        drawn_as: initial weights as of the space's nets, or as PyTorch draws them.
        relu: whether a ReLU follows narrowing convolutions.
    """

    units: tuple[Unit, ...]
    neck: int = 0
    learning_rate: float = 4e-3
    branch: float = BRANCH
    attends: float = BRANCH
    drawn_as: str = "mobile"
    relu: bool = False


class _Added(nn.Module):
    """A module beside a shortcut."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Add what was given."""
        y_NCHW: Tensor = x_NCHW + self.inner(x_NCHW)
        return y_NCHW


def build(design: Design) -> nn.Sequential:
    """The net of a design, with weights from PyTorch's generator."""
    layers: list[nn.Module] = []
    width, grid = TASK.in_channels, TASK.image_px
    for unit in design.units:
        layer: nn.Module = (
            PlainBlock(ConvBlockSpec(1, unit.width, 0, PLAIN))
            if unit.relu_after
            else Bottleneck(
                width, unit.width, width * unit.expansion, (0, 3, 0), stride=unit.stride, relu=design.relu, layer_scale=False
            )
            if unit.expansion
            else ConvNorm(width, unit.width, 3, stride=unit.stride)
        )
        grid //= unit.stride
        if unit.heads:
            layers.append(AttentionBlock(AttentionBlockSpec(grid, width, "sra", unit.heads, 16, 1)))
        layers.append(_Added(layer) if unit.shortcut and not unit.relu_after else layer)
        width = unit.width
    if design.neck:
        layers.append(ConvNorm(width, design.neck, 1))
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(design.neck or width, TASK.num_classes))
    if design.drawn_as == "mobile":
        net.apply(initialise)
    for layer in layers:
        if isinstance(layer, _Added | PlainBlock):
            norms = [module for module in layer.modules() if isinstance(module, nn.BatchNorm2d)]
            nn.init.constant_(norms[-1].weight, design.branch)
        elif isinstance(layer, AttentionBlock):
            with torch.no_grad():
                layer.attn.output.proj.weight.mul_(design.attends)
    return net


CNN = Design((Unit(32), Unit(32, 2), Unit(64), Unit(64, 2), Unit(128), Unit(128)), drawn_as="torch")
SEARCHED = Design(
    (
        Unit(8, 2),
        Unit(16, 1, 2),
        Unit(64, 2, 2),
        Unit(64, 1, 3, shortcut=True),
        Unit(96, 2, 2),
        Unit(96, 1, 2, shortcut=True),
        Unit(96, 1, 3, shortcut=True),
        Unit(96, 1, 3, shortcut=True),
    ),
    neck=256,
)
ATTENTIVE = replace(SEARCHED, units=(*SEARCHED.units[:-2], *(replace(unit, heads=4) for unit in SEARCHED.units[-2:])), branch=1.0)


def without_shortcuts(design: Design) -> Design:
    """The same without shortcuts."""
    return replace(design, units=tuple(replace(unit, shortcut=False) for unit in design.units))


ARMS: Mapping[str, Design] = {
    "CNN": CNN,
    "searched": SEARCHED,
    "searched, weights as PyTorch draws them": replace(SEARCHED, drawn_as="torch"),
    "searched, last grid of 8": replace(
        SEARCHED, units=(*SEARCHED.units[:2], Unit(72, 2, 2), Unit(72, 1, 3, shortcut=True), Unit(72, 1, 3, shortcut=True))
    ),
    "searched, entrance of 32": replace(
        SEARCHED,
        units=(
            *(Unit(16), Unit(32, 2, 2), Unit(64, 2, 2), Unit(64, 1, 3, shortcut=True)),
            *(Unit(96, 2, 2), Unit(96, 1, 3, shortcut=True), Unit(96, 1, 3, shortcut=True)),
        ),
    ),
    "searched, branches begin at 1": replace(SEARCHED, branch=1.0),
    "with attention": ATTENTIVE,
    "with attention, begun at 1": replace(ATTENTIVE, attends=1.0),
    "searched, no shortcuts": without_shortcuts(SEARCHED),
    "searched, no neck": replace(SEARCHED, neck=0),
    "searched, ReLU after narrowing": replace(SEARCHED, relu=True),
    "searched, learning rate 0.0015": replace(SEARCHED, learning_rate=1.5e-3),
    "searched, learning rate 0.01": replace(SEARCHED, learning_rate=1e-2),
    "CNN, weights as of mobile nets": replace(CNN, drawn_as="mobile"),
    "CNN, learning rate 0.0015": replace(CNN, learning_rate=1.5e-3),
    "CNN, learning rate 0.01": replace(CNN, learning_rate=1e-2),
    "CNN, neck of 256": replace(CNN, neck=256),
    "CNN, widened where it strides": replace(CNN, units=(Unit(32), Unit(48, 2), Unit(48), Unit(128, 2), Unit(128))),
    "CNN, entrance of 16": replace(CNN, units=(Unit(32, 2), Unit(64), Unit(48), Unit(64, 2), Unit(128), Unit(112))),
    "CNN, last grid of 4": replace(
        CNN, units=(Unit(32), Unit(32, 2), Unit(64), Unit(64, 2), Unit(128), Unit(128, 2), Unit(144), Unit(144))
    ),
    "CNN, shortcut at the end": replace(CNN, units=(*CNN.units[:-1], Unit(128, shortcut=True))),
    "CNN, shortcut at the end that begins at 1": replace(CNN, units=(*CNN.units[:-1], Unit(128, shortcut=True)), branch=1.0),
    "CNN, shortcut before the last ReLU": replace(CNN, units=(*CNN.units[:-1], Unit(128, shortcut=True, relu_after=True))),
    "CNN, shortcut before the last ReLU that begins at 1": replace(
        CNN, units=(*CNN.units[:-1], Unit(128, shortcut=True, relu_after=True)), branch=1.0
    ),
    "CNN of bottlenecks": replace(
        CNN, units=(Unit(32), Unit(32, 2, 1), Unit(64, 1, 2), Unit(64, 2, 1), Unit(96, 1, 2), Unit(96, 1, 1))
    ),
}


def learn(design: Design, seed: int) -> tuple[float, list[int]]:
    """Accuracy in percent on the images to judge by, and which of them are right, as positions."""
    batches, images_NCHW, labels_N = subset(TRAINED, JUDGED, seed)
    torch.manual_seed(seed)
    settings = LoopSettings(EPOCHS, design.learning_rate, ema_decay=0.99, seed=seed)
    state = start(build(design), settings, torch.device("cpu"))
    for _ in train(state, batches, TrainingLoss(smoothing=0.05, kd_weight=0), settings):
        pass
    net = state.result.eval()
    recalibrate(net, norm_images(batches))
    right_N = logits(net, images_NCHW).argmax(1) == labels_N
    return 100 * float(right_N.mean()), np.flatnonzero(~right_N).tolist()


def norm_images(batches: Batches) -> NDArray[np.float32]:
    """Images that batch-norm statistics are estimated from."""
    chosen_N = np.random.default_rng(0).permutation(len(batches.images_NCHW))[:NORM_IMAGES]
    images_NCHW: NDArray[np.float32] = batches.images_NCHW[chosen_N].numpy()
    return images_NCHW


def session_of(net: nn.Module, folder: Path) -> Callable[[], object]:
    """One call of the exported net in ONNX Runtime with one thread."""
    import onnx
    import onnxruntime
    from edgenas.exporters.onnx import export_graph

    path = folder / "timed.onnx"
    onnx.save(export_graph(net.eval(), (TASK.in_channels, TASK.image_px, TASK.image_px)), str(path))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: np.zeros((1, TASK.in_channels, TASK.image_px, TASK.image_px), dtype=np.float32)}
    return lambda: session.run(None, feed)


def timed(nets: Mapping[str, Callable[[], object]], reference: str) -> dict[str, tuple[float, float]]:
    """Median ratio of CPU time to the reference's in the same visit, and the median of CPU time in milliseconds, by name."""
    taken: dict[str, list[float]] = {name: [] for name in nets}
    for _ in range(VISITS):
        for name, call in nets.items():
            call()
            began = time.process_time_ns()
            for _ in range(CALLS):
                call()
            taken[name].append((time.process_time_ns() - began) / CALLS / 1e6)
    return {
        name: (float(np.median(np.array(own) / np.array(taken[reference]))), float(np.median(own))) for name, own in taken.items()
    }


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a file, none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def train_arms(folder: Path, seeds: Sequence[int], names: Sequence[str]) -> None:
    """Train and judge the arms that are missing, a line each."""
    done = {(line["arm"], line["seed"]) for line in read(folder / "arms.jsonl")}
    for seed, name in product(seeds, names):
        if (name, seed) not in done:
            top1, wrong = learn(ARMS[name], seed)
            append_jsonl(folder / "arms.jsonl", {"arm": name, "seed": seed, "top1": top1, "wrong": wrong})


def time_arms(folder: Path, names: Sequence[str]) -> None:
    """Time arms in turn with the CNN, a line each."""
    nets = {name: session_of(build(ARMS[name]), folder) for name in dict.fromkeys(("CNN", *names))}
    for name, (ratio, cpu_ms) in timed(nets, "CNN").items():
        append_jsonl(folder / "times.jsonl", {"arm": name, "ratio": ratio, "cpu_ms": cpu_ms})


def table(folder: Path) -> str:
    """What was trained, with the paired difference to the arm that each begins from, over the seeds that both have; Markdown."""
    wrong: dict[str, dict[int, set[int]]] = {}
    for line in read(folder / "arms.jsonl"):
        wrong.setdefault(line["arm"], {})[line["seed"]] = set(line["wrong"])
    ratios = {line["arm"]: line["ratio"] for line in read(folder / "times.jsonl")}
    rows = ["| net | parameters | MACs | time / CNN | top-1 % by seed | against | points |", "|---|--:|--:|--:|--:|---|--:|"]
    num = JUDGED * TASK.num_classes
    for name in (name for name in ARMS if name in wrong):
        params, macs = shape_of(build(ARMS[name]), TASK)
        base = "CNN" if name == "searched" else name.partition(" of bottlenecks")[0].partition(",")[0]
        shared = sorted(wrong[name].keys() & wrong[base].keys())
        only = [sum(len(wrong[a][seed] - wrong[b][seed]) for seed in shared) for a, b in ((base, name), (name, base))]
        by = paired_score(only[0], only[1], num * len(shared))
        points = "" if base == name else f"{100 * by.value:+.1f} [{100 * by.low:+.1f}, {100 * by.high:+.1f}]"
        shown = ", ".join(f"{100 - 100 * len(own) / num:.1f}" for _, own in sorted(wrong[name].items()))
        cells = (f"{params / 1e6:.2f} M", f"{macs / 1e6:.1f} M", f"{ratios[name]:.2f}" if name in ratios else "", shown)
        rows.append(f"| {name} | {' | '.join(cells)} | {'' if base == name else base} | {points} |")
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and judge the arms that are missing, or time them, and show all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("plain-gap"))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1])
    parser.add_argument("--arms", nargs="+", choices=[*ARMS], default=[*ARMS])
    parser.add_argument("--time", action="store_true", help="measure latencies, too")
    asked = parser.parse_args(arguments)
    asked.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    train_arms(asked.folder, asked.seeds, asked.arms)
    if asked.time:
        time_arms(asked.folder, asked.arms)
    print(table(asked.folder))  # noqa: T201 - a script's screen
    return 0


if __name__ == "__main__":
    sys.exit(main())
