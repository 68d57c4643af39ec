"""Which images an epoch shows, in which order and batches.

Shapes: N images, K classes.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Balance = Literal["none", "weights", "sampler", "downsample"]


def class_weights(labels_N: NDArray[np.int64], num_classes: int) -> NDArray[np.float32]:
    """Weights (K,) inversely proportional to class frequency, 1 on average over the images."""
    counts_K = np.bincount(labels_N, minlength=num_classes)
    weights_K: NDArray[np.float64] = len(labels_N) / (np.count_nonzero(counts_K) * np.maximum(counts_K, 1))
    return weights_K.astype(np.float32)


def batch_slices(num: int, batch_size: int) -> list[slice]:
    """Even consecutive batches of about ``batch_size``, none of a single image (which batch norm refuses) unless ``num`` is 1."""
    num_batches = max(1, min(math.ceil(num / batch_size), num // 2))
    edges = [num * position // num_batches for position in range(num_batches + 1)]
    return [slice(first, last) for first, last in itertools.pairwise(edges)]


def epoch_length(labels_N: NDArray[np.int64], balance: Balance) -> int:
    """Images of an epoch of `epoch_order`."""
    if balance != "downsample":
        return len(labels_N)
    counts_K = np.bincount(labels_N)
    return int(np.count_nonzero(counts_K) * counts_K[counts_K > 0].min())


def epoch_order(labels_N: NDArray[np.int64], *, balance: Balance, repeats: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Positions in ``labels_N`` in the order of an epoch, decided by ``seed`` and ``epoch`` alone.

    Args:
        labels_N: of the split.
        balance: ``none`` and ``weights`` (which act in the loss) show every image once; ``sampler`` draws with replacement, every
            class as often; ``downsample`` draws as many images of every class as the smallest has, anew every epoch.
        repeats: consecutive copies of every image, for repeated augmentation (Hoffer et al., arXiv:1901.09335). The epoch keeps
            its length, so one in ``repeats`` images is seen in it; copies of one image may be cut apart where a batch ends.
            Needs ``balance`` ``none`` or ``weights``.
        seed: of the run.
        epoch: from 0.
    """
    rng = np.random.default_rng([seed, epoch])
    if balance == "sampler":
        weights_N = class_weights(labels_N, int(labels_N.max()) + 1)[labels_N].astype(np.float64)
        return rng.choice(len(labels_N), size=len(labels_N), p=weights_N / weights_N.sum())
    if balance == "downsample":
        return _downsampled(labels_N, rng)
    return _repeated(len(labels_N), repeats, seed, epoch) if repeats > 1 else rng.permutation(len(labels_N))


def _downsampled(labels_N: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """As many positions of every class as the smallest class has, shuffled.

    The ancestor COViT++ draws once and never sees the other images; here every epoch draws anew.
    """
    classes = [np.flatnonzero(labels_N == label) for label in np.unique(labels_N)]
    smallest = min(len(positions) for positions in classes)
    return rng.permutation(np.concatenate([rng.choice(positions, size=smallest, replace=False) for positions in classes]))


def _repeated(num: int, repeats: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Shuffled positions, each ``repeats`` times in a row, the first ``num`` of them."""
    from timm.data.distributed_sampler import RepeatAugSampler

    make: Any = RepeatAugSampler
    sampler = make(range(num), num_replicas=1, rank=0, num_repeats=repeats, selected_round=0)  # 0: of no rounded number
    sampler.set_epoch(int(np.random.SeedSequence([seed, epoch]).generate_state(1, dtype=np.uint64)[0]) >> 1)
    return np.fromiter(sampler, dtype=np.int64, count=num)
