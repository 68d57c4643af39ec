"""The only place where generators that libraries share are seeded."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_globals(seed: int, epoch: int, step: int, rank: int = 0) -> None:
    """Seed Python's, NumPy's and PyTorch's global generators (all devices) for one step.

    Dropout and the transforms of timm and torchvision know no other. As every step is seeded by itself, a run that is continued
    draws what an uninterrupted one does. Ranks draw differently, the first as a process alone. Where no GPU can be used,
    `torch.manual_seed` would keep a seed and a formatted stack for one at every step: time and memory for nothing.
    """
    first, second = np.random.SeedSequence([seed, epoch, step, *([rank] if rank else [])]).generate_state(2)
    random.seed(int(first))
    np.random.seed(int(first))  # noqa: NPY002 - libraries read the global generator
    drawn = int(first) << 31 ^ int(second)
    if torch.accelerator.is_available():
        torch.manual_seed(drawn)
    else:
        torch.default_generator.manual_seed(drawn)


def step_rng(seed: int, epoch: int, step: int) -> np.random.Generator:
    """A generator for what takes its randomness as an argument, e.g. sampling rules; no stream is used twice."""
    return np.random.default_rng([seed, epoch, step, 1])
