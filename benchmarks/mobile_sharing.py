"""Why nets of the mobile supernet answer worse than alone: one factor of its training at a time, at equal steps.

Every arm trains one supernet of `pvt-mobile-nano` on 300 images a class of Fashion-MNIST's published training images. It is
judged by ten of its nets with inherited weights, each with batch-norm statistics of its own, on 100 other images a class;
the test images are not read. What is done is kept: the same command goes on.

    python -m benchmarks.mobile_sharing --folder mobile-sharing --arms limited "branch 1" "learning rate 0.01"
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgenas.costs import cost_models, decompose, shape_models
from edgenas.data import open_source
from edgenas.runs import append_jsonl
from edgenas.spaces import Genes, Task, get_space
from edgenas.spaces.base import RESOLUTION
from edgenas.spaces.even import EvenPool, even_pool
from edgenas.spaces.pvt_mobile import ConvBlockSpec
from edgenas.supernets import build_net, build_supernet, pvt_mobile
from edgenas.supernets.pvt_mobile_net import ConvBlock, begin_quietly, initialise
from edgenas.supernets.sliced import ComponentWeights, SlicedSupernet
from edgenas.supernets.slots import tensors_of
from edgenas.training.distillation import TrainingLoss
from edgenas.training.evaluation import SupernetEvaluator, logits
from edgenas.training.loop import LoopSettings, start, train
from edgenas.training.recalibration import recalibrate
from edgenas.training.sampling import LARGEST_SHARE, SMALLEST_SHARE, as_key

SPACE, TASK = get_space("pvt-mobile-nano"), Task(10, 3, 32)
LIMIT_MACS = 4.2e6  # of the nets of a limited arm: what is of use within tenths of a millisecond
BATCH, SHIFT = 64, 2
PER_CLASS, JUDGED, NORM_IMAGES = 300, 100, 128
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Row = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to train the supernet.

    Attributes:
        learning_rate: highest.
        limited: nets above `LIMIT_MACS` are not drawn.
        extremes: now and then the space's largest or smallest net learns, too, as with `train.sampling = "even"`.
        resolutions_alike: one net of a step is of the lower resolution, one of the higher; else the pool's cheap nets are mostly of
            the lower, the dear ones of the higher.
        prepare: changes the fresh supernet.
        epochs: of 46 steps.
    """

    learning_rate: float = 4e-3
    limited: bool = True
    extremes: bool = False
    resolutions_alike: bool = False
    prepare: Callable[[SlicedSupernet[Any]], None] | None = None
    epochs: int = 6


@dataclass(frozen=True, slots=True, eq=False)
class Batches:
    """Batches of images that are shifted together by up to two pixels."""

    images_NCHW: Tensor
    labels_N: Tensor

    @property
    def num_batches(self) -> int:
        """Whole batches an epoch."""
        return len(self.images_NCHW) // BATCH

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels of an epoch, from one of its batches on."""
        rng = np.random.default_rng([0, epoch])
        order_N = rng.permutation(len(self.images_NCHW))
        for step in range(self.num_batches):
            chosen_N = order_N[step * BATCH : (step + 1) * BATCH]
            right, down = rng.integers(-SHIFT, SHIFT + 1, 2)
            if step >= first_step:
                yield torch.roll(self.images_NCHW[chosen_N], (int(right), int(down)), (2, 3)), self.labels_N[chosen_N]


def branches_of(gain: float, supernet: SlicedSupernet[Any]) -> None:
    """Let what every bottleneck adds begin with another gain than `pvt_mobile_net.BRANCH`."""
    for module in supernet.modules():
        if isinstance(module, ConvBlock):
            nn.init.constant_(module.pw_proj.bn.weight, gain)


def kernels_apart(supernet: SlicedSupernet[Any]) -> None:
    """Give every choice of kernels of a place weights of its own: nothing is a crop, widths and expansions stay shared."""
    offered = next(choice.options for choice in SPACE.choices if choice.name.endswith("kernels"))
    for stage in supernet.get_submodule("stages").children():
        for place in stage.get_submodule("blocks").children():
            for kernels in offered:
                own = ConvBlock(replace(place.get_submodule("conv").spec, kernels=kernels))  # type: ignore[arg-type, type-var]
                place.add_module(_apart(kernels), own.apply(initialise).apply(begin_quietly))
    supernet.sharing = replace(supernet.sharing, parts=_parts_apart)


def _apart(kernels: Any) -> str:
    return "conv_" + "_".join(map(str, kernels))


def _parts_apart(supernet: SlicedSupernet[Any], spec: Any) -> Iterator[ComponentWeights]:
    """The family's parts, but those of bottlenecks are of the weights of their own kernels."""
    for component, part in zip(spec.components, pvt_mobile.parts(supernet, spec), strict=True):
        if not isinstance(component, ConvBlockSpec):
            yield part
            continue
        _, stage, _, number, _ = part.prefix.split(".")
        place = spec.stages[int(stage)].places[int(number)]
        own = tensors_of(supernet.get_submodule(f"stages.{stage}.blocks.{place}.{_apart(component.kernels)}"))
        cut = pvt_mobile.cut_bottleneck(own, component)
        yield ComponentWeights(
            part.prefix, {name: cut[name] for name in part.weights}, {name: cut[name] for name in part.statistics}
        )


