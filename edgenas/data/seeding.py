"""The only place where generators that libraries share are seeded for one training image."""

from __future__ import annotations

import random

import numpy as np
import torch

_IMAGES = 2  # keeps these streams apart from others that start from the same numbers


def seed_sample(seed: int, epoch: int, step: int, position: int) -> None:
    """Seed Python's, NumPy's and PyTorch's global generators (CPU) for the image at ``position`` of a batch.

    The transforms of timm, torchvision and torchio know no other. As every image is seeded by itself, it does not matter which
    process makes it, or what was made before.
    """
    first, second = np.random.SeedSequence([seed, epoch, step, position, _IMAGES]).generate_state(2)
    random.seed(int(first))
    np.random.seed(int(first))  # noqa: NPY002 - libraries read the global generator
    torch.default_generator.manual_seed(int(first) << 31 ^ int(second))


def batch_generator(seed: int, epoch: int, step: int) -> torch.Generator:
    """A generator for what changes a whole batch at once."""
    state = np.random.SeedSequence([seed, epoch, step]).generate_state(1, dtype=np.uint64)
    return torch.Generator().manual_seed(int(state[0]) >> 1)
