"""Weights that mean something for studies of export: a net trained on Fashion-MNIST at 224 px within half an hour of CPU.

An export of random weights says nothing of decisions. The net is one of `benchmarks.export_nets` whose weights serve any size of
image: it is trained on small images first, where a step costs a sixteenth, then on images of twice the side, last at 224 px.
Schedule and seed are fixed and nothing is chosen, so the test images are read once, at the end. The last 5,000 training images are
not trained on: they are there to calibrate with.

    OMP_NUM_THREADS=1 nice -n 10 python -m benchmarks.export_weights --output pvt_v2_b0_fmnist.safetensors
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.export_nets import nets
from edgenas.data.fashion_mnist import read_idx

IMAGE_PX = 224
NUM_CALIBRATE = 5000  # the last of the 60,000 training images
MEAN, STD = 0.2860, 0.3530  # of Fashion-MNIST's training pixels
NUM_CLASSES = 10
CLASS_NAMES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
POSITIVE = 6  # shirts, which are taken for other clothes most often
FOLDER = Path("/usr/share/datasets/fashion-mnist")


@dataclass(frozen=True, slots=True)
class Stage:
    """So many steps on batches of images of one size, at a peak learning rate that falls along half a cosine."""

    image_px: int
    batch_size: int
    num_steps: int
    learning_rate: float


STAGES = (Stage(56, 64, 1000, 1e-3), Stage(112, 64, 200, 5e-4), Stage(IMAGE_PX, 32, 250, 3e-4))


def read_images(split: str, folder: Path = FOLDER) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, 28, 28) and labels (N,) of ``train`` (the first 55,000), ``calibrate`` (the rest) or ``test``."""
    stem = "t10k" if split == "test" else "train"
    images = read_idx(folder / f"{stem}-images-idx3-ubyte.gz", 3)
    labels = read_idx(folder / f"{stem}-labels-idx1-ubyte.gz", 1).astype(np.int64)
    rows = {"train": slice(None, -NUM_CALIBRATE), "calibrate": slice(-NUM_CALIBRATE, None), "test": slice(None)}[split]
    return images[rows], labels[rows]


def preprocessed(images_NHW: NDArray[np.uint8], image_px: int = IMAGE_PX) -> Tensor:
    """Three equal, normalised channels, enlarged bilinearly: shape (N, 3, image_px, image_px)."""
    x_NCHW = (torch.from_numpy(np.array(images_NHW)).float()[:, None] / 255 - MEAN) / STD
    return functional.interpolate(x_NCHW, size=image_px, mode="bilinear", antialias=True).expand(-1, 3, -1, -1).contiguous()


@dataclass(frozen=True, slots=True)
class EnlargedImages:
    """Images of a split as a net of this file reads them, enlarged when rows are asked for: shape (N, 3, image_px, image_px)."""

    images_NHW: NDArray[np.uint8]
    image_px: int = IMAGE_PX

    def __len__(self) -> int:
        return len(self.images_NHW)

    def __getitem__(self, rows: slice, /) -> NDArray[np.float32]:
        return preprocessed(self.images_NHW[rows], self.image_px).numpy()


class FashionMnist:
    """Fashion-MNIST by splits, to studies that open images otherwise where weights are drawn."""

    class_names = CLASS_NAMES
    positive = POSITIVE

    def arrays(self, split: str) -> tuple[EnlargedImages, NDArray[np.int64]]:
        """Images and labels of ``train``, ``calibrate`` or ``test``, as `read_images` divides them."""
        images_NHW, labels_N = read_images(split)
        return EnlargedImages(images_NHW), labels_N


def named_net(path: Path) -> str:
    """Of which net a file of `save` holds the weights."""
    from safetensors import safe_open

    with safe_open(path, "pt") as opened:
        return str(json.loads(opened.metadata()["net"]))


def train(net: nn.Module, stage: Stage, *, seed: int, report_every: int = 100) -> Iterator[tuple[int, float]]:
    """Train ``net`` in place; yields step and loss now and then."""
    images, labels = read_images("train")
    rng = np.random.default_rng([seed, stage.image_px])
    decayed = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}])
    net.train()
    for step in range(stage.num_steps):
        warm = min(1.0, (step + 1) / 50)
        for group in optimizer.param_groups:
            group["lr"] = stage.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / stage.num_steps))
        rows = np.sort(rng.choice(len(images), stage.batch_size, replace=False))
        x_NCHW = preprocessed(images[rows], stage.image_px)
        if rng.random() < 0.5:
            x_NCHW = x_NCHW.flip(-1)
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(x_NCHW)
        loss = functional.cross_entropy(logits.float(), torch.from_numpy(labels[rows]), label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        if step % report_every == 0 or step == stage.num_steps - 1:
            yield step, float(loss.detach())


def accuracy(net: nn.Module, split: str, num: int | None = None) -> float:
    """Share of the first ``num`` images of a split (None: all) that float32 names rightly at 224 px."""
    images, labels = read_images(split)
    images, labels = images[:num], labels[:num]
    net.eval()
    right = 0
    with torch.no_grad():
        for start in range(0, len(images), 32):
            decided = net(preprocessed(images[start : start + 32])).argmax(1).numpy()
            right += int((decided == labels[start : start + 32]).sum())
    return right / len(images)


def save(net: nn.Module, path: Path, facts: dict[str, object]) -> None:
    """Weights, with what made them as texts beside; moved into place."""
    from safetensors.torch import save_file

    beside = path.with_suffix(".partial")
    save_file(net.state_dict(), beside, {key: json.dumps(value) for key, value in facts.items()})
    beside.replace(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train stage by stage, keep the weights after each, test once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="pvt_v2_b0", help="Of timm, or of `benchmarks.export_nets`.")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shorter", type=int, default=1, help="divides the number of steps, to try the script")
    parser.add_argument("--longer", type=int, default=1, help="multiplies it, for a net that starts at a large side")
    sides = [stage.image_px for stage in STAGES]
    parser.add_argument("--sides", type=int, nargs="+", choices=sides, default=sides, help="Of images; AutoFormer-T: 224.")
    options = parser.parse_args(arguments)
    facts: dict[str, object] = {
        "net": options.net,
        "seed": options.seed,
        "stages": [asdict(stage) for stage in STAGES],
        "preprocessing": {"image_px": IMAGE_PX, "mean": MEAN, "std": STD, "channels": 3},
    }
    start = time.process_time()
    state: dict[str, Tensor] | None = None
    for stage in (each for each in STAGES if each.image_px in options.sides):
        (drawn,) = nets([options.net], seed=options.seed, px=stage.image_px)
        net = drawn.module
        if state is not None:
            net.load_state_dict(state)
        num_steps = max(1, stage.num_steps * options.longer // options.shorter)
        for step, loss in train(net, replace(stage, num_steps=num_steps), seed=options.seed):
            sys.stdout.write(f"{stage.image_px} px step {step} loss {loss:.3f} ({time.process_time() - start:.0f} s of CPU)\n")
            sys.stdout.flush()
        state = net.state_dict()
        save(net, options.output, facts | {"finished_px": stage.image_px})
    facts |= {"finished_px": IMAGE_PX, "test_accuracy": accuracy(net, "test", None if options.shorter == 1 else 64)}
    save(net, options.output, facts)
    sys.stdout.write(f"test accuracy {facts['test_accuracy']:.4f}, {time.process_time() - start:.0f} s of CPU\n")


if __name__ == "__main__":
    main()