class _Norms:
    """What `pvt_mobile.parts` reads of a supernet, taken from the copy of its modules for the higher resolution."""

    def __init__(self, supernet: SlicedSupernet[Any]) -> None:
        self._modules = supernet.get_submodule("higher")

    def get_submodule(self, path: str) -> nn.Module:
        """A module of the copy."""
        return self._modules.get_submodule(path)


def norms_apart(supernet: SlicedSupernet[Any]) -> None:
    """Give either resolution batch norms of its own (Wang et al., Resolution Switchable Networks, arXiv:2007.09558)."""
    higher = nn.ModuleDict({name: copy.deepcopy(module) for name, module in supernet.named_children()})
    supernet.add_module("higher", higher)
    supernet.sharing = replace(supernet.sharing, parts=_parts_with_norms)


def _parts_with_norms(supernet: SlicedSupernet[Any], spec: Any) -> Iterator[ComponentWeights]:
    """The family's parts, with the batch norms of the resolution of ``spec``."""
    plain = pvt_mobile.parts(supernet, spec)
    if spec.task.image_px < TASK.image_px:
        yield from plain
        return
    for part, own in zip(plain, pvt_mobile.parts(_Norms(supernet), spec), strict=True):  # type: ignore[arg-type]
        weights = {name: own.weights[name] if "bn." in name or "norm." in name else value for name, value in part.weights.items()}
        yield ComponentWeights(part.prefix, weights, own.statistics)


ARMS: Mapping[str, Arm] = {
    "whole space": Arm(limited=False, extremes=True),
    "limited": Arm(),
    "limited, extremes": Arm(extremes=True),
    "limited, resolutions alike": Arm(resolutions_alike=True),
    "learning rate 0.0015": Arm(learning_rate=1.5e-3),
    "learning rate 0.01": Arm(learning_rate=1e-2),
    "branch 1": Arm(prepare=partial(branches_of, 1.0)),
    "branch 0.05": Arm(prepare=partial(branches_of, 0.05)),
    "resolutions alike, norms apart": Arm(resolutions_alike=True, prepare=norms_apart),
    "kernels apart": Arm(prepare=kernels_apart),
}


def pool(seed: int, *, limited: bool, resolutions: Sequence[int] = (0, 1)) -> EvenPool:
    """Nets spread over cost and depth, all or those within `LIMIT_MACS`; ``resolutions`` are places among the options."""
    macs, depth = cost_models(SPACE, TASK).macs, shape_models(decompose(SPACE, TASK)).depth

    def allowed(genes_AG: Genes) -> NDArray[np.bool_]:
        is_of_these_A = np.isin(genes_AG[:, SPACE.index[RESOLUTION]], resolutions)
        fits_A: NDArray[np.bool_] = is_of_these_A & (macs(genes_AG) <= (LIMIT_MACS if limited else np.inf))
        return fits_A

    return even_pool(SPACE, macs, depth, np.random.default_rng(seed), allowed=allowed)


def judged() -> dict[str, Row]:
    """The smallest net and nine spread over the MACs up to the limit."""
    rows_AG = pool(5, limited=True).spread(300, np.random.default_rng(7))
    order = np.argsort(cost_models(SPACE, TASK)["macs"](rows_AG))
    picked = [as_key(rows_AG[order[int(share * (len(order) - 1))]]) for share in np.linspace(0.05, 0.98, 9)]
    return {"smallest": as_key(SPACE.extreme(largest=False)[0]), **{f"net {number}": row for number, row in enumerate(picked, 1)}}


