"""Which subnets a training step runs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgenas.spaces import SearchSpace

Subnets = list[tuple[int, ...]]
SamplingRule = Callable[[SearchSpace, np.random.Generator, int], Subnets]


def sandwich(space: SearchSpace, rng: np.random.Generator, num_random: int = 2) -> Subnets:
    """The largest, the smallest and ``num_random`` random subnets (Yu & Huang, arXiv:1903.05134, section 3.2), in this order."""
    extremes = [space.extreme(largest=True)[0], space.extreme(largest=False)[0]]
    return [as_key(row) for row in (*extremes, *space.sample(num_random, rng))]


def uniform(space: SearchSpace, rng: np.random.Generator, num_random: int = 1) -> Subnets:
    """``num_random`` random subnets, one by default: single path (Guo et al., arXiv:1904.00420, section 3.2)."""
    return [as_key(row) for row in space.sample(max(1, num_random), rng)]


def uniform_genes(space: SearchSpace, rng: np.random.Generator, num_random: int = 1) -> Subnets:
    """As `uniform`, but every gene uniform over its options, so that all depths are drawn alike (Chen et al., arXiv:2107.00651)."""
    start_AG = np.repeat(space.extreme(largest=True), max(1, num_random), axis=0)
    return [as_key(row) for row in space.mutate(start_AG, rng, prob=1.0)]


def as_key(row_G: np.ndarray[tuple[int, ...], np.dtype[np.int16]]) -> tuple[int, ...]:
    """A row of genes as the tuple that a supernet takes."""
    return tuple(int(gene) for gene in row_G)


SAMPLING_RULES: dict[str, SamplingRule] = {"sandwich": sandwich, "uniform": uniform, "uniform-genes": uniform_genes}
