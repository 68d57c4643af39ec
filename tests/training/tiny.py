"""A small space, generated images and batches that the training tests share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgenas.spaces import Task, get_space
from edgenas.supernets import build_net, build_supernet
from edgenas.training.sampling import as_key

SPACE = get_space("pvt-nano")
TASK = Task(num_classes=3, in_channels=3, image_px=16)
SMALLEST = as_key(SPACE.extreme(largest=False)[0])
LARGEST = as_key(SPACE.extreme(largest=True)[0])
CPU = torch.device("cpu")


def tiny_images(num: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Three classes told apart by the brightest colour."""
    rng = np.random.default_rng(seed)
    labels_N = np.arange(num) % 3
    images_NCHW = rng.normal(0, 0.3, (num, 3, 16, 16)).astype(np.float32)
    images_NCHW[np.arange(num), labels_N] += 1
    return images_NCHW, labels_N


@dataclass(frozen=True)
class TinyBatches:
    """Shuffled batches; also draws from PyTorch's global generator, as libraries' augmentations do."""

    num: int = 24
    size: int = 8
    poison: bool = False

    @property
    def num_batches(self) -> int:
        return self.num // self.size

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        images_NCHW, labels_N = tiny_images(self.num)
        order_N = np.random.default_rng(epoch).permutation(self.num)
        for step in range(first_step, self.num_batches):
            chosen_N = order_N[step * self.size : (step + 1) * self.size]
            images = torch.from_numpy(images_NCHW[chosen_N]) + 0.01 * torch.randn(())
            yield images * (float("nan") if self.poison else 1.0), torch.from_numpy(labels_N[chosen_N])


def tiny_net(genes: tuple[int, ...] = SMALLEST, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_net(SPACE, TASK, genes)


def tiny_supernet(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_supernet(SPACE, TASK)