def drawn_by(arm: Arm) -> Callable[[np.random.Generator, int], list[Row]]:
    """The nets of a step: two of the pool, and where an arm asks for it now and then an extreme."""
    pools = [pool(0, limited=arm.limited, resolutions=chosen) for chosen in (((0,), (1,)) if arm.resolutions_alike else ((0, 1),))]
    extremes = [as_key(SPACE.extreme(largest=largest)[0]) for largest in (True, False)]

    def draw(rng: np.random.Generator, step: int) -> list[Row]:
        place = rng.random() if arm.extremes else 1.0
        rows = [as_key(row) for chosen in pools for row in chosen.draw(2 // len(pools), rng)]
        if place < LARGEST_SHARE:
            return [extremes[0], *rows]
        return [*rows, extremes[1]] if place < LARGEST_SHARE + SMALLEST_SHARE else rows

    return draw


def subset(num_trained: int = PER_CLASS, num_judged: int = JUDGED, seed: int = 0) -> tuple[Batches, Tensor, NDArray[np.int64]]:
    """Batches to train on; images and labels to judge by. Numbers are of images a class; other seeds draw others."""
    source, rng = open_source("fashion-mnist"), np.random.default_rng(seed)
    is_train_N = np.array(source.published_split) == "train"
    trained, shown = list[int](), list[int]()
    for label in range(len(source.class_names)):
        indices = rng.permutation(np.flatnonzero((source.labels_N == label) & is_train_N)).tolist()
        shown += indices[:num_judged]
        trained += indices[num_judged : num_judged + num_trained]
    return Batches(_images(trained), torch.from_numpy(source.labels_N[trained])), _images(shown), source.labels_N[shown]


def _images(indices: Sequence[int]) -> Tensor:
    source = open_source("fashion-mnist")
    grey_NHW = np.stack([np.asarray(source.load(index).convert("L").resize((TASK.image_px,) * 2, 2)) for index in indices])
    rgb_NCHW = (torch.from_numpy(grey_NHW).float()[:, None] / 255).expand(-1, 3, -1, -1)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return ((rgb_NCHW - mean) / std).contiguous()


def inherited(arm: Arm, batches: Batches, images_NCHW: Tensor, labels_N: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy in percent of every judged net, as it is and at every resolution, with the weights of an arm's supernet."""
    torch.manual_seed(0)
    supernet: Any = build_supernet(SPACE, TASK)
    if arm.prepare is not None:
        arm.prepare(supernet)
    settings = LoopSettings(arm.epochs, arm.learning_rate, ema_decay=0.99)
    state, objective = start(supernet, settings, torch.device("cpu")), TrainingLoss(smoothing=0.05, kd_weight=0)
    for _ in train(state, batches, objective, settings, subnets=drawn_by(arm)):
        pass
    nets = {f"{name}{words}": row for name, genes in judged().items() for words, row in _at_every_side(genes).items()}
    evaluate = SupernetEvaluator(state.result.eval(), images_NCHW, training_NCHW=_norm_images(batches))
    p_ANK = evaluate(np.array(list(nets.values()), dtype=np.int16), np.arange(len(labels_N)))
    return {name: 100 * float((p_NK.argmax(1) == labels_N).mean()) for name, p_NK in zip(nets, p_ANK, strict=True)}


def _at_every_side(genes: Row) -> dict[str, Row]:
    """A net, and the same at every resolution."""
    column = SPACE.index[RESOLUTION]
    sides = SPACE.choices[column].options
    return {"": genes} | {f", {side} px": (*genes[:column], at, *genes[column + 1 :]) for at, side in enumerate(sides)}


def alone(batches: Batches, images_NCHW: Tensor, labels_N: NDArray[np.int64], epochs: int = 6) -> dict[str, float]:
    """The same of nets that are trained alone in as many steps."""
    settings, result = LoopSettings(epochs, 4e-3, ema_decay=0.99), {}
    for name, genes in judged().items():
        torch.manual_seed(0)
        state = start(build_net(SPACE, TASK, genes), settings, torch.device("cpu"))
        for _ in train(state, batches, TrainingLoss(smoothing=0.05, kd_weight=0), settings):
            pass
        net = state.result.eval()
        recalibrate(net, _norm_images(batches))
        result[name] = 100 * float((logits(net, images_NCHW).argmax(1) == labels_N).mean())
    return result


def _norm_images(batches: Batches) -> NDArray[np.float32]:
    chosen_N = np.random.default_rng(0).permutation(len(batches.images_NCHW))[:NORM_IMAGES]
    images_NCHW: NDArray[np.float32] = batches.images_NCHW[chosen_N].numpy()
    return images_NCHW


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and judge the arms that are missing, a line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("mobile-sharing"))
    parser.add_argument("--arms", nargs="+", choices=[*ARMS, "alone"], default=[*ARMS, "alone"])
    asked = parser.parse_args(arguments)
    asked.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    path = asked.folder / "arms.jsonl"
    done = {json.loads(line)["arm"] for line in path.read_text().splitlines()} if path.is_file() else set()
    images = subset()
    for name in asked.arms:
        if name not in done:
            began = time.process_time()
            top1 = alone(*images) if name == "alone" else inherited(ARMS[name], *images)
            as_they_are = [share for net, share in top1.items() if not net.endswith(" px")]
            row = {"arm": name, "cpu_s": time.process_time() - began, "mean": float(np.mean(as_they_are)), "top1": top1}
            append_jsonl(path, row)
            print(json.dumps(row))  # noqa: T201 - a script's screen
    return 0


if __name__ == "__main__":
    sys.exit(main())
